// ORC tables of Linux (arch/x86/include/asm/orc_types.h, 4.14 to 7.1): from an address to a row. Reads single entries on demand,
// from the sections of a vmlinux or out of guest memory.
import type { AddressOf } from '../address.ts';
import { hexOf } from '../bytes.ts';
import { type ElfFile, findSection } from '../elf/elf-file.ts';
import type { MemorySource } from '../memory.ts';
import type { CfaRule, RowKind, RowRegister, RowSource, UnwindRow } from './row.ts';

const IP_SIZE = 4;
const ENTRY_SIZE = 6;
/** Entries that are read at once where all are. */
const ENTRIES_AT_ONCE = 1024;

/** Bytes of a table by offset; throws what its source throws. */
type ReadAt = (offset: number, length: number) => Uint8Array;

export interface OrcTables {
  /** Address of the first element of .orc_unwind_ip: its elements are relative to themselves. */
  readonly ipAddress: bigint;
  readonly count: number;
  readonly readIps: ReadAt;
  readonly readEntries: ReadAt;
  /** 20 bytes that name the format; undefined before 6.4. */
  readonly header: Uint8Array | undefined;
  /** `new` when absent. */
  readonly indirection?: Indirection;
}

/** Where the offset of sp_indirect is added: to the word that sp points to since 5.12 (aa5cacdc29d7), before to sp itself. */
export type Indirection = 'new' | 'old' | 'unknown';

/**
 * The same release brought per-CPU hardirq_stack_inuse, which was in pcpu_hot from 6.2 to 6.14; .orc_header is younger. The
 * interrupt stack's pointer tells whether there are symbols of such data at all.
 */
function indirectionOf(addressOf: AddressOf): Indirection {
  const has = (name: string): boolean => addressOf(name) !== undefined;
  if (['__start_orc_header', 'hardirq_stack_inuse', 'pcpu_hot'].some(has)) return 'new';
  return ['hardirq_stack_ptr', 'irq_stack_ptr', 'irq_stack_union'].some(has) ? 'old' : 'unknown';
}

type Base = RowRegister | 'prev_sp' | 'bp_indirect' | 'sp_indirect' | undefined;

/** Meaning of the bits of one format. */
interface Format {
  readonly registers: readonly Base[];
  readonly kinds: readonly RowKind[];
  /** Bit that marks an interrupted caller; undefined where the format has none (then only register frames do). */
  readonly signalBit?: number;
  /** Flags that mark the end of a stack in formats that have no type for it. */
  readonly endFlags?: number;
}

const REGISTERS_1: readonly Base[] = [
  undefined,
  'prev_sp',
  'rdx',
  'rdi',
  'rbp',
  'rsp',
  'r10',
  'r13',
  'bp_indirect',
  'sp_indirect',
  'rax',
];
const REGISTERS_4: readonly Base[] = [
  undefined,
  'rax',
  'rdx',
  'rsp',
  'rbp',
  'rdi',
  'r10',
  'r13',
  'prev_sp',
  'sp_indirect',
  'bp_indirect',
];
const KINDS_1: readonly RowKind[] = ['call', 'registers', 'iret frame', 'unknown'];
const KINDS_3: readonly RowKind[] = ['unknown', 'end', 'call', 'registers', 'iret frame'];

/**
 * 4.14 to 6.2; the end bit, 10, came in 4.20 and was unused before. 6.3 to 6.3.9 have format 2 and no header to say so: their end bit
 * is 11, which nothing else used.
 */
const FORMAT_1: Format = { registers: REGISTERS_1, kinds: KINDS_1, endFlags: 0xc00 };
const FORMAT_2: Format = { registers: REGISTERS_1, kinds: KINDS_1, signalBit: 10, endFlags: 0x800 };
const FORMAT_3: Format = { registers: REGISTERS_1, kinds: KINDS_3, signalBit: 11 };
const FORMAT_4: Format = { registers: REGISTERS_4, kinds: KINDS_3, signalBit: 11 };

/** .orc_header of the kernels that have it: 6.3.10 (format 2), 6.4 (3), 7.1 (4). */
const FORMATS: Readonly<Record<string, Format>> = {
  db84aed4103b31dd51e017f8f79783ca985c2c51: FORMAT_2,
  fe5d32bf581bd63b2ca9a5c65ba5a625eab3fe24: FORMAT_3,
  '137c36ad7627c4dd55932176bb0ecdbd5041fc82': FORMAT_4,
};

function formatOf(header: Uint8Array | undefined): Format {
  if (!header) return FORMAT_1;
  return FORMATS[hexOf(header)] ?? FORMAT_4; // a later format: most likely as the newest known
}

const bit = (flags: number, position: number | undefined): boolean =>
  position !== undefined && ((flags >>> position) & 1) !== 0;

function cfaRule(base: Base, offset: number, indirection: Indirection): CfaRule | undefined {
  if (base === undefined || base === 'prev_sp') return undefined;
  if (base === 'sp_indirect') {
    if (indirection === 'unknown') return undefined;
    return { base: 'rsp', offset, load: indirection === 'new' ? 'at base' : 'at place' };
  }
  if (base === 'bp_indirect') return { base: 'rbp', offset, load: 'at place' };
  return { base, offset, load: 'none' };
}

