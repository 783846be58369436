// The recorded corpus: reports of labelled crashes without what neither signature nor verdict looks at.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import { type ArchiveFile, sha256 } from '../../../tools/pvh-report/archive.ts';
import { type CrashVcpu, renderCrash } from '../../../tools/pvh-report/crash.ts';
import { renderManifest } from '../../../tools/pvh-report/manifest.ts';
import { packArchive } from '../../../tools/pvh-report/pack.ts';
import type { Report } from '../../../tools/pvh-report/report.ts';

const FOLDER = fileURLToPath(new URL('recorded', import.meta.url));

export interface Entry {
  /** Kernel, vCPUs, memory and seed. */
  readonly what: string;
  readonly state: string;
  readonly shutdownReason?: string;
  readonly shutdownVcpu?: number;
  readonly buildId?: string;
  readonly kernelSha256?: string;
  readonly config?: string;
  readonly xenLog?: string;
  readonly console?: string;
  readonly vcpus: readonly CrashVcpu[];
}

export function entryOf(what: string, { manifest, config, xenLog, console, vcpus }: Report): Entry {
  const { state, shutdownReason, shutdownVcpu, kernel } = manifest;
  return {
    what,
    state,
    ...(shutdownReason !== undefined && { shutdownReason }),
    ...(shutdownVcpu !== undefined && { shutdownVcpu }),
    ...(kernel.buildId !== undefined && { buildId: kernel.buildId }),
    ...(kernel.sha256 !== undefined && { kernelSha256: kernel.sha256 }),
    ...(config !== undefined && { config }),
    ...(xenLog !== undefined && { xenLog }),
    ...(console !== undefined && { console }),
    vcpus,
  };
}

/** The entry as a report that can be read. */
export async function packEntry(entry: Entry): Promise<Uint8Array> {
  const encode = (text: string) => new TextEncoder().encode(text);
  const texts: [string, string | undefined][] = [
    ['crash.json', renderCrash(entry.vcpus)],
    ['console.log', entry.console],
    ['guest.cfg', entry.config],
    ['xl-dmesg.txt', entry.xenLog],
  ];
  const files = texts.flatMap(([name, text]): ArchiveFile[] =>
    text === undefined ? [] : [{ name, bytes: encode(text) }],
  );
  const manifest = renderManifest({
    tool: 'pvh-report corpus',
    domain: { name: 'corpus', domid: 1, uuid: undefined },
    state: entry.state,
    shutdownReason: entry.shutdownReason,
    shutdownVcpu: entry.shutdownVcpu,
    kernel: { buildId: entry.buildId, sha256: entry.kernelSha256, banner: undefined },
    symbolsBuildId: undefined,
    xen: undefined,
    files: files.map(({ name, bytes }) => ({
      name,
      sha256: sha256(bytes),
      bytes: bytes.length,
      origin: 'raw',
      privacy: 'maybe',
    })),
    missing: [],
  });
  const all = [{ name: 'manifest.json', bytes: encode(manifest) }, ...files];
  return (await packArchive('corpus', all)).bytes;
}

export const writeEntries = (label: string, entries: readonly Entry[]): void =>
  writeFileSync(
    join(FOLDER, `${label}.json.br`),
    brotliCompressSync(JSON.stringify(entries), {
      params: { [constants.BROTLI_PARAM_LGWIN]: 24, [constants.BROTLI_PARAM_QUALITY]: 11 },
    }),
  );

export const readEntries = (label: string): readonly Entry[] =>
  JSON.parse(brotliDecompressSync(readFileSync(join(FOLDER, `${label}.json.br`))).toString()) as Entry[]; // written by us

export const labels = (): string[] =>
  readdirSync(FOLDER)
    .map((name) => name.replace(/\.json\.br$/, ''))
    .sort();
