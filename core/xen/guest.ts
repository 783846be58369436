// XenGuest: all parts of the Xen side of one domain, wired together. Decodes no hypercall and no exit.
import { CONSOLE_GFN, type MemoryRange, memoryMap, XENSTORE_GFN } from '../boot/layout.ts';
import { PHYSICAL_BITS } from '../cpu/layout.ts';
import { SHUTDOWN_REASONS, type ShutdownReason } from '../domain/record.ts';
import type { Machine } from '../machine/machine.ts';
import { GNTTAB_RESERVED_CONSOLE, GNTTAB_RESERVED_XENSTORE } from './abi/grant-table.ts';
import {
  HVM_NR_PARAMS,
  HVM_PARAM_CONSOLE_EVTCHN,
  HVM_PARAM_CONSOLE_PFN,
  HVM_PARAM_STORE_EVTCHN,
  HVM_PARAM_STORE_PFN,
} from './abi/hvm-params.ts';
import { AcpiPower, type AcpiPowerState } from './acpi-power.ts';
import { ConsoleRing, type ConsoleState } from './console.ts';
import type { Effect } from './effect.ts';
import { type Backend, type EventChannelState, EventChannels } from './event-channels.ts';
import { GrantTable, type GrantTableState } from './grant-table.ts';
import { GuestLog, type GuestLogState } from './guest-log.ts';
import { type MtrrState, Mtrrs } from './mtrr.ts';
import { Physmap, type PhysmapState } from './physmap.ts';
import { Runstates, type RunstatesState } from './runstates.ts';
import { SharedInfo, type SharedInfoState } from './shared-info.ts';
import { type TimerState, Timers } from './timers.ts';
import { type UpcallState, Upcalls } from './upcalls.ts';
import { type WaitState, Waits } from './waits.ts';
import { writeInitialTree } from './xenstore/initial-tree.ts';
import { StoreRing, type StoreRingState } from './xenstore/ring.ts';
import { XenStore, type XenStoreState } from './xenstore/store.ts';

export interface XenOptions {
  readonly domid: number;
  /** Lower case, with dashes. */
  readonly uuid: string;
  readonly name: string;
  /** Seconds since 1970 at virtual time 0. */
  readonly wallclockSeconds: number;
  readonly maxMemKiB: number;
  readonly version: { readonly major: number; readonly minor: number; readonly extra: string };
  /** Decides whether the hypercall page holds VMCALL or VMMCALL. */
  readonly vendor: 'GenuineIntel' | 'AuthenticAMD';
  /** Bytes that the guest wrote to its console. */
  readonly onConsole: (bytes: Uint8Array) => void;
  /** A line of the hypervisor's log with its prefix: `(XEN) ...` or `(d1) ...`. */
  readonly onLog: (line: string) => void;
}

/** All of the Xen side's state, as data. The pages that it shares with the guest are in the MachineState. */
export interface XenState {
  readonly shared: SharedInfoState;
  readonly upcalls: UpcallState;
  readonly events: EventChannelState;
  readonly physmap: PhysmapState;
  readonly grants: GrantTableState;
  readonly timers: TimerState;
  readonly runstates: RunstatesState;
  readonly waits: WaitState;
  readonly store: XenStoreState;
  readonly storeRing: StoreRingState;
  readonly console: ConsoleState;
  readonly log: GuestLogState;
  readonly power: AcpiPowerState;
  readonly mtrrs: MtrrState;
  readonly parameters: readonly bigint[];
  readonly frames: { readonly console: number; readonly store: number };
  readonly initialised: readonly boolean[];
  readonly shutdown: ShutdownReason | undefined;
}

export class XenGuest {
  readonly machine: Machine;
  readonly options: XenOptions;
  readonly memoryMap: readonly MemoryRange[];
  readonly shared: SharedInfo;
  readonly upcalls: Upcalls;
  readonly events: EventChannels;
  readonly physmap: Physmap;
  readonly grants: GrantTable;
  readonly timers: Timers;
  readonly runstates: Runstates;
  readonly waits: Waits;
  readonly store: XenStore;
  readonly storeRing: StoreRing;
  readonly console: ConsoleRing;
  readonly log: GuestLog;
  readonly power: AcpiPower = new AcpiPower();
  readonly mtrrs: Mtrrs;
  /** HVM parameters by index. */
  readonly parameters: bigint[] = new Array(HVM_NR_PARAMS).fill(0n);
  /** Which vCPUs VCPUOP_initialise gave a context. */
  readonly initialised: boolean[];
  #consoleFrame: number;
  #storeFrame: number;
  #shutdown: ShutdownReason | undefined;

