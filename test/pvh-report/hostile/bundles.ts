// Files that somebody made to do harm to whoever opens them as a report.
import { deflateRawSync, gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { type ArchiveFile, sha256 } from '../../../tools/pvh-report/archive.ts';
import { MANIFEST_SCHEMA, renderManifest } from '../../../tools/pvh-report/manifest.ts';
import { packArchive } from '../../../tools/pvh-report/pack.ts';
import { madeUpFiles, madeUpManifest, packReport } from '../support.ts';

export type EntryHeader = Parameters<ReturnType<typeof pack>['entry']>[0];

export async function tarOf(...entries: [EntryHeader, string][]): Promise<Buffer> {
  const tar = pack();
  for (const [header, content] of entries) tar.entry(header, content);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** A tar of one file of which the first header is another: its checksum is made right again. */
async function withHeader(edit: (header: Buffer) => void, name = 'r/a'): Promise<Buffer> {
  const tar = await tarOf([{ name }, 'x']);
  edit(tar);
  tar.fill(' ', 148, 156);
  const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return tar;
}

/** An entry of a type that tar-stream does not write, in front of a file. */
const special = async (type: string, content: string): Promise<Buffer> => {
  const size = Buffer.byteLength(content);
  const header = await withHeader((block) => {
    block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
    block.write(type, 156);
  });
  const padded = Buffer.alloc(Math.ceil(size / 512) * 512);
  padded.write(content);
  return Buffer.concat([header.subarray(0, 512), padded, await tarOf([{ name: 'r/a' }, 'x'])]);
};

const record = (text: string): string => {
  const length = (digits: number): number => digits + 1 + Buffer.byteLength(text) + 1;
  const size = [1, 2, 3, 4].map(length).find((each, index) => String(each).length === index + 1);
  return `${size} ${text}\n`;
};

const name = (path: string) => (): Promise<Buffer> => tarOf([{ name: path }, 'x']);
const size = (field: Buffer) => (): Promise<Buffer> => withHeader((header) => field.copy(header, 124));
const octal = (text: string): Buffer => Buffer.from(text.padEnd(12, '\0'));

/** Tars that are no container of a report, and what is said of them. */
export const TARS: readonly (readonly [string, () => Promise<Buffer>, RegExp])[] = [
  [
    'a path upwards',
    name('r/../../etc/passwd'),
    /"r\/\.\.\/\.\.\/etc\/passwd" has a name that no report has/,
  ],
  ['two dots as a name', name('r/..'), /has a name/],
  ['two dots as a folder', name('../a'), /has a name/],
  ['an absolute path', name('/etc/passwd'), /has a name/],
  ['a backslash', name('r\\..\\..\\a/b'), /has a name/],
  ['a drive', name('C:/a'), /has a name/],
  ['a NUL', () => withHeader((header) => header.write('r/a\0/../../b', 0)), /no manifest\.json/],
  ['no name', () => withHeader((header) => header.fill(0, 0, 100)), /has a name/],
  ['dots that look like dots', name('r/\u2024\u2024'), /has a name/],
  ['a slash that looks like one', name('r/\u2215etc'), /has a name/],
  ['words from right to left', name('r/a\u202etxt'), /has a name/],
  ['what steers a terminal', name('r/\u009b2J\u001b[31m'), /has a name/],
  ['a name of 5000 letters', name(`r/${'a'.repeat(5000)}`), /has a name/],
  ['a hidden file', name('r/.bashrc'), /has a name/],
  [
    'a symbolic link',
    () => tarOf([{ name: 'r/l', type: 'symlink', linkname: '/etc/passwd' }, '']),
    /symlink/,
  ],
  [
    'a file through a symbolic link',
    () => tarOf([{ name: 'r', type: 'symlink', linkname: '/tmp' }, ''], [{ name: 'r/a' }, 'x']),
    /symlink/,
  ],
  ['a hard link', () => tarOf([{ name: 'r/l', type: 'link', linkname: 'r/x' }, '']), /is a link/],
  ['a device', () => tarOf([{ name: 'r/d', type: 'block-device' }, '']), /block-device/],
  ['a terminal', () => tarOf([{ name: 'r/d', type: 'character-device' }, '']), /character-device/],
  ['a pipe', () => special('6', ''), /is a fifo/],
  ['a file with holes', () => special('S', ''), /is a thing of unknown type/],
  ['a folder', () => tarOf([{ name: 'r/d', type: 'directory' }, '']), /directory/],
  ['a path upwards of pax', () => special('x', record('path=../../a')), /has a name/],
  ['a size of pax', () => special('x', record('size=99999999999999')), /whole tar/],
  ['a size below 0 of pax', () => special('x', record('size=-512')), /whole tar/],
  ['pax for all', () => special('g', record('path=/etc/passwd')), /has a name|no manifest/],
  ['pax that is none', () => special('x', '-5 a=b'.repeat(99)), /no manifest\.json/],
  ['a long name of GNU', () => special('L', `../${'a'.repeat(300)}`), /has a name/],
  ['a long name of GNU without end', () => special('L', 'a'.repeat(5 << 20)), /whole tar/],
  ['one name twice', () => tarOf([{ name: 'r/a' }, '1'], [{ name: 'r/a' }, '2']), /twice/],
  ['two folders', () => tarOf([{ name: 'r/a' }, '1'], [{ name: 's/b' }, '2']), /second folder/],
  [
    'a thousand files',
    () => tarOf(...Array.from({ length: 1000 }, (_, i): [EntryHeader, string] => [{ name: `r/f${i}` }, ''])),
    /one file too many/,
  ],
  ['eight gigabytes promised', size(octal('77777777777')), /whole tar/],
  ['a size below 0', size(octal('-0000000001')), /whole tar|no manifest/],
  ['a size of 2^80', size(Buffer.from('80ffffffffffffffffffffff', 'hex')), /whole tar/],
  ['a size below 0, base 256', size(Buffer.from('ffffffffffffffffffffffff', 'hex')), /whole tar/],
  ['a size that is no number', size(octal('abcdefghijk')), /whole tar|no manifest/],
  [
    'a cut tar',
    async () => (await tarOf([{ name: 'r/a' }, 'x'.repeat(5000)])).subarray(0, 1000),
    /whole tar/,
  ],
  ['no tar at all', async () => Buffer.from('hello'.repeat(1000)), /whole tar/],
];

export const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

const CRASH = { frames: ['panic', 'mount_root'], console: 'Panic: no root\n', config: 'name = "guest"\n' };

/** A report with files added or replaced, as its manifest says unless `manifest` is among them. */
export async function reportWith(...changed: readonly ArchiveFile[]): Promise<Uint8Array> {
  const files = new Map(madeUpFiles(CRASH).map((file) => [file.name, file]));
  for (const file of changed) if (file.name !== 'manifest.json') files.set(file.name, file);
  const all = [...files.values()];
  const own = changed.find((file) => file.name === 'manifest.json');
  const manifest = own ?? {
    name: 'manifest.json',
    bytes: encode(renderManifest(madeUpManifest(CRASH, all))),
  };
  return (await packArchive('r', [manifest, ...all])).bytes;
}

/** The manifest of `reportWith()` as an object. */
export const goodManifest = (): Record<string, unknown> =>
  JSON.parse(renderManifest(madeUpManifest(CRASH, madeUpFiles(CRASH))));

const file = (name: string, content: string): ArchiveFile => ({ name, bytes: encode(content) });
const manifest = (change: object): Promise<Uint8Array> =>
  reportWith(file('manifest.json', JSON.stringify({ ...goodManifest(), ...change })));
const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);

/** RFC 1952: a gzip file that says what it likes of itself. */
function gzipOf(deflated: readonly Uint8Array[], crc: number, length: number): Buffer {
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc, 0);
  trailer.writeUInt32LE(length, 4);
  return Buffer.concat([Buffer.from('1f8b08000000000000ff', 'hex'), ...deflated, trailer]);
}

