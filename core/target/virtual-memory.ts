// Guest-virtual memory of one vCPU: the page walk of SDM vol 3A chapter 4 over a Target, and reads through it.
// Checks no permissions and sets no accessed or dirty bits. Zeros are never invented: what is not there is a MemoryFault.
import { MemoryFault } from '../../symbols/errors.ts';
import type { VcpuRegisters } from '../machine/registers.ts';
import type { Target } from './target.ts';

const PAGE = 4096;
const CACHED_PAGES = 256;
/** Regions of 2 MiB whose tables are remembered. */
const CACHED_REGIONS = 1024;
/** Regions of 2 MiB that are tried where no tables tell what is mapped: 1 GiB, all that a kernel image can take. */
const MAX_TRIED = 512;

/** Tables that one walk may look at. Hostile ones refer to each other; true ones of so many map 128 GiB by pages of 4 KiB. */
const MAX_TABLES = 2 ** 16;

const CR0_PG = 1n << 31n;
const CR4_PSE = 1n << 4n;
const CR4_PAE = 1n << 5n;
const CR4_LA57 = 1n << 12n;
const EFER_LMA = 1n << 10n;
const ADDRESS_MASK = 0x000f_ffff_ffff_f000n;
const PRESENT = 1n;
const LARGE = 1n << 7n;
const EXECUTE_DISABLE = 1n << 63n;
/** Linux keeps a process's two top tables beside each other (arch/x86/entry/calling.h, PTI_USER_PGTABLE_BIT). */
const ISOLATION_BIT = 0x1000;

/** Paging mode by the number of table levels; 0 is paging off (linear = physical). */
export type PagingLevels = 0 | 2 | 3 | 4 | 5;

/** Bit L of a code segment's attributes (SDM vol 3C, 25.4.1). */
const ATTRIBUTE_LONG = 1 << 13;

/**
 * True when the vCPU is in long mode. Dump files have no EFER: then the code segment tells, or a register that only long mode
 * can hold.
 */
export function inLongMode(registers: VcpuRegisters): boolean {
  const { cr0, cr4, efer, cs } = registers;
  if (efer !== undefined) return (efer & EFER_LMA) !== 0n;
  const off = (value: bigint | undefined, bit: bigint) => value !== undefined && (value & bit) === 0n;
  if (off(cr0, CR0_PG) || off(cr4, CR4_PAE)) return false;
  if (cs.attributes !== undefined && (cs.attributes & ATTRIBUTE_LONG) !== 0) return true;
  const { rip, rsp, rbp, rsi, rdi, rax, rbx, rcx, rdx, r8, r9, r10, r11, r12, r13, r14, r15 } = registers;
  const values = [rip, rsp, rbp, rsi, rdi, rax, rbx, rcx, rdx, r8, r9, r10, r11, r12, r13, r14, r15];
  return [...values, registers.gs.base ?? 0n, registers.fs.base ?? 0n].some((value) => value >> 32n !== 0n);
}

export function pagingLevels(registers: VcpuRegisters): PagingLevels {
  const { cr0 = CR0_PG, cr4 = 0n } = registers;
  if ((cr0 & CR0_PG) === 0n) return 0;
  if (inLongMode(registers)) return (cr4 & CR4_LA57) !== 0n ? 5 : 4;
  return (cr4 & CR4_PAE) !== 0n ? 3 : 2;
}

/** Shift, index bits and name of each table level of the modes with 8-byte entries, by level number. */
const LEVEL_NAMES = ['', 'PTE', 'PDE', 'PDPTE', 'PML4E', 'PML5E'] as const;

/** What the tables say of 2 MiB of addresses: where they lie, or the table of their pages. */
interface Region {
  readonly executable: boolean;
  readonly large: boolean;
  /** Physical address of the 2 MiB, or of the table. */
  readonly physical: number;
}

const REGION = 1n << 21n;

/** A vCPU's view of memory at the moment of the snapshot. Caches pages and tables; hold one per dump, not one per word. */
export class VirtualMemory {
  readonly levels: PagingLevels;
  /**
   * Physical address of the tables through which the kernel's half is read, when the vCPU stood with those of user mode, which
   * lack most of it (page-table isolation).
   */
  readonly isolatedFrom: number | undefined;
  readonly #target: Target;
  /** How the source itself reads, without tables. */
  readonly #readThere: ((address: bigint, into: Uint8Array) => void) | undefined;
  /** Undefined when neither the vCPU nor the source has one. */
  readonly #topTable: number | undefined;
  readonly #pse: boolean;
  /** Physical page number to its bytes, or to why it cannot be read; oldest use first. */
  readonly #pages = new Map<number, Uint8Array | MemoryFault>();
  readonly #regions = new Map<bigint, Region>();

