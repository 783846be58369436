// Domain: a Machine with its guest loaded, its Xen side, the round-robin of its vCPUs and its clock. A value: no files,
// no sockets, no host time.
//
// vCPUs run one after the other in slices whose length depends on nothing but the guest's own state, so that the same image,
// configuration and input give the same run. What the host does to the guest enters between slices and is recorded with
// the place at which it did.
import type { DumpImage } from '../dump/dump-core.ts';
import type { Machine, VcpuRunState } from '../machine/machine.ts';
import type { MachineState } from '../machine/state.ts';
import type { Effect } from '../xen/effect.ts';
import type { XenOptions, XenState } from '../xen/guest.ts';
import type { XenSide } from '../xen/xen-side.ts';
import type { HostInput, RecordedInput } from './host-input.ts';
import type { ShutdownReason, VcpuRecord } from './record.ts';

/** Instructions that a vCPU runs before the next has its turn. */
const SLICE_INSTRUCTIONS = 100_000;
const PAGE = 4096;
const NS_PER_SECOND = 1e9;

/** The guest has stopped for good. */
export interface DomainEnd {
  readonly kind: 'shutdown';
  readonly reason: ShutdownReason;
  /** The vCPU that was running. */
  readonly vcpu: number;
  /** True when the guest itself asked for it by a hypercall or a port; otherwise the Xen log says more. */
  readonly asked: boolean;
  /** Instructions retired by all vCPUs until then. */
  readonly instruction: number;
  /** Set when it was a failure of the runtime. */
  readonly problem?: string;
}

export type DomainEvent =
  /** As many instructions as asked for have run. */
  | { readonly kind: 'budget' }
  /** No vCPU can run before virtual time `until` (ns), or before some input. */
  | { readonly kind: 'idle'; readonly until: number | undefined }
  | DomainEnd;

export interface DomainState {
  readonly machine: MachineState;
  readonly xen: XenState;
  readonly turn: number;
  readonly slices: number;
  readonly inputs: readonly RecordedInput[];
}

const isOnline = (state: VcpuRunState): boolean => state === 'running' || state === 'halted';

const escaped = (c: string): string =>
  c === '"' || c === '\\' ? `\\${c}` : `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`;

export class Domain {
  readonly #machine: Machine;
  readonly #xen: XenSide;
  readonly #version: XenOptions['version'];
  /** The vCPU whose turn is next. */
  #turn = 0;
  #slices = 0;
  #inputs: RecordedInput[] = [];
  #end: DomainEnd | undefined;
  #onInput: (recorded: RecordedInput) => void = () => {};

  /** @param machine with the guest already loaded, as core/boot does. */
  constructor(machine: Machine, xen: XenSide, version: XenOptions['version']) {
    this.#machine = machine;
    this.#xen = xen;
    this.#version = version;
  }

  /** Virtual time in ns. */
  now(): number {
    return this.#machine.now();
  }

