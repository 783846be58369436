// What the state directory keeps of a domain: the content of domain.json. Data only.
//
//   $PVH_STATE_DIR/domains/<domid>/
//     domain.json   this record, replaced whole (written aside, synced, renamed)
//     config.cfg    the xl.cfg text with command-line overrides appended
//     console.log   what the guest wrote on hvc0
//     core.elf      only when preserved or dumped: `xl dump-core` format
//     control.sock  only while a process runs the domain
//   $PVH_STATE_DIR/xen.log      the runtime's console ring (xl dmesg)
//   $PVH_STATE_DIR/next-domid

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

/** `lost`: the process that ran it ended without saying why (killed); never shown as running. */
export type DomainState = 'creating' | 'running' | 'shutdown' | 'lost';

export interface VcpuRecord {
  readonly id: number;
  readonly online: boolean;
  /** Retired-instruction time in seconds of virtual time. */
  readonly seconds: number;
}

export interface DomainRecord {
  readonly schema: 1;
  readonly domid: number;
  readonly name: string;
  readonly uuid: string;
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
  readonly process?: { readonly pid: number; readonly startTime: string } | undefined;
  readonly kernel: { readonly path: string; readonly sha256: string; readonly buildId?: string | undefined };
  readonly ramdisk?: { readonly path: string; readonly sha256: string } | undefined;
  readonly cmdline: string;
  readonly seed: number;
  /** Guest wall clock at virtual time 0, seconds since 1970, and where it came from. */
  readonly wallclock: { readonly seconds: number; readonly source: 'fixed' | 'host' };
  readonly actions: Readonly<
    Record<'on_poweroff' | 'on_reboot' | 'on_crash' | 'on_watchdog' | 'on_soft_reset', ShutdownAction>
  >;
  /** True when core.elf is whole. */
  readonly preserved: boolean;
}
