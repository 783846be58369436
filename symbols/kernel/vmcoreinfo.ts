// VMCOREINFO: what the kernel itself writes for crash tools (linux kernel/vmcore_info.c; kernel/crash_core.c before 6.9), since boot
// and not only in a crash. Finds it by symbol or by its note in physical memory, and says what its lines tell.

import type { AddressOf } from '../address.ts';
import { latin1Of } from '../bytes.ts';
import { FormatError, MemoryFault } from '../errors.ts';
import type { GuestReader } from './guest-reader.ts';
import type { TypeLayouts } from './type-layouts.ts';
import { decimalValue, hexValue, type VmcoreinfoLines, vmcoreinfoLines } from './vmcoreinfo-lines.ts';

/** One page; kernels use some 3 KB of it. */
const MAX_TEXT = 4096;
const NOTE_NAME = 'VMCOREINFO';
const NOTE_HEADER = 24;
const PAGE = 4096;
/** Pages looked at without symbols to go by: those of 64 GiB. */
const MAX_PAGES = 16 << 20;

/** Guest-physical memory, for the search without symbols. */
export interface PhysicalMemory {
  /** Fills `into` from a guest-physical address. @throws MemoryFault when a byte is not there. */
  readPhysical(address: number, into: Uint8Array): void;
  /** Ascending [first gfn, count] runs. */
  readonly frames: readonly (readonly [number, number])[];
}

/** The lines, by what they tell. Addresses are those at run time: no shift applies. */
export class Vmcoreinfo {
  /** Every line that is `key=value`. */
  readonly keys: VmcoreinfoLines;

  constructor(text: string) {
    this.keys = vmcoreinfoLines(text);
  }

  get release(): string | undefined {
    return this.keys.get('OSRELEASE');
  }

  /** Lower-case hex; undefined when it is missing or one of the garbled ones (5.15.168, 6.1.113 to 118, 6.6.55 to 62). */
  get buildId(): string | undefined {
    const id = this.keys.get('BUILD-ID');
    return id !== undefined && /^[0-9a-f]{16,64}$/.test(id) ? id : undefined;
  }

  symbol(name: string): bigint | undefined {
    return hexValue(this.keys.get(`SYMBOL(${name})`));
  }

  /** A plain number of C code, such as `phys_base` (signed). */
  number(name: string): bigint | undefined {
    return decimalValue(this.keys.get(`NUMBER(${name})`));
  }

  /** How far the image was shifted by KASLR. */
  get kernelOffset(): bigint | undefined {
    return hexValue(this.keys.get('KERNELOFFSET'));
  }

  /** OFFSET() and SIZE() lines as layouts: few types, but those of the log. */
  get layouts(): TypeLayouts {
    const small = (key: string): number | undefined => {
      const text = this.keys.get(key);
      return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
    };
    const offsetOf = (type: string, member: string): number | undefined => small(`OFFSET(${type}.${member})`);
    return {
      source: NOTE_NAME,
      sizeOf: (type) => small(`SIZE(${type})`),
      offsetOf,
      memberOf(type, member) {
        const offset = offsetOf(type, member);
        return offset === undefined ? undefined : { offset, size: undefined };
      },
    };
  }
}

/** The text of the kernel's own copy. Undefined when the kernel has none (CONFIG_KEXEC_CORE) or it cannot be read. */
export function readVmcoreinfo(reader: GuestReader, addressOf: AddressOf): Vmcoreinfo | undefined {
  const [data, size] = [addressOf('vmcoreinfo_data'), addressOf('vmcoreinfo_size')];
  if (data === undefined || size === undefined) return undefined;
  try {
    const length = Number(reader.u64(size));
    const info = new Vmcoreinfo(reader.text(reader.u64(data), Math.min(length, MAX_TEXT)));
    return info.release === undefined ? undefined : info;
  } catch (error) {
    if (error instanceof MemoryFault) return undefined;
    throw error;
  }
}

/** Looks for the note at the start of every page of physical memory: the kernel gives it pages of its own. */
export function searchVmcoreinfo(memory: PhysicalMemory): Vmcoreinfo | undefined {
  const bytes = new Uint8Array(NOTE_HEADER);
  let pages = 0;
  for (const [first, count] of memory.frames)
    for (let gfn = first; gfn < first + count && pages < MAX_PAGES; gfn++, pages++) {
      const info = readNote(memory, gfn * PAGE, bytes);
      if (info) return info;
    }
  return undefined;
}

function readNote(memory: PhysicalMemory, address: number, header: Uint8Array): Vmcoreinfo | undefined {
  try {
    memory.readPhysical(address, header);
    if (header[0] !== NOTE_NAME.length + 1 || header[12] !== NOTE_NAME.charCodeAt(0)) return undefined;
    if (latin1Of(header.subarray(12, 12 + NOTE_NAME.length)) !== NOTE_NAME) return undefined;
    const size = new DataView(header.buffer).getUint32(4, true);
    const text = new Uint8Array(Math.min(size, MAX_TEXT));
    memory.readPhysical(address + NOTE_HEADER, text);
    const info = new Vmcoreinfo(latin1Of(text));
    return info.release === undefined ? undefined : info;
  } catch (error) {
    if (error instanceof MemoryFault || error instanceof FormatError) return undefined;
    throw error;
  }
}
