// A domain of a real Xen host as a Target: through the host's own libraries, paused while it is read. Writes nothing to it.
import { PvhError } from '../../symbols/errors.ts';
import { readVcpu } from '../dump/vcpu-context.ts';
import { readConsoleLog } from './preserved.ts';
import { PV_LACKS, pvVcpu, readVcpu32, VCPU_CONTEXT_32_SIZE } from './pv-context.ts';
import type { Target, TargetIdentity, TargetVcpu } from './target.ts';
import { XenControl, type XenDomain } from './xen-control.ts';
import { XenFrames } from './xen-frames.ts';
import { holdPaused, type Pause } from './xen-pause.ts';
import { XenStore } from './xen-store.ts';

/** Where xenconsoled keeps what guests write, when it is told to (XENCONSOLED_TRACE=guest). */
const CONSOLE_LOGS = '/var/log/xen/console';
/** HVM_MAX_VCPUS of Xen; PV guests may have more, which nobody has. */
const MAX_VCPUS = 512;

/** A domain of the host, with what xenstore calls it. */
export interface NamedDomain {
  readonly domid: number;
  readonly name: string | undefined;
  readonly uuid?: string | undefined;
}

const nameOf = (store: XenStore | undefined, domid: number): string | undefined =>
  store?.read(`/local/domain/${domid}/name`);

/**
 * The domain of this host that `spec` (a number or a name) means.
 * @throws PvhError when Xen cannot be asked.
 */
export async function findXenDomain(spec: string): Promise<NamedDomain | undefined> {
  const control = await XenControl.open();
  const store = XenStore.open(control.native);
  try {
    if (/^\d{1,5}$/.test(spec)) {
      const domain = control.domain(Number(spec));
      return domain && { domid: domain.domid, uuid: domain.uuid, name: nameOf(store, domain.domid) };
    }
    const named = control.domains().map(({ domid, uuid }) => ({ domid, uuid, name: nameOf(store, domid) }));
    return named.find(({ name }) => name === spec);
  } finally {
    store?.close();
    control.close();
  }
}

/** Reads one vCPU; adds to `lacks` what only this one does not have. */
function readXenVcpu(
  control: XenControl,
  { domid, hvm }: XenDomain,
  id: number,
  lacks: string[],
): TargetVcpu {
  let context: Uint8Array;
  // Not the flag in the context: that of a PV guest's first vCPU stays as it was when the domain was built.
  let online: boolean;
  try {
    online = control.isOnline(domid, id);
    context = control.vcpuContext(domid, id);
  } catch (error) {
    if (!(error instanceof PvhError)) throw error;
    return { id, online: false, missing: error.message };
  }
  if (!hvm) {
    const narrow = control.guestWidth(domid) === 4;
    const read = narrow ? readVcpu32(context.subarray(0, VCPU_CONTEXT_32_SIZE)) : pvVcpu(readVcpu(context));
    return { id, ...read, online };
  }
  try {
    return { id, ...readVcpu(context, control.hvmCpu(domid, id)), online };
  } catch (error) {
    if (!(error instanceof PvhError)) throw error;
    const why = error.code === 'ENODATA' ? 'Xen tells them only of a vCPU that is up' : error.message;
    lacks.push(`EFER, descriptor tables and MSRs of vcpu ${id}: ${why}`);
    return { id, ...readVcpu(context), online };
  }
}

/** Target over an opened domain. Use openXenDomain. */
class XenTarget implements Target {
  readonly kind = 'xen';
  readonly description: string;
  readonly identity: TargetIdentity;
  readonly vcpus: readonly TargetVcpu[];
  readonly lacks: readonly string[];
  readonly console: Uint8Array | undefined;
  readonly #control: XenControl;
  readonly #frames: XenFrames;
  readonly #pause: Pause | undefined;
  #open = true;

  constructor(control: XenControl, domain: XenDomain, name: string | undefined, pause: Pause | undefined) {
    const { domid, uuid, hvm, vcpus } = domain;
    this.#control = control;
    this.#pause = pause;
    this.#frames = new XenFrames(control, domain);
    this.description = `domain ${domid}${name === undefined ? '' : ` (${name})`} of this Xen host`;
    this.identity = { domid, name, uuid, xenVersion: control.version() };
    const lacks: string[] = hvm ? [] : [...PV_LACKS, 'list of frames: Xen does not keep one of a PV guest'];
    const count = Math.min(vcpus, MAX_VCPUS);
    this.vcpus = Array.from({ length: count }, (_, id) => readXenVcpu(control, domain, id, lacks));
    const log = name === undefined || name.includes('/') ? undefined : `${CONSOLE_LOGS}/guest-${name}.log`;
    this.console = log === undefined ? undefined : readConsoleLog(log);
    if (name === undefined) lacks.push('name: xenstore does not tell it');
    if (this.console === undefined)
      lacks.push(
        `console: ${log ?? 'its log'} is not there; xenconsoled keeps one with XENCONSOLED_TRACE=guest`,
      );
    this.lacks = lacks;
  }

  get frames(): readonly (readonly [number, number])[] {
    return this.#frames.runs;
  }

  readPhysical(address: number, into: Uint8Array): void {
    if (!this.#open) throw new PvhError('EBADF', `${this.description}: read after close`);
    this.#frames.read(address, into);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#pause?.release();
    this.#control.close();
  }
}

/**
 * Opens a domain of this host. A running one stands still until the target is closed or this process ends; one that has shut
 * down is left as it is.
 * @throws PvhError
 */
export async function openXenDomain(domid: number): Promise<Target> {
  if (domid === 0) throw new PvhError('EINVAL', 'dom0 cannot be read: it would have to pause itself');
  const control = await XenControl.open();
  let pause: Pause | undefined;
  try {
    const store = XenStore.open(control.native);
    const name = nameOf(store, domid);
    store?.close();
    const before = control.domain(domid);
    if (before && !before.shutdown && !before.dying) pause = holdPaused(control.native, domid);
    // What it was before the pause may be history.
    const domain = control.domain(domid);
    if (domain === undefined) throw new PvhError('ESRCH', `this Xen host has no domain ${domid}`);
    return new XenTarget(control, domain, name, pause);
  } catch (error) {
    pause?.release();
    control.close();
    throw error;
  }
}
