// Reports made up for tests: a crash as a few lines, packed as `collect` packs it.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ArchiveFile, sha256 } from '../../tools/pvh-report/archive.ts';
import { renderCrash } from '../../tools/pvh-report/crash.ts';
import { type Manifest, renderManifest } from '../../tools/pvh-report/manifest.ts';
import { packArchive } from '../../tools/pvh-report/pack.ts';
import { unpackArchive } from '../../tools/pvh-report/unpack.ts';

export interface MadeUpCrash {
  readonly name?: string;
  /** Of a domain that did not shut down. */
  readonly state?: string;
  readonly reason?: string | undefined;
  readonly buildId?: string | undefined;
  /** Symbols of the trace, innermost first; addresses are made from their place when they have no name. */
  readonly frames?: readonly (string | number)[];
  readonly registers?: Readonly<Record<string, string>>;
  readonly console?: string | undefined;
  readonly config?: string | undefined;
  readonly xenLog?: string | undefined;
  readonly missing?: Manifest['missing'];
}

const bytes = (text: string) => new TextEncoder().encode(text);

export function madeUpManifest(crash: MadeUpCrash, files: readonly ArchiveFile[]): Manifest {
  return {
    tool: 'pvh-report 0.1.0',
    domain: { name: crash.name ?? 'guest', domid: 1, uuid: '00000000-0000-0000-0000-000000000001' },
    state: crash.state ?? 'shutdown',
    shutdownReason: crash.state === undefined ? (crash.reason ?? 'crash') : undefined,
    shutdownVcpu: undefined,
    kernel: { sha256: sha256(bytes(crash.buildId ?? '')), buildId: crash.buildId, banner: undefined },
    symbolsBuildId: undefined,
    xen: '4.17.0-pvh-report',
    files: files.map((file) => ({
      name: file.name,
      sha256: sha256(file.bytes),
      bytes: file.bytes.length,
      origin: 'raw' as const,
      privacy: 'maybe' as const,
    })),
    missing: crash.missing ?? [],
  };
}

export function madeUpFiles(crash: MadeUpCrash): ArchiveFile[] {
  const texts: [string, string | undefined][] = [
    [
      'crash.json',
      crash.frames &&
        renderCrash([
          {
            id: 0,
            online: true,
            trace: 'fp',
            registers: Object.entries(crash.registers ?? {}).map(([name, value]) => {
              const [digits = '', symbol] = value.split(' ');
              return { name, value: digits.padStart(16, '0'), ...(symbol && { symbol }) };
            }),
            frames: crash.frames.map((frame) =>
              typeof frame === 'number'
                ? { address: frame.toString(16).padStart(16, '0') }
                : { address: 'ffffffff81000000', symbol: `${frame}+0x1` },
            ),
          },
        ]),
    ],
    ['console.log', crash.console],
    ['guest.cfg', crash.config],
    ['xl-dmesg.txt', crash.xenLog],
  ];
  return texts.flatMap(([name, text]) => (text === undefined ? [] : [{ name, bytes: bytes(text) }]));
}

export async function packReport(crash: MadeUpCrash): Promise<Uint8Array> {
  const files = madeUpFiles(crash);
  const manifest = { name: 'manifest.json', bytes: bytes(renderManifest(madeUpManifest(crash, files))) };
  return (await packArchive('report', [manifest, ...files])).bytes;
}

/** A folder for one test file's reports; call `remove` at the end. */
export function scratchFolder(): {
  write(name: string, content: Uint8Array): string;
  /** Writes a report of a name of its own. @returns its path. */
  report(crash: MadeUpCrash): Promise<string>;
  remove(): void;
  path: string;
} {
  const path = mkdtempSync(join(tmpdir(), 'pvh-report-'));
  const write = (name: string, content: Uint8Array): string => {
    writeFileSync(join(path, name), content);
    return join(path, name);
  };
  let reports = 0;
  return {
    path,
    write,
    report: async (crash) => write(`${++reports}.tar.gz`, await packReport(crash)),
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** New texts (bytes as characters) of files of a report. */
export type Changes = Readonly<Record<string, (text: string) => string>>;

/** A report whose files are others, and whose manifest says so. */
export async function changed(path: string, to: string, changes: Changes): Promise<string> {
  const { files, folder } = await unpackArchive(readFileSync(path), path);
  let manifest = Buffer.from(files.get('manifest.json') ?? []).toString();
  const all = [...files].map(([name, bytes]) => {
    const change = changes[name];
    if (change === undefined || name === 'manifest.json') return { name, bytes };
    const before = Buffer.from(bytes).toString('latin1');
    const after = Buffer.from(change(before), 'latin1');
    if (after.equals(bytes)) throw new Error(`${name} is what it was`);
    manifest = manifest
      .replace(sha256(bytes), sha256(after))
      .replace(`"bytes": ${bytes.length},`, `"bytes": ${after.length},`);
    return { name, bytes: after };
  });
  const own = changes['manifest.json']?.(manifest) ?? manifest;
  const { bytes } = await packArchive(
    folder,
    all.map((file) => (file.name === 'manifest.json' ? { ...file, bytes: Buffer.from(own) } : file)),
  );
  writeFileSync(to, bytes);
  return to;
}
