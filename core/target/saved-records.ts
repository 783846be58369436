// libxc's stream in a saved domain (docs/specs/libxc-migration-stream.pandoc, versions 2 and 3): where its pages and the state of its
// vCPUs lie. Reads no page and no register.
import { ByteReader, type ByteSource, readInto } from '../../symbols/bytes.ts';
import { FormatError } from '../../symbols/errors.ts';
import { latestRuns, type Run, RunBuilder } from './file-runs.ts';

const PAGE = 4096;
const PAGE_SHIFT = 12;
const IMAGE_HEADER_SIZE = 24;
const DOMAIN_HEADER_SIZE = 16;
const BIG_ENDIAN_STREAM = 1;
const GUEST_PV = 1;
const GUEST_HVM = 2;

const END = 0;
const PAGE_DATA = 1;
const X86_PV_INFO = 2;
const X86_PV_VCPU_BASIC = 4;
const HVM_CONTEXT = 9;
const CHECKPOINT = 14;
/** X86_MSR_POLICY, of version 3. */
const LAST_KNOWN = 0x12;
const OPTIONAL = 0x80000000;
const RECORD_HEADER = 8;
/** Xen 4.17 tools/libs/guest/xg_sr_stream_format.h: REC_LENGTH_MAX. */
const MAX_RECORD = 128 << 20;
/** A guest of 1 TiB has 2^18, of 1024 pages each. */
const MAX_RECORDS = 1 << 22;
/** HVM_MAX_VCPUS of Xen. */
const MAX_VCPUS = 512;

/** XEN_DOMCTL_PFINFO_*, bits 63-60 of a pfn: those of which the stream has no bytes (BROKEN, XALLOC, XTAB)... */
const FIRST_WITHOUT_DATA = 13;
/** ... and those that are no type. */
const isReserved = (type: number): boolean => type >= 5 && type <= 8;
/** A frame that has bytes no more. */
const NOWHERE: number = Number.NEGATIVE_INFINITY;
const TABLE_CHUNK = 8192;
/** Runs of such frames cost a file little; a guest that was saved while it ran has a few. */
const MAX_NOWHERE = 1 << 18;

/** Bytes of the file. */
export interface Area {
  readonly offset: number;
  readonly length: number;
}

/** What the records of one image say. */
export interface SavedImage {
  readonly pv: boolean;
  readonly xenVersion: string;
  /** Of a PV guest 4 or 8. */
  readonly guestWidth: number;
  readonly runs: readonly Run[];
  /** State of an HVM guest as Xen wrote it. */
  readonly hvmContext: Area | undefined;
  /** vcpu_guest_context of a PV guest by vCPU. */
  readonly pvContexts: ReadonlyMap<number, Area>;
  /** Where the file ends too early. */
  readonly cutAt: number | undefined;
  /** Whether some pages were sent again, as they changed. */
  readonly resent: boolean;
  /** Mandatory records that this does not know. */
  readonly unknownTypes: readonly number[];
}

function readHeaders(source: ByteSource, start: number): { pv: boolean; xenVersion: string } {
  const image = source.read(start, IMAGE_HEADER_SIZE);
  const view = new DataView(image.buffer, image.byteOffset);
  const version = view.getUint32(12);
  const place = { source: source.name, offset: start + 12 };
  if (version !== 2 && version !== 3)
    throw new FormatError(`saved domain of format ${version}; 2 and 3 are known`, place);
  if ((view.getUint16(16) & BIG_ENDIAN_STREAM) !== 0)
    throw new FormatError('saved by a big-endian machine', place);
  const at = start + IMAGE_HEADER_SIZE;
  const domain = new ByteReader(source.name, source.read(at, DOMAIN_HEADER_SIZE), at);
  const type = domain.u32();
  if (type !== GUEST_PV && type !== GUEST_HVM) throw domain.error(`saved guest of type ${type}`);
  const shift = domain.u16();
  if (shift !== PAGE_SHIFT) throw domain.error(`pages of 2^${shift} bytes`);
  return { pv: type === GUEST_PV, xenVersion: `${domain.skip(2).u32()}.${domain.u32()}` };
}

/** Goes through the records once. */
class RecordReader {
  readonly pvContexts = new Map<number, Area>();
  readonly unknownTypes = new Set<number>();
  guestWidth = 8;
  hvmContext: Area | undefined;
  cutAt: number | undefined;
  readonly #source: ByteSource;
  readonly #runs = new RunBuilder();
  /** The highest frame that has bytes so far: what is nowhere above it was nowhere before. */
  #highest = -1;
  #nowhere = 0;
  readonly #chunk = new Uint8Array(TABLE_CHUNK * 8);

