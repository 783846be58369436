// XenSide: answers what leaves the machine (hypercalls, MSRs, ports, triple faults) and fires what is due.
// Runs no vCPU: the domain's scheduler does.
import { RESET_PORT } from '../boot/layout.ts';
import type { ShutdownReason } from '../domain/record.ts';
import { registerDump } from '../domain/register-dump.ts';
import type { Exit } from '../machine/exit.ts';
import type { Machine } from '../machine/machine.ts';
import type { GeneralRegister } from '../machine/registers.ts';
import { EPERM } from './abi/errno.ts';
import type { Width } from './abi/layout.ts';
import { RUNSTATE_blocked, RUNSTATE_offline, RUNSTATE_runnable, RUNSTATE_running } from './abi/vcpu.ts';
import { VIRQ_TIMER } from './abi/xen.ts';
import { BLOCK, CONTINUE, type Effect, YIELD } from './effect.ts';
import { XenGuest, type XenOptions, type XenState } from './guest.ts';
import { HYPERCALL_MSR, hypercallPage } from './hypercall-page.ts';
import { runHypercall } from './hypercalls/table.ts';
import { modelMsr } from './model-msrs.ts';
import type { XenStore } from './xenstore/store.ts';
import { homeOf } from './xenstore/tree.ts';

const GENERAL_PROTECTION = 13;
const DEBUG_PORT = 0xe9;
const PIT_CHANNEL_2 = 0x42;
/** VMCALL and VMMCALL are three bytes long. */
const HYPERCALL_BYTES = 3n;
const ARGUMENTS: Readonly<Record<Width, readonly GeneralRegister[]>> = {
  64: ['rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'],
  32: ['rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp'],
};
/** What libxl's tables write to the reset port, and the bits that count. */
const RESET_CPU = 1 << 2;

export class XenSide {
  readonly #guest: XenGuest;
  readonly #machine: Machine;

  constructor(machine: Machine, options: XenOptions) {
    this.#machine = machine;
    this.#guest = new XenGuest(machine, options);
  }

  /** Deals with why `vcpu` left Machine.run. */
  handle(vcpu: number, exit: Exit): Effect {
    switch (exit.kind) {
      case 'hypercall':
        return this.#hypercall(vcpu);
      case 'msr-read':
        return this.#readMsr(vcpu, exit.index);
      case 'msr-write':
        return this.#writeMsr(vcpu, exit.index, exit.value);
      case 'port-in':
        this.#machine.answer(vcpu, this.#readPort(exit.port, exit.size));
        return CONTINUE;
      case 'port-out':
        return this.#writePort(exit.port, exit.size, exit.value);
      case 'halt':
        return BLOCK;
      case 'halt-forever':
        this.#machine.setState(vcpu, 'offline');
        return this.#guest.afterVcpuDown() ?? BLOCK;
      case 'shutdown':
        return this.#tripleFault(vcpu);
      case 'budget':
        return YIELD;
    }
  }

  #hypercall(vcpu: number): Effect {
    const machine = this.#machine;
    const bits = machine.codeBits(vcpu);
    const width: Width = bits === 64 ? 64 : 32;
    const value = (name: GeneralRegister): bigint => {
      const whole = machine.reg(vcpu, name);
      return width === 64 ? whole : whole & 0xffff_ffffn;
    };
    // Real mode counts as unprivileged.
    if (bits === 0 || machine.cpl(vcpu) !== 0) {
      this.#setResult(vcpu, width, BigInt(-EPERM));
      return CONTINUE;
    }
    const number = Number(value('rax') & 0xffff_ffffn);
    const names = ARGUMENTS[width];
    const call = { guest: this.#guest, vcpu, width, args: names.map(value) };
    const outcome = runHypercall(number, call);
    if (outcome.again === undefined) this.#setResult(vcpu, width, outcome.value);
    else {
      const [first = 'rdi', second = 'rsi'] = names;
      machine.setReg(vcpu, first, outcome.again[0]);
      machine.setReg(vcpu, second, outcome.again[1]);
      machine.setRegisters(vcpu, { rip: machine.registers(vcpu).rip - HYPERCALL_BYTES });
    }
    return outcome.effect;
  }

