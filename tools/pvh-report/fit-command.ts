// pvh-report fit, and what collect says about what was left out for its size
import { readFileSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { replaceFile } from '../../core/host/files.ts';
import { FormatError } from '../../symbols/errors.ts';
import { ToolFailure } from '../shared/failure.ts';
import { MAX_PACKED } from './archive.ts';
import { EXIT, type Streams } from './exit.ts';
import { type Destination, type Fitted, fitReport, LIMITS } from './fit.ts';

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
  const found = statSync(path);
  if (!found.isFile()) throw new FormatError('not a file', { source: path });
  if (found.size > MAX_PACKED) throw new FormatError(`larger than ${MAX_PACKED} bytes`, { source: path });
  const target = resolve(output ?? `${basename(path).replace(/\.(tar\.gz|tgz)$/, '')}.${fit}.tar.gz`);
  if (target === resolve(path))
    throw new ToolFailure(
      [`pvh-report: ${path}: a report is not overwritten; name another file with -o`],
      EXIT.unusable,
    );
  const fitted = await fitReport(readFileSync(path), path, LIMITS[fit]);
  sayDropped(fitted, err);
  replaceFile(target, fitted.bytes);
  out(`${target}\n`);
  return EXIT.ok;
}