/** Decodes the 6 bytes of an orc_entry. */
export function decodeOrcEntry(
  bytes: Uint8Array,
  header: Uint8Array | undefined,
  indirection: Indirection = 'new',
): UnwindRow {
  const format = formatOf(header);
  const view = new DataView(bytes.buffer, bytes.byteOffset, ENTRY_SIZE);
  const flags = view.getUint16(4, true);
  const cfa = cfaRule(format.registers[flags & 0xf], view.getInt16(0, true), indirection);
  const typeBits = format.kinds === KINDS_3 ? 7 : 3;
  const kind = format.kinds[(flags >>> 8) & typeBits] ?? 'unknown';
  const bpOffset = view.getInt16(2, true);
  const bp = format.registers[(flags >>> 4) & 0xf];
  const bpPlace =
    bp === 'prev_sp'
      ? { base: 'cfa' as const, offset: bpOffset }
      : bp === 'rbp'
        ? { base: bp, offset: bpOffset }
        : undefined;
  const known = cfa !== undefined && kind !== 'end';
  return {
    how: 'orc',
    kind: known ? kind : (flags & (format.endFlags ?? 0)) !== 0 || kind === 'end' ? 'end' : 'unknown',
    cfa: cfa ?? { base: 'rsp', offset: 0, load: 'none' },
    saved: bpPlace ? { rbp: bpPlace } : {},
    signal: format.signalBit === undefined ? kind !== 'call' : bit(flags, format.signalBit),
  };
}

/** Finds rows by binary search: the last entry at or below an address. */
export class OrcRows implements RowSource {
  readonly #tables: OrcTables;

  constructor(tables: OrcTables) {
    this.#tables = tables;
  }

  find(pc: bigint): UnwindRow | undefined {
    let low = 0;
    let high = this.#tables.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#address(middle) <= pc) low = middle + 1;
      else high = middle;
    }
    // The last entry only ends the one before it.
    if (low === 0 || low === this.#tables.count) return undefined;
    const { readEntries, header, indirection } = this.#tables;
    return decodeOrcEntry(readEntries((low - 1) * ENTRY_SIZE, ENTRY_SIZE), header, indirection);
  }

  /** All rows in order, each from its address up to that of the next; the last one only ends the one before it. */
  *entries(): Generator<{ readonly address: bigint; readonly row: UnwindRow }> {
    const { count, ipAddress, readIps, readEntries, header, indirection } = this.#tables;
    // A kernel has 400,000 entries and some hundred different ones.
    const decoded = new Map<number, UnwindRow>();
    for (let first = 0; first < count; first += ENTRIES_AT_ONCE) {
      const length = Math.min(ENTRIES_AT_ONCE, count - first);
      const ips = readIps(first * IP_SIZE, length * IP_SIZE);
      const entries = readEntries(first * ENTRY_SIZE, length * ENTRY_SIZE);
      const view = new DataView(ips.buffer, ips.byteOffset, ips.length);
      for (let index = 0; index < length; index++) {
        const at = IP_SIZE * (first + index) + view.getInt32(IP_SIZE * index, true);
        const bytes = entries.subarray(ENTRY_SIZE * index, ENTRY_SIZE * (index + 1));
        const key = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
        const row = decoded.get(key) ?? decodeOrcEntry(bytes, header, indirection);
        decoded.set(key, row);
        yield { address: BigInt.asUintN(64, ipAddress + BigInt(at)), row };
      }
    }
  }

  #address(index: number): bigint {
    const bytes = this.#tables.readIps(index * IP_SIZE, IP_SIZE);
    const relative = new DataView(bytes.buffer, bytes.byteOffset, IP_SIZE).getInt32(0, true);
    return BigInt.asUintN(64, this.#tables.ipAddress + BigInt(index * IP_SIZE + relative));
  }
}

/**
 * Tables of a vmlinux; undefined when it has none (built with frame pointers, or not Linux). Reads .orc_unwind_ip whole (1.5 MB).
 * @param addressOf its symbols; without them it is taken for a kernel since 5.12.
 */
export function orcFromElf(elf: ElfFile, addressOf?: AddressOf): OrcRows | undefined {
  const ips = findSection(elf, '.orc_unwind_ip');
  const entries = findSection(elf, '.orc_unwind');
  const header = findSection(elf, '.orc_header');
  if (!ips || !entries || ips.size < IP_SIZE) return undefined;
  const ipBytes = elf.source.read(ips.offset, ips.size);
  return new OrcRows({
    ipAddress: ips.address,
    count: Math.min(Math.floor(ips.size / IP_SIZE), Math.floor(entries.size / ENTRY_SIZE)),
    readIps: (offset, length) => ipBytes.subarray(offset, offset + length),
    readEntries: (offset, length) => elf.source.read(entries.offset + offset, length),
    header: header && header.size === 20 ? elf.source.read(header.offset, header.size) : undefined,
    indirection: header || !addressOf ? 'new' : indirectionOf(addressOf),
  });
}

const MAX_ENTRIES = 1 << 24;

/**
 * Tables in guest memory, between the kernel's own symbols.
 * @param addressOf run-time address of a symbol.
 */
export function orcFromMemory(memory: MemorySource, addressOf: AddressOf): OrcRows | undefined {
  const [ipStart, ipStop] = [addressOf('__start_orc_unwind_ip'), addressOf('__stop_orc_unwind_ip')];
  const entryStart = addressOf('__start_orc_unwind');
  if (ipStart === undefined || ipStop === undefined || entryStart === undefined || ipStop <= ipStart)
    return undefined;
  const count = Number(BigInt.asUintN(64, ipStop - ipStart)) / IP_SIZE;
  if (count > MAX_ENTRIES) return undefined;
  const readFrom = (start: bigint) => (offset: number, length: number) => {
    const bytes = new Uint8Array(length);
    memory.read(start + BigInt(offset), bytes);
    return bytes;
  };
  const headerStart = addressOf('__start_orc_header');
  return new OrcRows({
    ipAddress: ipStart,
    count: Math.floor(count),
    readIps: readFrom(ipStart),
    readEntries: readFrom(entryStart),
    header: headerStart === undefined ? undefined : readFrom(headerStart)(0, 20),
    indirection: indirectionOf(addressOf),
  });
}
