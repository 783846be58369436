// What the state directory keeps of a domain: the content of domain.json. Data only.
//
//   $PVH_STATE_DIR/domains/<domid>/
//     domain.json   this record, replaced whole (written aside, synced, renamed)
//     config.cfg    the xl.cfg text with command-line overrides appended
//     console.log   what the guest wrote on hvc0; console.log.1 before it when there was very much
//     input.log     what the host did to the guest and when (host-input.ts), one JSON line each
//     core.elf      only when preserved or dumped: `xl dump-core` format
//     xenstore.txt  the xenstore tree of a preserved domain
//     control.sock  only while a process runs the domain
//   $PVH_STATE_DIR/xen.log      the runtime's console ring (xl dmesg)
//   $PVH_STATE_DIR/log/xl-NAME.log   what the lifecycle did, in the words of xl's monitor
//   $PVH_STATE_DIR/dump/NAME    dumps of coredump-destroy and coredump-restart
//   $PVH_STATE_DIR/next-domid, registry.lock

/** SCHEDOP_shutdown reasons, xen/include/public/sched.h. */
export const SHUTDOWN_REASONS = ['poweroff', 'reboot', 'suspend', 'crash', 'watchdog', 'soft_reset'] as const;
export type ShutdownReason = (typeof SHUTDOWN_REASONS)[number];

export const SHUTDOWN_ACTIONS = [
  'destroy',
  'restart',
  'rename-restart',
  'preserve',
  'coredump-destroy',
  'coredump-restart',
  'soft-reset',
] as const;
export type ShutdownAction = (typeof SHUTDOWN_ACTIONS)[number];

/** The five on_* keys of a configuration. */
export type ShutdownActions = Readonly<
  Record<'on_poweroff' | 'on_reboot' | 'on_crash' | 'on_watchdog' | 'on_soft_reset', ShutdownAction>
>;

/** `lost`: the process that ran it ended without saying why (killed); never shown as running. */
export type DomainState = 'creating' | 'running' | 'shutdown' | 'lost';

/** A process, told apart from a later one with the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Boot and moment of its start in the kernel's own words; empty where /proc does not say. */
  readonly startTime: string;
}

export interface VcpuRecord {
  readonly id: number;
  readonly online: boolean;
  /** How long it has run: retired instructions as virtual time. */
  readonly seconds: number;
}

export interface DomainRecord {
  readonly schema: 1;
  readonly domid: number;
  readonly name: string;
  readonly uuid: string;
  /** What the guest was told when it was built: neither renaming nor keeping it changes that. */
  readonly builtAs?: { readonly name: string; readonly uuid: string } | undefined;
  readonly state: DomainState;
  /** Set when state is `shutdown`. */
  readonly shutdownReason?: ShutdownReason | undefined;
  /** Retired instruction count at the shutdown: the same for the same image, configuration and input. */
  readonly shutdownInstruction?: number | undefined;
  readonly paused: boolean;
  readonly memoryKiB: number;
  readonly vcpus: readonly VcpuRecord[];
  /** Guest virtual time since creation, nanoseconds. */
  readonly virtualNanoseconds: number;
  /** Host time of creation, ISO 8601; not part of anything that must be reproducible. */
  readonly createdAt: string;
  /** Process that runs the domain, with the kernel's start time of it so that a reused pid is not taken for it. */
  readonly process?: ProcessIdentity | undefined;
  readonly kernel: { readonly path: string; readonly sha256: string; readonly buildId?: string | undefined };
  readonly ramdisk?: { readonly path: string; readonly sha256: string } | undefined;
  readonly cmdline: string;
  readonly seed: number;
  /** Guest wall clock at virtual time 0, seconds since 1970, and where it came from. */
  readonly wallclock: { readonly seconds: number; readonly source: 'fixed' | 'host' };
  readonly actions: ShutdownActions;
  /** True when core.elf is whole. */
  readonly preserved: boolean;
  /** True while every online vCPU waits for an event. */
  readonly idle: boolean;
  /** What went wrong on the host's side, for example that core.elf could not be written. */
  readonly problem?: string | undefined;
}
