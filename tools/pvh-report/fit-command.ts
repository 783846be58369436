// pvh-report fit, and what collect says about what was left out for its size
import { createReadStream, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { replaceFile, replaceFileBy } from '../../core/host/files.ts';
import { ToolFailure } from '../shared/failure.ts';
import { EXIT, type Streams } from './exit.ts';
import { type Destination, type Fitted, fitReport, LIMITS } from './fit.ts';
import { unpackReport } from './report.ts';

export interface FitOptions {
  readonly fit: Destination;
  readonly output?: string;
}

export const sayDropped = ({ dropped }: Fitted, err: Streams['err']): void => {
  for (const { item, reason } of dropped) err(`left out: ${item}: ${reason}\n`);
};

/** @returns the exit status. @throws FormatError, ToolFailure */
export async function runFit(
  path: string,
  { fit, output }: FitOptions,
  { out, err }: Streams,
): Promise<number> {
  const target = resolve(output ?? `${basename(path).replace(/\.(tar\.gz|tgz)$/, '')}.${fit}.tar.gz`);
  if (target === resolve(path))
    throw new ToolFailure(
      [`pvh-report: ${path}: a report is not overwritten; name another file with -o`],
      EXIT.unusable,
    );
  const report = await unpackReport(path);
  const fitted = await fitReport(report, statSync(path).size, LIMITS[fit]);
  if (fitted) {
    sayDropped(fitted, err);
    replaceFile(target, fitted.bytes);
  } else await replaceFileBy(target, createReadStream(path));
  out(`${target}\n`);
  return EXIT.ok;
}
