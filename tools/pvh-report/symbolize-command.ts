// pvh-report symbolize: adds names to a report that was made without, or with others.
import { existsSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { replaceFileBy } from '../../core/host/files.ts';
import { ToolFailure } from '../shared/failure.ts';
import { openSymbolFile } from '../shared/symbol-file.ts';
import { packageVersion } from '../shared/version.ts';
import { EXIT, type Streams } from './exit.ts';
import { verifyFiles } from './manifest.ts';
import { piecesOf } from './pack.ts';
import { rederive } from './rederive.ts';
import { unpackReport } from './report.ts';

export interface SymbolizeOptions {
  readonly symbolTable: string;
  readonly output?: string;
  readonly forceSymbols?: true;
}

const fail = (...lines: string[]): ToolFailure => new ToolFailure(lines, EXIT.unusable);

function outputPath(given: string | undefined, fileName: string, report: string): string {
  const path = resolve(given ?? fileName.replace(/\.tar\.gz$/, '_symbolized.tar.gz'));
  if (existsSync(path) && realpathSync(path) === realpathSync(report))
    throw fail(`pvh-report: ${path} is the report itself: name another file with -o`);
  return path;
}

/** @returns the exit status. @throws ToolFailure for symbols of another kernel, FormatError for what is no report. */
export async function runSymbolize(
  report: string,
  { symbolTable, output, forceSymbols }: SymbolizeOptions,
  { out, err }: Streams,
): Promise<number> {
  const unpacked = await unpackReport(report);
  const { manifest, files, image } = unpacked;
  verifyFiles(manifest, files, report, image);
  const redaction = manifest.redaction && ({ ...manifest.redaction, leaks: 'unknown' } as const);
  const file = openSymbolFile(symbolTable);
  try {
    for (const warning of file.warnings) err(`pvh-report: ${warning}\n`);
    const made = await rederive(
      { ...unpacked, manifest: { ...manifest, redaction } },
      { tool: `pvh-report ${packageVersion()}`, file },
    );
    const { guestBuildId, symbolsUsed } = made.inspection;
    if (!symbolsUsed) throw fail(`pvh-report: ${symbolTable} names nothing: nothing was written`);
    if (file.buildId !== undefined && file.buildId !== guestBuildId) {
      const what = `${symbolTable} has build-id ${file.buildId}, the guest's kernel ${guestBuildId ?? 'none that is known'}`;
      if (guestBuildId !== undefined && forceSymbols !== true)
        throw fail(`pvh-report: ${what}: nothing was written (--force-symbols takes it all the same)`);
      err(`pvh-report: ${what}: names may be wrong\n`);
    }
    const path = outputPath(output, made.fileName, report);
    if (redaction)
      err(
        'pvh-report: it was redacted, its memory was not: what is made of that again may hold what redact had replaced; before you pass it on: pvh-report redact --keep memory, with --map if you have it\n',
      );
    await replaceFileBy(path, piecesOf(made));
    out(`${path}\n`);
    return made.partial ? EXIT.partial : EXIT.ok;
  } finally {
    file.close();
  }
}
