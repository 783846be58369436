// What libxenctrl and libxenforeignmemory tell of the domains of a real Xen host. Pauses and unpauses, changes nothing else.
// Source: xen/tools/include/xenctrl.h and xenforeignmemory.h; xen/include/public/domctl.h, which keeps the fields used here
// at the same places from 4.14 to 4.22, as the prototypes stayed.
import { PvhError } from '../../symbols/errors.ts';
import { HVM_CPU_SIZE, VCPU_CONTEXT_SIZE } from '../dump/vcpu-context.ts';
import { hypervisorVersion, mayUseXen, notXenHost, xenctrlLibraries } from '../host/xen-host.ts';
import { type Calls, Native } from './xen-native.ts';

const XENCTRL = {
  xc_interface_open: 'void *xc_interface_open(void *, void *, unsigned int)',
  xc_interface_close: 'int xc_interface_close(void *)',
  xc_domain_getinfolist: 'int xc_domain_getinfolist(void *, uint32_t, unsigned int, void *)',
  xc_domain_pause: 'int xc_domain_pause(void *, uint32_t)',
  xc_domain_unpause: 'int xc_domain_unpause(void *, uint32_t)',
  xc_domain_get_guest_width: 'int xc_domain_get_guest_width(void *, uint32_t, void *)',
  xc_domain_maximum_gpfn: 'int xc_domain_maximum_gpfn(void *, uint32_t, void *)',
  xc_vcpu_getinfo: 'int xc_vcpu_getinfo(void *, uint32_t, uint32_t, void *)',
  xc_vcpu_getcontext: 'int xc_vcpu_getcontext(void *, uint32_t, uint32_t, void *)',
  xc_domain_hvm_getcontext_partial:
    'int xc_domain_hvm_getcontext_partial(void *, uint32_t, uint16_t, uint16_t, void *, uint32_t)',
  xc_version: 'int xc_version(void *, int, void *)',
} as const;

const FOREIGN_MEMORY = {
  xenforeignmemory_open: 'void *xenforeignmemory_open(void *, unsigned int)',
  xenforeignmemory_close: 'int xenforeignmemory_close(void *)',
  xenforeignmemory_map: 'void *xenforeignmemory_map(void *, uint32_t, int, size_t, const void *, void *)',
  xenforeignmemory_unmap: 'int xenforeignmemory_unmap(void *, void *, size_t)',
} as const;

const LIBC = { memcpy: 'void *memcpy(void *, void *, size_t)' } as const;

const PAGE = 4096;
const PROT_READ = 1;
/** Larger than any release's xen_domctl_getdomaininfo (104 bytes in 4.14, 112 since). */
const DOMAIN_INFO_ROOM = 512;
/** Xen gives no domain this number or a higher one (DOMID_FIRST_RESERVED). */
const DOMID_END = 0x7ff0;
/** xen_domctl_getvcpuinfo has 24 bytes, the fifth is `online`. */
const VCPU_INFO_ROOM = 64;
const VCPU_INFO_ONLINE = 4;
const HVM_SAVE_CPU = 2;
const XENVER_version = 0;
const XENVER_extraversion = 1;

/** Bits of xen_domctl_getdomaininfo.flags. */
const XEN_DOMINF_dying = 1 << 0;
const XEN_DOMINF_hvm_guest = 1 << 1;
const XEN_DOMINF_shutdown = 1 << 2;
const XEN_DOMINF_paused = 1 << 3;

/** A domain of the host as Xen knows it; its name is xenstore's affair. */
export interface XenDomain {
  readonly domid: number;
  readonly uuid: string;
  /** HVM in Xen's sense, which PVH is; else PV. */
  readonly hvm: boolean;
  readonly dying: boolean;
  /** It has ended, by a crash or otherwise, and none of its vCPUs runs any more. */
  readonly shutdown: boolean;
  readonly paused: boolean;
  /** Frames that it has. */
  readonly pages: number;
  readonly vcpus: number;
}

function parseDomain(bytes: Buffer): XenDomain {
  const flags = bytes.readUInt32LE(4);
  const has = (bit: number): boolean => (flags & bit) !== 0;
  return {
    domid: bytes.readUInt16LE(0),
    uuid: bytes.toString('hex', 76, 92).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
    hvm: has(XEN_DOMINF_hvm_guest),
    dying: has(XEN_DOMINF_dying),
    shutdown: has(XEN_DOMINF_shutdown),
    paused: has(XEN_DOMINF_paused),
    pages: Number(bytes.readBigUInt64LE(8)),
    // XEN_INVALID_MAX_VCPU_ID, all ones, where it has none yet.
    vcpus: (bytes.readUInt32LE(68) + 1) >>> 0,
  };
}