  constructor(machine: Machine, options: XenOptions) {
    const { domid } = options;
    this.machine = machine;
    this.options = options;
    this.memoryMap = memoryMap(machine.ramBytes);
    this.initialised = Array.from({ length: machine.vcpuCount }, (_, vcpu) => vcpu === 0);
    this.shared = new SharedInfo(machine, options.wallclockSeconds);
    this.upcalls = new Upcalls(machine, this.shared);
    this.waits = new Waits(machine.vcpuCount);
    this.events = new EventChannels(
      this.shared,
      this.upcalls,
      { domid, vcpus: machine.vcpuCount },
      (backend) => this.kick(backend),
      (vcpu, port) => this.#raised(vcpu, port),
    );
    this.physmap = new Physmap(machine, Math.floor(options.maxMemKiB / 4));
    this.timers = new Timers(machine.vcpuCount);
    this.mtrrs = new Mtrrs(machine.vcpuCount, PHYSICAL_BITS);
    this.runstates = new Runstates(machine);
    this.log = new GuestLog(domid, options.onLog);
    this.#storeFrame = this.#specialPage(XENSTORE_GFN);
    this.#consoleFrame = this.#specialPage(CONSOLE_GFN);
    this.store = new XenStore(domid, () => this.kick('xenstore'));
    this.storeRing = new StoreRing(() => machine.frameDataView(this.#storeFrame), this.store);
    this.console = new ConsoleRing(() => machine.frameDataView(this.#consoleFrame), options.onConsole);
    this.grants = new GrantTable(machine);
    this.#connectBackends();
  }

  #specialPage(gfn: number): number {
    const frame = this.machine.allocateFrame();
    this.machine.mapFrame(gfn, frame);
    return frame;
  }

  #connectBackends(): void {
    const { domid, name, uuid, wallclockSeconds, maxMemKiB } = this.options;
    const storePort = this.events.attach('xenstore');
    const consolePort = this.events.attach('console');
    this.parameters[HVM_PARAM_STORE_PFN] = BigInt(XENSTORE_GFN);
    this.parameters[HVM_PARAM_STORE_EVTCHN] = BigInt(storePort);
    this.parameters[HVM_PARAM_CONSOLE_PFN] = BigInt(CONSOLE_GFN);
    this.parameters[HVM_PARAM_CONSOLE_EVTCHN] = BigInt(consolePort);
    this.grants.reserve(GNTTAB_RESERVED_CONSOLE, 0, CONSOLE_GFN);
    this.grants.reserve(GNTTAB_RESERVED_XENSTORE, 0, XENSTORE_GFN);
    writeInitialTree(this.store, {
      domid,
      name,
      uuid,
      vcpus: this.machine.vcpuCount,
      memoryKiB: this.machine.ramBytes / 1024,
      maxMemoryKiB: maxMemKiB,
      store: { port: storePort, gfn: XENSTORE_GFN },
      console: { port: consolePort, gfn: CONSOLE_GFN },
      startSeconds: wallclockSeconds,
    });
  }

  /** Lets a backend look at its ring. */
  kick(backend: Backend): void {
    const ring = backend === 'console' ? this.console : this.storeRing;
    if (ring.pump()) this.events.notify(backend);
  }

  #raised(vcpu: number, port: number): void {
    if (!this.shared.isMasked(port)) this.waits.wake(vcpu);
    this.waits.portPending(port);
  }

  /** ns of system time: since the domain was created. */
  now(): number {
    return this.machine.now();
  }

  logLine(text: string): void {
    this.options.onLog(`(XEN) ${text}`);
  }

  /** Why the domain stopped, once it did. */
  get shutdownReason(): ShutdownReason | undefined {
    return this.#shutdown;
  }

  /** Stops the domain; the first reason stays. */
  shutDown(reason: ShutdownReason): ShutdownReason {
    this.#shutdown ??= reason;
    return this.#shutdown;
  }

  /** A domain whose last vCPU went down is powered off, as Xen has it for HLT with interrupts off. */
  afterVcpuDown(): Effect | undefined {
    for (let vcpu = 0; vcpu < this.machine.vcpuCount; vcpu++) {
      const state = this.machine.state(vcpu);
      if (state === 'running' || state === 'halted') return undefined;
    }
    return { kind: 'shutdown', reason: this.shutDown('poweroff') };
  }

  snapshot(): XenState {
    return {
      shared: this.shared.snapshot(),
      upcalls: this.upcalls.snapshot(),
      events: this.events.snapshot(),
      physmap: this.physmap.snapshot(),
      grants: this.grants.snapshot(),
      timers: this.timers.snapshot(),
      runstates: this.runstates.snapshot(),
      waits: this.waits.snapshot(),
      store: this.store.snapshot(),
      storeRing: this.storeRing.snapshot(),
      console: this.console.snapshot(),
      log: this.log.snapshot(),
      power: this.power.snapshot(),
      mtrrs: this.mtrrs.snapshot(),
      parameters: [...this.parameters],
      frames: { console: this.#consoleFrame, store: this.#storeFrame },
      initialised: [...this.initialised],
      shutdown: this.#shutdown,
    };
  }

  /** The machine must have been restored before: frame handles are its. */
  restore(state: XenState): void {
    this.shared.restore(state.shared);
    this.upcalls.restore(state.upcalls);
    this.events.restore(state.events);
    this.physmap.restore(state.physmap);
    this.grants.restore(state.grants);
    this.timers.restore(state.timers);
    this.runstates.restore(state.runstates);
    this.waits.restore(state.waits);
    this.store.restore(state.store);
    this.storeRing.restore(state.storeRing);
    this.console.restore(state.console);
    this.log.restore(state.log);
    this.power.restore(state.power);
    this.mtrrs.restore(state.mtrrs);
    this.parameters.splice(0, HVM_NR_PARAMS, ...state.parameters);
    this.#consoleFrame = state.frames.console;
    this.#storeFrame = state.frames.store;
    this.initialised.splice(0, this.initialised.length, ...state.initialised);
    this.#shutdown = state.shutdown;
  }
}

/** SCHEDOP_shutdown's number as a reason; one that Xen has no name for counts as a crash. */
export const reasonOf = (code: number): ShutdownReason => SHUTDOWN_REASONS[code] ?? 'crash';