  /** Instructions retired by all vCPUs. */
  retired(): number {
    let sum = 0;
    for (let vcpu = 0; vcpu < this.#machine.vcpuCount; vcpu++) sum += this.#machine.retired(vcpu);
    return sum;
  }

  /** Turns of vCPUs so far, the last one ended. */
  get slices(): number {
    return this.#slices;
  }

  /** Runs about `instructions` instructions, always whole slices; less when nothing can run or the guest ends. */
  run(instructions: number): DomainEvent {
    for (let left = instructions; left > 0; ) {
      const over = this.#settle();
      if (over !== undefined) return over;
      const vcpu = this.#nextRunnable();
      if (vcpu === undefined) {
        this.#xen.scheduled(undefined);
        return { kind: 'idle', until: this.#deadline() };
      }
      this.#turn = (vcpu + 1) % this.#machine.vcpuCount;
      const before = this.#machine.retired(vcpu);
      const end = this.#runSlice(vcpu);
      this.#slices++;
      if (end !== undefined) return end;
      left -= Math.max(1, this.#machine.retired(vcpu) - before);
    }
    return { kind: 'budget' };
  }

  /** Ends it where it is: a bug of ours, which `problem` tells, must not take the guest's state with it. */
  fail(problem: string): DomainEnd {
    const instruction = this.retired();
    this.#end = { kind: 'shutdown', reason: 'crash', vcpu: 0, asked: false, problem, instruction };
    return this.#end;
  }

  /** Moves virtual time of an idle guest forward, at most to where something is due. */
  skipTo(ns: number): void {
    this.#machine.skipTo(Math.min(ns, this.#deadline() ?? ns));
  }

  /** Does something to the guest now, and records it. Only between two calls of run. A guest that has ended takes nothing. */
  input(input: HostInput): void {
    // Whether run was called since the last slice must not matter: a replay calls it at other times.
    if (this.#settle() !== undefined) return;
    this.#xen.scheduled(undefined);
    const place = { at: this.#machine.now(), slice: this.#slices, instruction: this.retired() };
    const recorded = { ...place, input };
    this.#inputs.push(recorded);
    this.#onInput(recorded);
    this.#apply(input);
  }

  /** Sees every input as it is recorded. */
  set onInput(listener: (recorded: RecordedInput) => void) {
    this.#onInput = listener;
  }

  /** All that the host did to the guest so far. */
  get inputs(): readonly RecordedInput[] {
    return this.#inputs;
  }

  /** What the toolstack shows of the vCPUs. */
  vcpuRecords(): VcpuRecord[] {
    return Array.from({ length: this.#machine.vcpuCount }, (_, id) => ({
      id,
      online: isOnline(this.#machine.state(id)),
      seconds: this.#machine.retired(id) / NS_PER_SECOND,
    }));
  }

  /** True when the guest said that it listens to `xl shutdown` and `xl reboot`. */
  understands(request: 'poweroff' | 'reboot'): boolean {
    return this.#xen.understands(request);
  }

  /** What a dump-core file holds of it, read while it is written. */
  dumpImage(): DumpImage {
    const machine = this.#machine;
    return {
      vcpus: this.vcpuRecords().map(({ id, online }) => ({ id, online, registers: machine.registers(id) })),
      sharedInfo: machine.frameView(this.#xen.sharedInfo.frame).slice(),
      xen: this.#version,
      frames: this.#frames(),
    };
  }

  *#frames(): Generator<readonly [number, Uint8Array | undefined]> {
    const machine = this.#machine;
    const ramFrames = machine.ramBytes / PAGE;
    let next = 0;
    // Pages that nobody ever wrote are zero and need not be read.
    for (const gfn of machine.touchedFrames()) {
      for (; next < Math.min(gfn, ramFrames); next++) if (machine.isBacked(next)) yield [next, undefined];
      yield [gfn, machine.read(gfn * PAGE, PAGE)];
      next = gfn + 1;
    }
    for (; next < ramFrames; next++) if (machine.isBacked(next)) yield [next, undefined];
  }

  /** The xenstore tree as `xenstore-ls -f` prints it; what could steer a terminal is escaped as there. */
  xenstoreText(): string {
    return this.#xen.xenstore
      .dump()
      .map(({ path, value }) => `${path} = "${value.replace(/["\\]|\p{Cc}/gu, escaped)}"\n`)
      .join('');
  }

  snapshot(): DomainState {
    return {
      machine: this.#machine.snapshot(),
      xen: this.#xen.snapshot(),
      turn: this.#turn,
      slices: this.#slices,
      inputs: [...this.#inputs],
    };
  }

  restore(state: DomainState): void {
    this.#machine.restore(state.machine);
    this.#xen.restore(state.xen);
    this.#turn = state.turn;
    this.#slices = state.slices;
    this.#inputs = [...state.inputs];
    this.#end = undefined;
  }

  #apply(input: HostInput): void {
    const xen = this.#xen;
    if (input.kind === 'console') xen.consoleInput(input.bytes);
    else if (input.kind === 'sysrq') xen.sysrq(input.key);
    else if (input.kind === 'shutdown') xen.requestShutdown(input.request);
    else xen.triggerNmi(input.vcpu);
  }

  #nextRunnable(): number | undefined {
    const count = this.#machine.vcpuCount;
    for (let i = 0; i < count; i++) {
      const vcpu = (this.#turn + i) % count;
      if (!this.#xen.isBlocked(vcpu) && !this.#machine.isIdle(vcpu)) return vcpu;
    }
    return undefined;
  }

  /** Virtual time of the next thing that happens by itself. */
  #deadline(): number | undefined {
    const timer = this.#machine.nextTimer();
    const xen = this.#xen.nextDeadline();
    if (timer === undefined || xen === undefined) return timer ?? xen;
    return Math.min(timer, xen);
  }

  #runSlice(vcpu: number): DomainEnd | undefined {
    const machine = this.#machine;
    this.#xen.scheduled(vcpu);
    const start = machine.now();
    // An exit costs at least one of these even if it retired nothing, so that a slice always ends.
    for (let steps = 0; ; steps++) {
      const now = machine.now();
      const limit = Math.min(start + SLICE_INSTRUCTIONS, this.#deadline() ?? Number.POSITIVE_INFINITY);
      const left = Math.max(1, Math.ceil(limit - now));
      if (now + steps >= start + SLICE_INSTRUCTIONS || (steps > 0 && now >= limit)) return undefined;
      const exit = machine.run(vcpu, left);
      if (exit.kind === 'budget') return undefined;
      const effect: Effect = this.#xen.handle(vcpu, exit);
      if (effect.kind === 'shutdown') return this.#stop(effect.reason, vcpu, exit.kind !== 'shutdown');
      if (effect.kind !== 'continue') return undefined;
    }
  }

  /** Does what is due by now. @returns the end, if there is one. */
  #settle(): DomainEnd | undefined {
    if (this.#end !== undefined) return this.#end;
    const effect = this.#xen.advance(this.#machine.now());
    if (effect.kind === 'shutdown') return this.#stop(effect.reason, this.#turn, false);
    this.#machine.skipTo(this.#machine.now()); // lets LAPIC timers that are due fire
    return undefined;
  }

  #stop(reason: ShutdownReason, vcpu: number, asked: boolean): DomainEnd {
    this.#xen.scheduled(undefined);
    this.#end = { kind: 'shutdown', reason, vcpu, asked, instruction: this.retired() };
    return this.#end;
  }
}
