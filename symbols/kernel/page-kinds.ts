// What a Linux guest uses each frame of its memory for, out of its struct pages: which ones nobody misses who looks for a bug of the
// kernel. What has no struct page that can be read is unknown.
import { FormatError, MemoryFault } from '../errors.ts';
import { tryReadInto } from '../memory.ts';
import type { LinuxMemory } from './linux-memory.ts';
import type { Vmcoreinfo } from './vmcoreinfo.ts';

/** `user`: anonymous memory of programs; `cache`: content of files; `kernel`: everything else that has a struct page. */
export type PageKind = 'free' | 'user' | 'cache' | 'kernel' | 'unknown';

const PAGE = 4096;
/** arch/x86/include/asm/sparsemem.h, for kernels that do not tell. */
const SECTION_SIZE_BITS = 27n;
/** Below it are flags in section_mem_map (include/linux/mmzone.h); the maps themselves are whole pages. */
const MAP_MASK = ~0xfffn;
/** struct pages that are read at once: 4 KiB of most kernels. */
const TOGETHER = 64;
/** Larger than any build's MAX_ORDER: what says more is damaged. */
const MAX_ORDER = 15;

/** Places in struct page, and the numbers that stand there. */
interface PageLayout {
  readonly size: number;
  readonly compoundHead: number;
  readonly mapcount: number;
  readonly mapping: number;
  readonly private: number;
  readonly buddy: number;
  /** Bit numbers of the flags; undefined where the kernel has no such flag. */
  readonly lru: number;
  readonly slab: number | undefined;
  readonly swapcache: number | undefined;
  readonly swapbacked: number | undefined;
  /** linux v6.10 and later: the kind of page in the upper byte of _mapcount. */
  readonly hugetlb: number | undefined;
}

/** Walks frames in ascending order. linux v6.1 mm/page_alloc.c, include/linux/page-flags.h; kernel/crash_core.c tells the numbers. */
export class PageKinds {
  readonly #linux: LinuxMemory;
  readonly #layout: PageLayout;
  readonly #roots: bigint;
  readonly #sectionSize: bigint;
  readonly #sectionFrames: number;
  readonly #mapAt: bigint;
  /** Where a section's struct pages would begin if it began at frame 0, or why that is not known. */
  #section: { readonly number: number; readonly map: bigint | undefined } | undefined;
  #head: { readonly address: bigint; readonly kind: PageKind } | undefined;
  #freeUntil = 0;
  readonly #view: DataView<ArrayBuffer>;

  /** @throws FormatError that names what the kernel does not tell. */
  constructor(linux: LinuxMemory, info: Vmcoreinfo | undefined) {
    if (!info) throw new FormatError('the kernel has no VMCOREINFO');
    const optional = (name: string): number | undefined => {
      const number = info.number(name);
      return number === undefined ? undefined : Number(BigInt.asIntN(32, number));
    };
    const needed = (name: string): number => {
      const number = optional(name);
      if (number === undefined) throw new FormatError(`no ${name} in VMCOREINFO`);
      return number;
    };
    const roots = info.symbol('mem_section');
    if (roots === undefined) throw new FormatError('no mem_section in VMCOREINFO');
    const at = (member: string): number => linux.place('page', member).offset;
    this.#linux = linux;
    this.#roots = roots;
    this.#sectionSize = BigInt(linux.size('mem_section'));
    this.#mapAt = linux.offset('mem_section', 'section_mem_map');
    this.#sectionFrames = 2 ** Number((info.number('SECTION_SIZE_BITS') ?? SECTION_SIZE_BITS) - 12n);
    this.#layout = {
      size: linux.size('page'),
      compoundHead: at('compound_head'),
      mapcount: at('_mapcount'),
      mapping: at('mapping'),
      private: at('private'),
      buddy: needed('PAGE_BUDDY_MAPCOUNT_VALUE'),
      lru: needed('PG_lru'),
      slab: optional('PG_slab'),
      swapcache: optional('PG_swapcache'),
      swapbacked: optional('PG_swapbacked'),
      hugetlb: optional('PAGE_HUGETLB_MAPCOUNT_VALUE'),
    };
    const { size } = this.#layout;
    if (size < 32 || size > 256 || this.#sectionSize < 8n || !(this.#sectionFrames >= TOGETHER))
      throw new FormatError(`struct page of ${size} bytes in sections of ${this.#sectionFrames} frames`);
    this.#view = new DataView(new ArrayBuffer(TOGETHER * size));
  }