  constructor(target: Target, registers: VcpuRegisters) {
    this.#target = target;
    const vcpu = target.vcpus.find((each) => each.registers === registers)?.id ?? 0;
    this.#readThere = target.readVirtual?.bind(undefined, vcpu);
    const { cr3, cr4 = 0n } = registers;
    // A kernel that dumped itself left no CR3; the source may have found the kernel's own tables.
    const found = cr3 === undefined ? target.paging : undefined;
    this.levels = found?.levels ?? pagingLevels(registers);
    // CR3 of PAE paging is 32-byte aligned (and of a PV guest's, above 4 GiB); elsewhere the low 12 bits are flags or the PCID.
    const mask = this.levels === 3 ? ADDRESS_MASK | 0xfe0n : ADDRESS_MASK;
    this.#topTable = cr3 === undefined ? found?.root : Number(cr3 & mask);
    this.#pse = (cr4 & CR4_PSE) !== 0n;
    this.isolatedFrom =
      this.levels >= 4 && this.#topTable !== undefined ? this.#kernelTables(this.#topTable) : undefined;
  }

  /**
   * Guest-physical address of a virtual one.
   * @throws MemoryFault with the table level at which the walk ended.
   */
  translate(address: bigint): number {
    switch (this.levels) {
      case 0:
        return this.#physical(address, BigInt.asUintN(64, address));
      case 2:
        return this.#walkTwoLevels(address);
      default:
        return this.#walk(address, this.levels).physical;
    }
  }

  /** Whether the tables let an address be executed; in long mode only (elsewhere false). Without tables: whether it can be read. */
  isExecutable(address: bigint): boolean {
    if (this.levels < 4) return false;
    if (this.#readThere) return this.#canRead(address);
    try {
      return this.#walk(address, this.levels === 5 ? 5 : 4).executable;
    } catch (error) {
      if (error instanceof MemoryFault) return false;
      throw error;
    }
  }

  /**
   * Fills `into` from virtual `address` on.
   * @throws MemoryFault at the first byte that cannot be read.
   */
  read(address: bigint, into: Uint8Array): void {
    if (this.#readThere) {
      this.#readThere(BigInt.asUintN(64, address), into);
      return;
    }
    let done = 0;
    while (done < into.length) {
      const at = BigInt.asUintN(64, address + BigInt(done));
      const physical = this.translate(at);
      const offset = physical % PAGE;
      const length = Math.min(PAGE - offset, into.length - done);
      const run = length < PAGE ? length : this.#readRun(at, physical, into.subarray(done));
      if (run >= PAGE) {
        done += run;
        continue;
      }
      const page = this.#page(Math.floor(physical / PAGE));
      if (page instanceof MemoryFault)
        throw new MemoryFault('virtual', at, page.reason, `physical 0x${physical.toString(16)}`);
      into.set(page.subarray(offset, offset + length), done);
      done += length;
    }
  }

  /** Whole pages that follow each other in physical memory too, read at once. @returns bytes read; 0 leaves it to the caller. */
  #readRun(address: bigint, physical: number, into: Uint8Array): number {
    let length = PAGE;
    while (into.length - length >= PAGE) {
      const next = this.#tryTranslate(BigInt.asUintN(64, address + BigInt(length)));
      if (next !== physical + length) break;
      length += PAGE;
    }
    if (length === PAGE) return 0;
    try {
      this.#target.readPhysical(physical, into.subarray(0, length));
      return length;
    } catch (error) {
      // Page by page it is found out which one is missing.
      if (error instanceof MemoryFault) return 0;
      throw error;
    }
  }