/** libxenctrl has no stable ABI: its version is the hypervisor's. */
function bindXenctrl(native: Native): Calls<typeof XENCTRL> {
  const version = hypervisorVersion();
  const installed = xenctrlLibraries();
  const wanted =
    version === undefined ? installed : installed.filter((path) => path.endsWith(`.so.${version}`));
  // The dynamic loader knows folders that we do not.
  const candidates = version === undefined ? wanted : [`libxenctrl.so.${version}`, ...wanted];
  const reasons: string[] = [];
  for (const library of candidates)
    try {
      return native.bind(library, XENCTRL);
    } catch (error) {
      if (!(error instanceof PvhError)) throw error;
      reasons.push(error.message);
    }
  const others = installed.length > 0 ? `; this machine has ${installed.join(', ')}` : '';
  throw new PvhError(
    'ENOLIB',
    `no usable libxenctrl of Xen ${version ?? '4.x'}: install the Xen tools of the running hypervisor ` +
      `(libxenmisc4.17 on Debian 12)${others}${reasons.map((reason) => `; ${reason}`).join('')}`,
  );
}

/** The host's toolstack libraries, opened. */
export class XenControl {
  readonly native: Native;
  readonly #xc: Calls<typeof XENCTRL>;
  readonly #memory: Calls<typeof FOREIGN_MEMORY>;
  readonly #libc: Calls<typeof LIBC>;
  /** Undefined after close. */
  #handle: unknown;
  #memoryHandle: unknown;