  /** By record type; the others are not needed. */
  readonly #readers: ReadonlyMap<number, (body: Area) => void> = new Map([
    [PAGE_DATA, (body: Area) => this.#pageData(body)],
    [X86_PV_INFO, (body: Area) => this.#pvInfo(body)],
    [X86_PV_VCPU_BASIC, (body: Area) => this.#pvContext(body)],
    [
      HVM_CONTEXT,
      (body: Area) => {
        this.hvmContext = body;
      },
    ],
  ]);

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Frames that ascend, the last copy of each, and whether some had more than one. */
  runs(): { runs: Run[]; resent: boolean } {
    const [sent, latest] = [this.#runs.end(), latestRuns(this.#runs.end())];
    const bytes = (runs: readonly Run[]): number => runs.reduce((sum, { length }) => sum + length, 0);
    return {
      runs: latest.filter(({ offset }) => offset !== NOWHERE),
      resent: bytes(sent) > bytes(latest),
    };
  }

  /** Reads up to the end mark, or to the end of a file that has none. */
  read(start: number): void {
    const { size, name } = this.#source;
    for (let at = start, count = 0; ; ) {
      if (at + RECORD_HEADER > size) {
        this.cutAt = size;
        return;
      }
      const header = new ByteReader(name, this.#source.read(at, RECORD_HEADER), at);
      const [type, length] = [header.u32(), header.u32()];
      if (length > MAX_RECORD) throw header.error(`record of 0x${length.toString(16)} bytes`);
      // A checkpoint is a whole image; what a stream of Remus has behind it are changes of later on.
      if (type === END || type === CHECKPOINT) return;
      if (++count > MAX_RECORDS) throw header.error('too many records');
      const body = { offset: at + RECORD_HEADER, length };
      const read = this.#readers.get(type);
      if (read) read(body);
      else if (type > LAST_KNOWN && type < OPTIONAL) this.unknownTypes.add(type);
      at = body.offset + Math.ceil(length / 8) * 8;
      if (body.offset + length > size) {
        this.cutAt = size;
        return;
      }
    }
  }

  /** Whether the body, and the file, go as far as `length`. @throws FormatError when the body is shorter. */
  #has({ offset, length }: Area, wanted: number): boolean {
    if (length < wanted)
      throw new FormatError(`record of 0x${length.toString(16)} bytes, 0x${wanted.toString(16)} wanted`, {
        source: this.#source.name,
        offset,
      });
    return offset + wanted <= this.#source.size;
  }

  #pvInfo(body: Area): void {
    if (this.#has(body, 1)) this.guestWidth = this.#source.read(body.offset, 1)[0] ?? 0;
  }

  #pvContext(body: Area): void {
    if (!this.#has(body, 8)) return;
    const id = new ByteReader(this.#source.name, this.#source.read(body.offset, 8), body.offset).u32();
    if (id >= MAX_VCPUS)
      throw new FormatError(`vCPU ${id}`, { source: this.#source.name, offset: body.offset });
    this.pvContexts.set(id, { offset: body.offset + 8, length: body.length - 8 });
  }

  #pageData(body: Area): void {
    if (!this.#has(body, 8)) return;
    const { offset, length } = body;
    const source = this.#source;
    const count = new ByteReader(source.name, source.read(offset, 4), offset).u32();
    const data = 8 + count * 8;
    if (!this.#has(body, data)) return;
    let at = offset + data;
    for (let first = 0; first < count; first += TABLE_CHUNK) {
      const place = offset + 8 + first * 8;
      const bytes = this.#chunk.subarray(0, Math.min(TABLE_CHUNK, count - first) * 8);
      readInto(source, place, bytes);
      at = this.#pages(bytes, place, at);
    }
    if (at !== offset + length)
      throw new FormatError(`pages of 0x${(at - offset).toString(16)} bytes in a record of another size`, {
        source: source.name,
        offset,
      });
  }

  /** @param table pfns, which lie at `place`. @param at where the bytes of the first are. @returns where those of the next are. */
  #pages(table: Uint8Array, place: number, at: number): number {
    const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
    let next = at;
    for (let index = 0; index < table.length; index += 8) {
      const high = view.getUint32(index + 4, true);
      const frame = (high & 0xfffff) * 2 ** 32 + view.getUint32(index, true);
      const type = high >>> 28;
      const without = type >= FIRST_WITHOUT_DATA;
      if (frame >= 2 ** 40 || isReserved(type) || !this.#add(frame, without ? NOWHERE : next))
        throw new FormatError(`frame 0x${frame.toString(16)} of type ${type}, or too many of them`, {
          source: this.#source.name,
          offset: place + index,
        });
      if (!without) next += PAGE;
    }
    return next;
  }

  /** Adds a page; what the file does not have of it is nowhere, whatever came before. @returns false when there are too many runs. */
  #add(frame: number, offset: number): boolean {
    const there = offset === NOWHERE ? 0 : Math.max(0, Math.min(PAGE, this.#source.size - offset));
    const start = frame * PAGE;
    if (there < PAGE && frame <= this.#highest) {
      const before = this.#runs.runs.length;
      if (!this.#runs.add(start + there, PAGE - there, NOWHERE)) return false;
      if (this.#runs.runs.length > before && ++this.#nowhere > MAX_NOWHERE) return false;
    }
    if (there === 0) return true;
    this.#highest = Math.max(this.#highest, frame);
    return this.#runs.add(start, there, offset);
  }
}

/**
 * @param start where libxc's stream starts.
 * @throws FormatError when a record contradicts its size; a file that ends too early has `cutAt`.
 */
export function readSavedImage(source: ByteSource, start: number): SavedImage {
  const headers = readHeaders(source, start);
  const reader = new RecordReader(source);
  reader.read(start + IMAGE_HEADER_SIZE + DOMAIN_HEADER_SIZE);
  const { guestWidth, hvmContext, pvContexts, cutAt, unknownTypes } = reader;
  return {
    ...headers,
    ...{ guestWidth, hvmContext, pvContexts, cutAt },
    ...reader.runs(),
    unknownTypes: [...unknownTypes].slice(0, 8),
  };
}
