// What lies around libxc's part of a saved domain: the header of `xl save` (xen 4.17 tools/xl/xl.h) and libxl's stream
// (docs/specs/libxl-migration-stream.pandoc). Either may be missing. Reads no page.
import { ByteReader, type ByteSource } from '../../symbols/bytes.ts';
import { FormatError } from '../../symbols/errors.ts';

const XL_MAGIC = 'Xen saved domain, xl format\n \0 \r';
const XL_HEADER_SIZE = 48;
const BYTE_ORDER = 0x01020304;
const XL_MANDATORY_FLAG_JSON = 1;
const XL_MANDATORY_FLAG_STREAMv2 = 2;
/** The configuration of a guest has some KiB. */
const MAX_CONFIG = 1 << 20;

const LIBXL_MAGIC = 'LibxlFmt';
const LIBXL_HEADER_SIZE = 16;
const BIG_ENDIAN_STREAM = 1;
const LIBXC_CONTEXT = 1;
const LIBXL_END = 0;
const RECORD_HEADER = 8;
/** libxl puts LIBXC_CONTEXT first; a later one may have a few others before it. */
const MAX_RECORDS = 1 << 10;

const LIBXC_MAGIC = '\xff\xff\xff\xff\xff\xff\xff\xffXENF';

/** The parts of a file before libxc's stream. */
export interface Envelope {
  /** What `xl` kept of the guest's configuration: JSON, as libxl writes it. */
  readonly config: string | undefined;
  /** Where libxc's stream starts. */
  readonly offset: number;
}

function startsWith(source: ByteSource, offset: number, magic: string): boolean {
  if (source.size - offset < magic.length) return false;
  return source.read(offset, magic.length).every((byte, index) => byte === magic.charCodeAt(index));
}

/** Why a file is no saved domain; undefined when it is one. */
export function notSaved(source: ByteSource): string | undefined {
  return [XL_MAGIC, LIBXL_MAGIC, LIBXC_MAGIC].some((magic) => startsWith(source, 0, magic))
    ? undefined
    : 'starts as no image of xl save does';
}

function readXlHeader(source: ByteSource): Envelope {
  const header = new ByteReader(source.name, source.read(0, XL_HEADER_SIZE)).seek(XL_MAGIC.length);
  if (header.u32() !== BYTE_ORDER) throw header.error('saved on a machine of another byte order');
  const flags = header.u32();
  if ((flags & XL_MANDATORY_FLAG_STREAMv2) === 0)
    throw header.error('image of xl save of Xen before 4.6: restore it and save it again with a newer Xen');
  header.skip(4);
  const size = header.u32();
  const offset = XL_HEADER_SIZE + size;
  if (offset > source.size) throw header.error('the file ends in the configuration of its guest');
  const json = (flags & XL_MANDATORY_FLAG_JSON) !== 0 && size > 4;
  const length = json ? new ByteReader(source.name, source.read(XL_HEADER_SIZE, 4)).u32() : 0;
  const known = length > 0 && length <= Math.min(size - 4, MAX_CONFIG);
  const config = known ? new TextDecoder().decode(source.read(XL_HEADER_SIZE + 4, length)) : undefined;
  return { config: config?.replace(/\0.*$/s, ''), offset };
}

/** Offset behind the record that announces libxc's stream. */
function skipLibxl(source: ByteSource, start: number): number {
  const options = new DataView(source.read(start + 12, 4).slice().buffer).getUint32(0);
  if ((options & BIG_ENDIAN_STREAM) !== 0)
    throw new FormatError('saved by a big-endian machine', { source: source.name, offset: start + 12 });
  for (let at = start + LIBXL_HEADER_SIZE, count = 0; ; count++) {
    const record = new ByteReader(source.name, source.read(at, RECORD_HEADER), at);
    const [type, length] = [record.u32(), record.u32()];
    if (type === LIBXL_END || count === MAX_RECORDS)
      throw record.error('saved domain without its memory (no LIBXC_CONTEXT record)');
    at += RECORD_HEADER + Math.ceil(length / 8) * 8;
    if (type === LIBXC_CONTEXT) return at;
  }
}

/** @throws FormatError when the parts lead to no stream of libxc. @param source of which notSaved says nothing. */
export function openEnvelope(source: ByteSource): Envelope {
  const { config, offset: start } = startsWith(source, 0, XL_MAGIC)
    ? readXlHeader(source)
    : { config: undefined, offset: 0 };
  const offset = startsWith(source, start, LIBXL_MAGIC) ? skipLibxl(source, start) : start;
  if (!startsWith(source, offset, LIBXC_MAGIC))
    throw new FormatError('saved domain without the mark of libxc before its memory', {
      source: source.name,
      offset,
    });
  return { config, offset };
}
