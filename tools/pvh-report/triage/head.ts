// The beginning of a large report: enough for a row of the index, without the memory image behind it. Whenever something is not
// as packArchive leaves it, there is no answer, and the whole is read, which also says what is wrong.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { constants, gunzipSync } from 'node:zlib';
import { latin1Of } from '../../../symbols/bytes.ts';
import { asBoolean, asObject, asOptional, asString, parseJson } from '../../shared/json.ts';
import { IMAGE, sha256 } from '../archive.ts';
import { type CrashVcpu, parseCrash } from '../crash.ts';
import { type Manifest, parseManifest } from '../manifest.ts';
import { SCHEMA, type Signature } from '../signature.ts';

/** What identifies the crash, as it stands in signature.json. */
export type WrittenSignature = Pick<
  Signature,
  'version' | 'text' | 'sha8' | 'weak' | 'ending' | 'kind' | 'title'
>;

export interface ReportHead {
  readonly manifest: Manifest;
  readonly signature: WrittenSignature;
  readonly vcpus: readonly CrashVcpu[];
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Below this a report is read whole. */
const LARGE = 256 << 10;
/** So many bytes of the file are tried, one after the other. */
const PREFIXES = [64 << 10, 1 << 20];
const MAX_HEAD = 16 << 20;

/** In the order of the container all of them come before memory.core. */
const WANTED = ['manifest.json', 'signature.json', 'crash.json', 'domain.json'];

const BLOCK = 512;
const blocks = (bytes: number): number => Math.ceil(bytes / BLOCK) * BLOCK;

/** POSIX ustar: the files that are whole in a beginning of a tar. Undefined for entries of another kind. */
function wholeFiles(tar: Uint8Array): Map<string, Uint8Array> | undefined {
  const text = (at: number, length: number): string =>
    latin1Of(tar.subarray(at, at + length)).replace(/\0.*$/s, '');
  const files = new Map<string, Uint8Array>();
  for (let at = 0; at + BLOCK <= tar.length && tar[at] !== 0; ) {
    const path = text(at, 100).split('/');
    const name = path[1] ?? '';
    const size = Number.parseInt(text(at + 124, 12), 8);
    const isFile = tar[at + 156] === 0x30 && tar[at + 345] === 0;
    if (!isFile || path.length !== 2 || !(size >= 0) || files.has(name)) return undefined;
    if (at + BLOCK + size > tar.length) break;
    files.set(name, tar.subarray(at + BLOCK, at + BLOCK + size));
    at += BLOCK + blocks(size);
  }
  return files;
}

/**
 * Size of the tar that the manifest speaks of, or of what an image takes of it, which is packed alone: it stands at the end of the
 * gzip file modulo 2^32 (RFC 1952 2.3.1).
 */
function tarSize({ files }: Manifest, manifestBytes: number): number {
  const image = files.filter(({ name }) => name === IMAGE);
  const sizes = (image.length > 0 ? image : files).map(({ bytes }) => bytes);
  return [...sizes, ...(image.length > 0 ? [] : [manifestBytes])].reduce(
    (sum, bytes) => sum + BLOCK + blocks(bytes),
    2 * BLOCK,
  );
}

function parseSignature(content: string, source: string): WrittenSignature | undefined {
  const top = asObject(parseJson(content, source), source);
  if (top['schema'] !== SCHEMA) return undefined;
  const text = asString(top['text'], source);
  return {
    version: SCHEMA,
    text,
    sha8: sha256(new TextEncoder().encode(text)).slice(0, 8),
    weak: asBoolean(top['weak'], source),
    ending: asString(top['ending'], source),
    kind: asString(top['kind'], source),
    title: asOptional(asString, top['title'], source),
  };
}

/** @param end the last four bytes of the file, as a number. */
function headOf(packed: Uint8Array, end: number, source: string): ReportHead | undefined {
  const tar = gunzipSync(packed, { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: MAX_HEAD });
  const files = wholeFiles(tar);
  const text = (name: string): string => new TextDecoder().decode(files?.get(name));
  const manifestBytes = files?.get('manifest.json');
  if (!files || !manifestBytes) return undefined;
  const manifest = parseManifest(text('manifest.json'), `${source}: manifest.json`);
  if (tarSize(manifest, manifestBytes.length) % 2 ** 32 !== end) return undefined;
  for (const { name, sha256: digest } of manifest.files) {
    const bytes = files.get(name);
    if (bytes ? sha256(bytes) !== digest : WANTED.includes(name)) return undefined;
  }
  const signature = files.has('signature.json') && parseSignature(text('signature.json'), source);
  if (!signature) return undefined;
  const vcpus = files.has('crash.json') ? parseCrash(text('crash.json'), source) : [];
  return { manifest, signature, vcpus, files };
}

/** Undefined when the whole has to be read. @throws errors of the system. */
export function readHead(path: string): ReportHead | undefined {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    if (size < LARGE) return undefined;
    const last = Buffer.alloc(4);
    readSync(file, last, 0, 4, size - 4);
    for (const length of PREFIXES) {
      const packed = Buffer.alloc(Math.min(length, size));
      const got = readSync(file, packed, 0, packed.length, 0);
      const head = tryHead(packed.subarray(0, got), last.readUInt32LE(), path);
      if (head) return head;
    }
    return undefined;
  } finally {
    closeSync(file);
  }
}

/** What is wrong is said by whoever reads the whole. */
function tryHead(packed: Uint8Array, end: number, source: string): ReportHead | undefined {
  try {
    return headOf(packed, end, source);
  } catch {
    return undefined;
  }
}
