// pvh-report mail
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename, resolve } from 'node:path';
import { replaceFile } from '../../core/host/files.ts';
import { EXIT, type Streams } from './exit.ts';
import { LIMITS } from './fit.ts';
import { renderMail } from './mail/mail.ts';
import { isPartial } from './manifest.ts';
import { readReport } from './report.ts';

/** @returns the exit status. @throws FormatError for a file that is no report. */
export async function runMail(
  path: string,
  { output }: { readonly output?: string },
  { out, err }: Streams,
): Promise<number> {
  const report = await readReport(path);
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of createReadStream(path)) {
    hash.update(piece);
    bytes += piece.length;
  }
  const mail = renderMail(report, { name: basename(path), bytes, sha256: hash.digest('hex') });
  if (bytes > LIMITS.mail.bytes)
    err(
      `pvh-report: ${path}: too large to go along in ${LIMITS.mail.what}: pvh-report fit --fit=mail makes a smaller one\n`,
    );
  if (output === undefined) out(mail);
  else {
    replaceFile(resolve(output), mail);
    out(`${resolve(output)}\n`);
  }
  return isPartial(report.manifest) ? EXIT.partial : EXIT.ok;
}