  #setResult(vcpu: number, width: Width, value: bigint): void {
    this.#machine.setReg(vcpu, 'rax', BigInt.asUintN(width, value));
  }

  #readMsr(vcpu: number, index: number): Effect {
    const { mtrrs, options } = this.#guest;
    const value = index === HYPERCALL_MSR ? 0n : (mtrrs.read(vcpu, index) ?? modelMsr(options.vendor, index));
    if (value !== undefined) this.#machine.answer(vcpu, value);
    else this.#machine.injectFault(vcpu, GENERAL_PROTECTION);
    return CONTINUE;
  }

  #writeMsr(vcpu: number, index: number, value: bigint): Effect {
    const { mtrrs, options } = this.#guest;
    const accepted =
      index === HYPERCALL_MSR
        ? this.#fillHypercallPage(vcpu, value)
        : mtrrs.write(vcpu, index, value) || modelMsr(options.vendor, index) !== undefined;
    if (accepted) this.#machine.answer(vcpu, 0n);
    else this.#machine.injectFault(vcpu, GENERAL_PROTECTION);
    return CONTINUE;
  }

  /** Bits 11:0 of the address choose one of the hypercall pages, of which there is one. */
  #fillHypercallPage(vcpu: number, address: bigint): boolean {
    const gfn = address >> 12n;
    const { physmap, shared, options } = this.#guest;
    if ((address & 0xfffn) !== 0n || !physmap.isGfn(gfn) || !this.#machine.isBacked(Number(gfn)))
      return false;
    shared.latchWidth(this.#machine.codeBits(vcpu) === 64 ? 64 : 32);
    this.#machine.write(Number(gfn) * 4096, hypercallPage(options.vendor));
    return true;
  }

  #readPort(port: number, size: number): bigint {
    // There is no PIT, but Linux reads its channel 2 some 50,000 times while that says all ones, as it does on Xen.
    if (port === PIT_CHANNEL_2) return 0n;
    return BigInt(this.#guest.power.readPort(port, size));
  }

  #writePort(port: number, size: number, value: number): Effect {
    if (port === DEBUG_PORT && size === 1) this.#guest.log.put(value & 0xff);
    if (port === RESET_PORT && (value & RESET_CPU) !== 0) return this.#shutdown('reboot');
    return this.#guest.power.writePort(port, size, value) ? this.#shutdown('poweroff') : CONTINUE;
  }

  #shutdown(reason: ShutdownReason): Effect {
    return { kind: 'shutdown', reason: this.#guest.shutDown(reason) };
  }

  /** HVM_PARAM_TRIPLE_FAULT_REASON is 1, reboot, unless a toolstack says otherwise; xl has no key for it. */
  #tripleFault(vcpu: number): Effect {
    const { domid } = this.#guest.options;
    this.#guest.logLine(`d${domid}v${vcpu} Triple fault - invoking HVM shutdown action 1`);
    for (const line of registerDump(domid, vcpu, this.#machine.registers(vcpu))) this.#guest.logLine(line);
    return this.#shutdown('reboot');
  }

  // --- time and scheduling

  /** ns of virtual time at which advance() has something to do; LAPIC timers are the machine's own. */
  nextDeadline(): number | undefined {
    const times = [this.#guest.timers.next(), this.#guest.waits.next()].filter((at) => at !== undefined);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Fires what is due at `now`. The scheduler calls it after every slice. */
  advance(now: number): Effect {
    this.#guest.upcalls.checkLapics();
    const next = this.nextDeadline();
    if (next === undefined || next > now) return CONTINUE;
    this.#guest.waits.expire(now);
    const due = this.#guest.timers.takeDue(now);
    for (const vcpu of due.vcpus) this.#guest.events.raiseVirq(VIRQ_TIMER, vcpu);
    if (!due.watchdog) return CONTINUE;
    this.#guest.logLine(`Watchdog timer fired for domain ${this.#guest.options.domid}`);
    return this.#shutdown('watchdog');
  }

  /** True while the vCPU waits inside a hypercall, whatever the machine says of it. */
  isBlocked(vcpu: number): boolean {
    const { waits } = this.#guest;
    if (!waits.isWaiting(vcpu)) return false;
    waits.checkRequests(vcpu, this.#machine.interruptRequests(vcpu));
    return waits.isWaiting(vcpu);
  }

  /** Accounts that `running` (none when undefined) has the CPU from now on, and what the others do meanwhile. */
  scheduled(running: number | undefined): void {
    const now = this.#machine.now();
    for (let vcpu = 0; vcpu < this.#machine.vcpuCount; vcpu++)
      this.#guest.runstates.set(vcpu, vcpu === running ? RUNSTATE_running : this.#restingState(vcpu), now);
  }

  #restingState(vcpu: number): number {
    const state = this.#machine.state(vcpu);
    if (state === 'offline' || state === 'wait-for-sipi') return RUNSTATE_offline;
    return this.isBlocked(vcpu) || this.#machine.isIdle(vcpu) ? RUNSTATE_blocked : RUNSTATE_runnable;
  }

  // --- what the host does to a guest

  get shutdownReason(): ShutdownReason | undefined {
    return this.#guest.shutdownReason;
  }

  /** Types on the guest's console. */
  consoleInput(bytes: Uint8Array): void {
    this.#guest.console.type(bytes);
    this.#guest.kick('console');
  }

  /** The host's access to the tree, as domain 0. */
  get xenstore(): XenStore {
    return this.#guest.store;
  }

  /** `xl sysrq`: Linux runs the magic SysRq of that letter, if its mask allows it. */
  sysrq(letter: string): void {
    this.#control('sysrq', letter);
  }

  /** `xl shutdown`, `xl reboot`: asks the guest, which may not listen. */
  requestShutdown(request: 'poweroff' | 'reboot' | 'halt' | 'suspend'): void {
    this.#control('shutdown', request);
  }

  #control(key: string, value: string): void {
    this.#guest.store.write(`${homeOf(this.#guest.options.domid)}/control/${key}`, value);
  }

  /** True when the guest said that it listens to that request (control/feature-*). */
  understands(request: 'poweroff' | 'reboot' | 'suspend'): boolean {
    const path = `${homeOf(this.#guest.options.domid)}/control/feature-${request}`;
    return this.#guest.store.read(path) === '1';
  }

  /** `xl trigger nmi`. */
  triggerNmi(vcpu: number): void {
    this.#machine.raiseNmi(vcpu);
  }

  /** Frame handle of shared_info, and where the guest mapped it. */
  get sharedInfo(): { readonly frame: number; readonly gfn: number | undefined } {
    return { frame: this.#guest.shared.frame, gfn: this.#guest.shared.gfn };
  }

  snapshot(): XenState {
    return this.#guest.snapshot();
  }

  /** Restore the machine first. Host watches of the store stay as they are. */
  restore(state: XenState): void {
    this.#guest.restore(state);
  }
}