  #tryTranslate(address: bigint): number | undefined {
    try {
      return this.translate(address);
    } catch (error) {
      if (error instanceof MemoryFault) return undefined;
      throw error;
    }
  }

  /**
   * Mapped pages of any size between two addresses, ascending; in long mode only (there are none in the others).
   * @param walk how many tables may be looked at; less than 0 afterwards when that was not enough, and pages are left out.
   */
  *mapped(
    start: bigint,
    end: bigint,
    walk: { tables: number } = { tables: MAX_TABLES },
  ): Generator<{ address: bigint; length: number }> {
    if (this.#readThere) yield* this.#readable(start, end);
    if (this.levels < 4 || this.#topTable === undefined) return;
    // The walk goes over the address without its sign extension.
    const bits = 12 + 9 * this.levels;
    const strip = (address: bigint): bigint => BigInt.asUintN(bits, address);
    for (const { address, length } of this.#mappedBelow(
      this.#rootFor(start),
      this.levels,
      0n,
      strip(start),
      strip(end - 1n),
      walk,
    ))
      yield { address: BigInt.asUintN(64, BigInt.asIntN(bits, address)), length };
  }

  /** Regions of 2 MiB whose first byte can be read: kernels are mapped in such pieces. */
  *#readable(start: bigint, end: bigint): Generator<{ address: bigint; length: number }> {
    let tried = 0;
    for (let address = start & ~(REGION - 1n); address < end && tried < MAX_TRIED; address += REGION, tried++)
      if (this.#canRead(address)) yield { address, length: Number(REGION) };
  }

  #canRead(address: bigint): boolean {
    try {
      this.read(address, new Uint8Array(1));
      return true;
    } catch (error) {
      if (error instanceof MemoryFault) return false;
      throw error;
    }
  }

  *#mappedBelow(
    table: number,
    level: number,
    base: bigint,
    first: bigint,
    last: bigint,
    walk: { tables: number },
  ): Generator<{ address: bigint; length: number }> {
    if (--walk.tables < 0) return;
    const page = this.#page(Math.floor(table / PAGE));
    if (page instanceof MemoryFault) return;
    const entries = new BigUint64Array(page.buffer, page.byteOffset, 512);
    const shift = BigInt(12 + 9 * (level - 1));
    for (let index = first > base ? Number((first - base) >> shift) : 0; index < 512; index++) {
      const address = base + (BigInt(index) << shift);
      if (address > last) return;
      const entry = entries[index] ?? 0n;
      if ((entry & PRESENT) === 0n) continue;
      if (level === 1 || (level <= 3 && (entry & LARGE) !== 0n))
        yield { address, length: 2 ** Number(shift) };
      else yield* this.#mappedBelow(Number(entry & ADDRESS_MASK), level - 1, address, first, last, walk);
    }
  }

  /** The kernel's half is whole in the kernel's own tables only. */
  #rootFor(address: bigint): number {
    if (this.#topTable === undefined)
      throw new MemoryFault('virtual', address, 'not mapped', 'the page tables are not known: no CR3');
    return this.isolatedFrom !== undefined && address >> 63n !== 0n ? this.isolatedFrom : this.#topTable;
  }

  /**
   * The kernel's own tables when CR3 has those of user mode: they map the same user pages, and more of the kernel's half. (CR3
   * alone does not tell: without isolation its bit 12 is part of any address.)
   */
  #kernelTables(root: number): number | undefined {
    if ((root & ISOLATION_BIT) === 0) return undefined;
    const kernelRoot = root - ISOLATION_BIT;
    const [own, other] = [this.#page(root / PAGE), this.#page(kernelRoot / PAGE)];
    if (own instanceof MemoryFault || other instanceof MemoryFault) return undefined;
    const [user, kernel] = [own, other].map(({ buffer }) => new BigUint64Array(buffer, 0, 512));
    if (!user || !kernel) return undefined;
    let more = false;
    for (let index = 0; index < 512; index++) {
      const [entry = 0n, there = 0n] = [user[index], kernel[index]];
      if ((entry & PRESENT) !== 0n && (there & PRESENT) === 0n) return undefined;
      if (index < 256) {
        if ((entry & ADDRESS_MASK) !== (there & ADDRESS_MASK)) return undefined;
      } else if ((entry & PRESENT) === 0n && (there & PRESENT) !== 0n) more = true;
    }
    return more ? kernelRoot : undefined;
  }

  #walk(address: bigint, levels: 3 | 4 | 5): { readonly physical: number; readonly executable: boolean } {
    const region = this.#region(address, levels);
    const offset = Number(address & (REGION - 1n));
    if (region.large) return { physical: region.physical + offset, executable: region.executable };
    const index = Math.floor(offset / PAGE);
    const entry = this.#entry(address, region.physical + index * 8, 8, 1);
    return {
      physical: Number(entry & ADDRESS_MASK) + (offset % PAGE),
      executable: region.executable && (entry & EXECUTE_DISABLE) === 0n,
    };
  }

  #region(address: bigint, levels: 3 | 4 | 5): Region {
    const number = address >> 21n;
    const known = this.#regions.get(number);
    if (known) return known;
    const region = this.#findRegion(address, levels);
    if (this.#regions.size >= CACHED_REGIONS) this.#regions.clear();
    this.#regions.set(number, region);
    return region;
  }

  #findRegion(address: bigint, levels: 3 | 4 | 5): Region {
    if (levels === 3) {
      if (address >> 32n !== 0n)
        throw new MemoryFault('virtual', address, 'not canonical', 'above 4 GiB in PAE mode');
    } else if (BigInt.asUintN(64, BigInt.asIntN(levels === 5 ? 57 : 48, address)) !== address) {
      throw new MemoryFault('virtual', address, 'not canonical');
    }
    let table = this.#rootFor(address);
    let executable = true;
    for (let level: number = levels; ; level--) {
      const shift = BigInt(12 + 9 * (level - 1));
      const index = Number((address >> shift) & (level === 3 && levels === 3 ? 3n : 0x1ffn));
      const entry = this.#entry(address, table + index * 8, 8, level);
      executable &&= (entry & EXECUTE_DISABLE) === 0n;
      const large = (entry & LARGE) !== 0n;
      if (large && (level > 3 || (level === 3 && levels === 3)))
        throw new MemoryFault('virtual', address, 'not mapped', `reserved bit in ${LEVEL_NAMES[level]}`);
      if (large) {
        const offset = (1n << shift) - 1n;
        const start = (entry & ADDRESS_MASK & ~offset) | (address & offset & ~(REGION - 1n));
        return { executable, large: true, physical: Number(start) };
      }
      table = Number(entry & ADDRESS_MASK);
      if (level === 2) return { executable, large: false, physical: table };
    }
  }

  #walkTwoLevels(address: bigint): number {
    if (address >> 32n !== 0n)
      throw new MemoryFault('virtual', address, 'not canonical', 'above 4 GiB in 32-bit mode');
    const directory = this.#entry(address, this.#rootFor(address) + Number(address >> 22n) * 4, 4, 2);
    if (this.#pse && (directory & 0x80n) !== 0n) {
      // PSE-36: bits 13-20 are address bits 32-39.
      const high = ((directory >> 13n) & 0xffn) << 32n;
      return Number(high | (directory & 0xffc0_0000n) | (address & 0x3f_ffffn));
    }
    const table = Number(directory & 0xffff_f000n);
    const entry = this.#entry(address, table + Number((address >> 12n) & 0x3ffn) * 4, 4, 1);
    return Number((entry & 0xffff_f000n) | (address & 0xfffn));
  }

  #entry(address: bigint, physical: number, width: 4 | 8, level: number): bigint {
    const page = this.#page(Math.floor(physical / PAGE));
    const where = `${LEVEL_NAMES[level]} at physical 0x${physical.toString(16)}`;
    if (page instanceof MemoryFault) throw new MemoryFault('virtual', address, page.reason, where);
    const view = new DataView(page.buffer, page.byteOffset + (physical % PAGE), width);
    const entry = width === 8 ? view.getBigUint64(0, true) : BigInt(view.getUint32(0, true));
    if ((entry & PRESENT) === 0n)
      throw new MemoryFault('virtual', address, entry === 0n ? 'not mapped' : 'not present', where);
    return entry;
  }

  #physical(address: bigint, value: bigint): number {
    if (value >> 52n !== 0n) throw new MemoryFault('virtual', address, 'not mapped', 'paging is off');
    return Number(value);
  }

  #page(gfn: number): Uint8Array | MemoryFault {
    let page = this.#pages.get(gfn);
    if (page) {
      this.#pages.delete(gfn);
    } else {
      page = this.#readPage(gfn);
      const [oldest] = this.#pages.size >= CACHED_PAGES ? this.#pages.keys() : [];
      if (oldest !== undefined) this.#pages.delete(oldest);
    }
    this.#pages.set(gfn, page);
    return page;
  }

  #readPage(gfn: number): Uint8Array | MemoryFault {
    const bytes = new Uint8Array(PAGE);
    try {
      this.#target.readPhysical(gfn * PAGE, bytes);
      return bytes;
    } catch (error) {
      if (error instanceof MemoryFault) return error;
      throw error;
    }
  }
}