/** Ten gigabytes of zeros: a full flush makes 16 MiB of them a piece that can be repeated. */
function bomb(): Uint8Array {
  const piece = deflateRawSync(Buffer.alloc(16 << 20), { finishFlush: 3 });
  return gzipOf([...Array<Uint8Array>(640).fill(piece), Buffer.from([3, 0])], 0, 0);
}

const listed = (names: readonly string[]) =>
  names.map((each) => ({
    name: each,
    sha256: sha256(encode('')),
    bytes: 0,
    origin: 'raw',
    privacy: 'maybe',
  }));

export interface Bundle {
  readonly name: string;
  readonly make: () => Promise<Uint8Array> | Uint8Array;
  /** What is said of it. */
  readonly reason: RegExp;
}

const row = (name: string, make: Bundle['make'], reason: RegExp): Bundle => ({ name, make, reason });

/** Refused by every command. */
export const REFUSED: readonly Bundle[] = [
  ...TARS.map(([name, make, reason]) => row(name, async () => gzipSync(await make()), reason)),
  row('nothing', () => Buffer.alloc(0), /not a whole gzip file/),
  row('no gzip', () => Buffer.from('hello'), /not a whole gzip file/),
  row('a cut gzip', async () => (await reportWith()).subarray(0, 300), /not a whole gzip file/),
  row(
    'a gzip with another checksum',
    async () => (await reportWith()).map((byte, at, all) => (at === all.length - 8 ? byte ^ 1 : byte)),
    /not a whole gzip file/,
  ),
  row(
    'something behind the end',
    async () => Buffer.concat([await reportWith(), Buffer.from('\0garbage')]),
    /8 bytes behind its end/,
  ),
  row(
    'words behind the end',
    async () => Buffer.concat([await reportWith(), Buffer.from('garbage')]),
    /not a whole gzip file/,
  ),
  row(
    'two reports in one file',
    async () => Buffer.concat([await reportWith(), await packReport({ console: 'other\n' })]),
    /is there twice|second folder/,
  ),
  row('ten gigabytes of zeros', bomb, /unpacks to more than 134217728 bytes/),
  row('no manifest', async () => (await packArchive('r', [file('a', 'x')])).bytes, /no manifest\.json/),
  ...(
    [
      ['is no JSON', '{', /not JSON/],
      ['is a list', '[]', /not an object/],
      ['is null', 'null', /not an object/],
      [
        'is nested 100,000 deep',
        `{"schema":"${MANIFEST_SCHEMA}","a":${nested(100_000)}}`,
        /nested more than 256 deep/,
      ],
      ['is nested 2 million deep and not closed', '{"a":'.repeat(2 << 20), /nested more than 256 deep/],
      ['has 100 MB', `{"a":[${'[],'.repeat(33 << 20)}[]]}`, /JSON of more than \d+ characters/],
      ['is another schema', '{"schema":"pvh-report/9"}', /is not pvh-report\/1/],
      ['has a prototype', `{"__proto__":{"schema":"${MANIFEST_SCHEMA}"}}`, /schema/],
    ] as const
  ).map(([name, text, reason]) =>
    row(`a manifest that ${name}`, () => reportWith(file('manifest.json', text)), reason),
  ),
  row('files that are no list', () => manifest({ files: { length: 1e9 } }), /files: not a list|not a list/),
  row('a file of __proto__', () => manifest({ files: listed(['__proto__']) }), /"__proto__" is missing/),
  row(
    'a file of one gigabyte',
    () => manifest({ files: [{ ...listed(['guest.cfg'])[0], bytes: 1e9 }] }),
    /SHA-256 differs|1000000000/,
  ),
  row(
    'a right hash and a wrong size',
    () => {
      const files = goodManifest()['files'] as Record<string, unknown>[];
      return manifest({ files: files.map((each) => ({ ...each, bytes: 1e9 })) });
    },
    /crash\.json has \d+ bytes, not 1000000000/,
  ),
  row(
    'the same file listed twice',
    () => {
      const files = goodManifest()['files'] as Record<string, unknown>[];
      return manifest({ files: [...files, files[0]] });
    },
    /"crash\.json" is listed twice/,
  ),
  row(
    'a changed file',
    () => {
      const manifest = file('manifest.json', JSON.stringify(goodManifest()));
      return reportWith(manifest, file('console.log', 'Panic: other\n'));
    },
    /console\.log is not what the manifest says: its SHA-256 differs/,
  ),
  row(
    'a file too many',
    () => {
      const manifest = file('manifest.json', JSON.stringify(goodManifest()));
      return reportWith(manifest, file('extra', 'x'));
    },
    /extra is not in the manifest/,
  ),
  row(
    'a console of 100 MB',
    () => reportWith(file('console.log', 'x\n'.repeat(50 << 20))),
    /console\.log has 104857600 bytes/,
  ),
];