  private constructor(native: Native) {
    this.native = native;
    this.#libc = native.bind(null, LIBC);
    this.#xc = bindXenctrl(native);
    this.#memory = native.bind('libxenforeignmemory.so.1', FOREIGN_MEMORY);
    this.#handle = this.#xc.xc_interface_open(null, null, 0) || undefined;
    if (this.#handle === undefined)
      throw native.failure('cannot open the interface to Xen (xc_interface_open)');
    this.#memoryHandle = this.#memory.xenforeignmemory_open(null, 0) || undefined;
    if (this.#memoryHandle !== undefined) return;
    const failure = native.failure('cannot open the interface to Xen (xenforeignmemory_open)');
    this.close();
    throw failure;
  }

  /** @throws PvhError when this is no control domain, when its user may not, when a library is missing. */
  static async open(): Promise<XenControl> {
    const why = notXenHost();
    if (why !== undefined) throw new PvhError('ENOXEN', why);
    if (!mayUseXen())
      throw new PvhError(
        'EACCES',
        'domains of a Xen host are read as root only: /dev/xen/privcmd: Permission denied (use sudo)',
      );
    return new XenControl(await Native.load());
  }

  /** @returns undefined when there is no such domain. @throws PvhError */
  domain(domid: number): XenDomain | undefined {
    const found = this.#nextDomain(domid);
    return found?.domid === domid ? found : undefined;
  }

  /** All domains, dom0 first. @throws PvhError */
  domains(): XenDomain[] {
    const found: XenDomain[] = [];
    for (let next = 0; next < DOMID_END; ) {
      const domain = this.#nextDomain(next);
      // An older number than asked for would never end.
      if (domain === undefined || domain.domid < next) break;
      found.push(domain);
      next = domain.domid + 1;
    }
    return found;
  }

  /** Adds one to the domain's count of pauses. @throws PvhError */
  pause(domid: number): void {
    this.#check(this.#xc.xc_domain_pause(this.#handle, domid), domid, 'xc_domain_pause');
  }

  /** Takes one off. @throws PvhError */
  unpause(domid: number): void {
    this.#check(this.#xc.xc_domain_unpause(this.#handle, domid), domid, 'xc_domain_unpause');
  }

  /** Whether a vCPU is up. @throws PvhError */
  isOnline(domid: number, vcpu: number): boolean {
    const info = new Uint8Array(VCPU_INFO_ROOM);
    const result = this.#xc.xc_vcpu_getinfo(this.#handle, domid, vcpu, info);
    this.#check(result, domid, `xc_vcpu_getinfo of vcpu ${vcpu}`);
    return info[VCPU_INFO_ONLINE] !== 0;
  }

  /** vcpu_guest_context of a vCPU. @throws PvhError, ENODATA for one that was never started */
  vcpuContext(domid: number, vcpu: number): Uint8Array {
    const context = new Uint8Array(VCPU_CONTEXT_SIZE);
    const result = this.#xc.xc_vcpu_getcontext(this.#handle, domid, vcpu, context);
    this.#check(result, domid, `xc_vcpu_getcontext of vcpu ${vcpu}`);
    return context;
  }

  /** The HVM CPU record of a vCPU. @throws PvhError, ENODATA for one that is down */
  hvmCpu(domid: number, vcpu: number): Uint8Array {
    // A later Xen may have added to the record's end.
    const record = new Uint8Array(2 * HVM_CPU_SIZE);
    const call = this.#xc.xc_domain_hvm_getcontext_partial;
    const result = call(this.#handle, domid, HVM_SAVE_CPU, vcpu, record, record.length);
    this.#check(result, domid, `xc_domain_hvm_getcontext_partial of vcpu ${vcpu}`);
    return record.subarray(0, HVM_CPU_SIZE);
  }

  /** Bytes of a word of a PV guest: 4 or 8. @throws PvhError */
  guestWidth(domid: number): number {
    const width = new Uint32Array(1);
    const result = this.#xc.xc_domain_get_guest_width(this.#handle, domid, width);
    this.#check(result, domid, 'xc_domain_get_guest_width');
    return width[0] ?? 0;
  }

  /** The highest guest frame number that the domain has. @throws PvhError */
  lastFrame(domid: number): number {
    const frame = new BigUint64Array(1);
    const result = this.#xc.xc_domain_maximum_gpfn(this.#handle, domid, frame);
    this.#check(result, domid, 'xc_domain_maximum_gpfn');
    return Number(frame[0] ?? 0n);
  }

  /** For example `4.17.5`; undefined when Xen does not say. */
  version(): string | undefined {
    const number = Number(this.#xc.xc_version(this.#handle, XENVER_version, null));
    const extra = Buffer.alloc(16);
    if (number < 0 || Number(this.#xc.xc_version(this.#handle, XENVER_extraversion, extra)) < 0)
      return undefined;
    const text = extra
      .toString('latin1')
      .replace(/\0.*$/s, '')
      .replace(/[^\x20-\x7e]/g, '?');
    return `${number >> 16}.${number & 0xffff}${text}`;
  }

  /**
   * Copies frames out of a domain.
   * @returns a page for each frame, or undefined where the domain has none that can be mapped.
   * @throws PvhError when none can be looked at.
   */
  copyFrames(domid: number, frames: readonly number[]): (Uint8Array | undefined)[] {
    return this.#withMapped(domid, frames, (mapping, errors) => {
      const bytes = new Uint8Array(frames.length * PAGE);
      return frames.map((_, index) => {
        if (errors[index] !== 0) return undefined;
        const page = bytes.subarray(index * PAGE, (index + 1) * PAGE);
        this.#libc.memcpy(page, mapping + BigInt(index * PAGE), PAGE);
        return page;
      });
    });
  }

  /** Which of these frames the domain has. @throws PvhError */
  haveFrames(domid: number, frames: readonly number[]): boolean[] {
    return this.#withMapped(domid, frames, (_, errors) => Array.from(errors, (error) => error === 0));
  }

  /** Harmless when repeated. */
  close(): void {
    if (this.#memoryHandle !== undefined) this.#memory.xenforeignmemory_close(this.#memoryHandle);
    if (this.#handle !== undefined) this.#xc.xc_interface_close(this.#handle);
    this.#memoryHandle = undefined;
    this.#handle = undefined;
  }

  /** The domain `first`, or the next one that there is. */
  #nextDomain(first: number): XenDomain | undefined {
    const bytes = Buffer.alloc(DOMAIN_INFO_ROOM);
    const count = Number(this.#xc.xc_domain_getinfolist(this.#handle, first, 1, bytes));
    if (count < 0) throw this.native.failure('cannot ask Xen for its domains (xc_domain_getinfolist)');
    return count === 0 ? undefined : parseDomain(bytes);
  }

  #withMapped<T>(domid: number, frames: readonly number[], look: (at: bigint, errors: Int32Array) => T): T {
    const errors = new Int32Array(frames.length);
    const numbers = BigUint64Array.from(frames, BigInt);
    const { xenforeignmemory_map: map, xenforeignmemory_unmap: unmap } = this.#memory;
    const mapping = map(this.#memoryHandle, domid, PROT_READ, frames.length, numbers, errors);
    if (typeof mapping !== 'bigint' || mapping === 0n)
      throw this.native.failure(`domain ${domid}: cannot map its memory (xenforeignmemory_map)`);
    try {
      return look(mapping, errors);
    } finally {
      unmap(this.#memoryHandle, mapping, frames.length);
    }
  }

  #check(result: unknown, domid: number, what: string): void {
    if (Number(result) < 0) throw this.native.failure(`domain ${domid}: ${what}`);
  }
}