  /** Kinds of the frames from `first` on, each with the number of frames in a row that are told of at once. */
  *kinds(first: number, count: number): Generator<readonly [kind: PageKind, count: number]> {
    const last = first + count;
    for (let gfn = first; gfn < last; ) {
      const start = gfn - (gfn % TOGETHER);
      const end = Math.min(last, start + TOGETHER);
      const known = end <= this.#freeUntil || this.#read(start);
      while (gfn < end) {
        const kind = known ? this.#kindAt(gfn) : 'unknown';
        // A block of free frames may go on behind these struct pages.
        const next = kind === 'free' ? Math.min(last, this.#freeUntil) : gfn + 1;
        yield [kind, next - gfn];
        gfn = next;
      }
    }
  }

  /** @returns whether there are struct pages from `gfn` on. */
  #read(gfn: number): boolean {
    const map = this.#mapOf(Math.floor(gfn / this.#sectionFrames));
    if (map === undefined) return false;
    return tryReadInto(
      this.#linux.reader,
      map + BigInt(gfn * this.#layout.size),
      new Uint8Array(this.#view.buffer),
    );
  }

  /** linux v6.1 include/linux/mmzone.h, SPARSEMEM_EXTREME: pages of sections, of which a list has the addresses. */
  #mapOf(number: number): bigint | undefined {
    if (this.#section?.number !== number) this.#section = { number, map: this.#findMap(number) };
    return this.#section.map;
  }

  #findMap(number: number): bigint | undefined {
    const { reader } = this.#linux;
    const perRoot = Math.max(1, Math.floor(PAGE / Number(this.#sectionSize)));
    try {
      const root = reader.u64(this.#roots + BigInt(Math.floor(number / perRoot) * 8));
      if (root === 0n) return undefined;
      const map = reader.u64(root + BigInt(number % perRoot) * this.#sectionSize + this.#mapAt);
      return (map & 2n) === 0n ? undefined : map & MAP_MASK;
    } catch (error) {
      if (error instanceof MemoryFault) return undefined;
      throw error;
    }
  }

  /** Of a frame whose struct page was read last, or that lies in a free block. */
  #kindAt(gfn: number): PageKind {
    if (gfn < this.#freeUntil) return 'free';
    const at = (gfn % TOGETHER) * this.#layout.size;
    const { compoundHead, mapcount, private: order, buddy } = this.#layout;
    const view = this.#view;
    if ((view.getUint8(at + compoundHead) & 1) !== 0)
      return this.#kindOfHead(view.getBigUint64(at + compoundHead, true) - 1n);
    if (view.getInt32(at + mapcount, true) !== buddy) return this.#usedAs(view, at);
    const power = view.getUint32(at + order, true);
    if (power > MAX_ORDER) return 'kernel';
    this.#freeUntil = gfn + 2 ** power;
    return 'free';
  }

  /** Of a page that several make up, the first tells. */
  #kindOfHead(address: bigint): PageKind {
    if (this.#head?.address !== address) {
      const bytes = new Uint8Array(this.#layout.size);
      const known = tryReadInto(this.#linux.reader, address, bytes);
      this.#head = { address, kind: known ? this.#usedAs(new DataView(bytes.buffer), 0) : 'unknown' };
    }
    return this.#head.kind;
  }

  #usedAs(view: DataView, at: number): PageKind {
    const { mapcount, mapping, lru, slab, swapcache, swapbacked, hugetlb } = this.#layout;
    const isSet = (bit: number | undefined): boolean =>
      bit !== undefined && ((view.getUint8(at + (bit >> 3)) >> (bit & 7)) & 1) !== 0;
    const type = view.getInt32(at + mapcount, true);
    // Below -1 it counts no mappings but says what the kernel has the page for.
    if (type < -1) return hugetlb !== undefined && type >> 24 === hugetlb >> 24 ? 'user' : 'kernel';
    if (isSet(slab)) return 'kernel';
    if ((view.getUint8(at + mapping) & 1) !== 0) return 'user';
    return isSet(lru) || (isSet(swapcache) && isSet(swapbacked)) ? 'cache' : 'kernel';
  }
}
