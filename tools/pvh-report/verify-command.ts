// pvh-report verify: is a report whole, and does what is derived come from what is raw?

import { openSymbolFile, type SymbolFile } from '../shared/symbol-file.ts';
import { searchSymbols } from '../shared/symbol-search.ts';
import { packageVersion } from '../shared/version.ts';
import { EXIT, type Streams } from './exit.ts';
import { changedFiles, type Manifest } from './manifest.ts';
import { NoRecordError, rederive } from './rederive.ts';
import { type Unpacked, unpackReport } from './report.ts';

export interface VerifyOptions {
  readonly symbolTable?: string;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Whether names in the report come from a file. */
const usedFile = ({ missing, symbolsBuildId }: Manifest): boolean =>
  symbolsBuildId !== undefined || !missing.some(({ item }) => item === 'symbols');

/** The file that the names come from: given, or kept in the stash or where distributions put it. */
async function symbolsOf(
  { manifest }: Unpacked,
  given: string | undefined,
  env: Env,
): Promise<SymbolFile | undefined> {
  if (given !== undefined) return openSymbolFile(given);
  const { symbolsBuildId: buildId } = manifest;
  return buildId === undefined ? undefined : (await searchSymbols({ buildId }, { env })).file;
}

/** Lines about what comes out otherwise than it stands in the report. */
async function differences(report: Unpacked, file: SymbolFile | undefined): Promise<string[]> {
  const { manifest, files, digest } = report;
  const made = await rederive(report, { tool: manifest.tool, file });
  const derived = new Map(made.files.map(({ name, bytes }) => [name, bytes]));
  const names = [...new Set([...files.keys(), ...derived.keys()])].sort();
  const lines = names.flatMap((name) => {
    const is = files.get(name);
    const should = derived.get(name);
    if (should === undefined) return [`${name}: not made from the raw files`];
    if (is === undefined) return [`${name}: missing, the raw files give it`];
    return Buffer.compare(is, should) === 0 ? [] : [`${name}: not what the raw files give`];
  });
  if (lines.length === 0 && made.digest !== digest)
    return ['the container: its files are right, but it was not packed by pvh-report'];
  // The manifest has the SHA-256 of the others.
  const others = lines.filter((line) => !line.startsWith('manifest.json: '));
  return others.length === 0 ? lines : others;
}

/** @returns 0: whole; 1: something differs; 2: it could not be found out. @throws FormatError for what is no report. */
export async function runVerify(
  path: string,
  { symbolTable }: VerifyOptions,
  env: Env,
  { out, err }: Streams,
): Promise<number> {
  const report = await unpackReport(path);
  const { manifest, files, image } = report;
  const changed = changedFiles(manifest, files, image);
  if (changed.length > 0) {
    out(changed.map((line) => `${line}\n`).join(''));
    return EXIT.different;
  }
  const count = `${manifest.files.length} files are what the manifest says`;
  const file = await symbolsOf(report, symbolTable, env);
  try {
    if (file === undefined && usedFile(manifest)) {
      const which = manifest.symbolsBuildId === undefined ? '' : ` of build-id ${manifest.symbolsBuildId}`;
      err(
        `pvh-report: ${count}; whether what is derived is right takes the symbols${which}: give them with -s\n`,
      );
      return EXIT.unusable;
    }
    const lines = await differences(report, file);
    out(
      lines.length === 0
        ? `${count}, and what is derived comes out the same\n`
        : lines.map((line) => `${line}\n`).join(''),
    );
    const tool = `pvh-report ${packageVersion()}`;
    if (lines.length > 0 && manifest.tool !== tool)
      err(`pvh-report: it was made by ${manifest.tool}, this is ${tool}: that alone may be the reason\n`);
    if (lines.length > 0 && manifest.redaction)
      err('pvh-report: it was redacted, its memory was not: that alone may be the reason\n');
    return lines.length === 0 ? EXIT.ok : EXIT.different;
  } catch (error) {
    if (!(error instanceof NoRecordError)) throw error;
    err(`pvh-report: ${count}; ${error.message}\n`);
    return EXIT.unusable;
  } finally {
    file?.close();
  }
}
