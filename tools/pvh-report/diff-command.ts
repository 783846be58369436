// pvh-report diff
import { resolve } from 'node:path';
import { replaceFile } from '../../core/host/files.ts';
import { ToolFailure } from '../shared/failure.ts';
import { compareReports } from './diff/compare.ts';
import { renderComparison } from './diff/render.ts';
import { EXIT, type Streams } from './exit.ts';
import { readReport } from './report.ts';

export interface DiffOptions {
  readonly json?: true;
  /** Where to write a page, beside what is printed; `-` prints that instead. */
  readonly html?: string;
}

const STATUS = { same: EXIT.ok, different: EXIT.different, 'not comparable': EXIT.unusable };

export async function runDiff(a: string, b: string, options: DiffOptions, { out }: Streams): Promise<number> {
  const { html: file, json } = options;
  if (file !== undefined && [a, b].some((report) => resolve(report) === resolve(file)))
    throw new ToolFailure([`pvh-report: ${file}: that is one of the reports`]);
  const comparison = compareReports(await readReport(a), await readReport(b));
  const status = STATUS[comparison.judgement.verdict];
  if (file !== undefined) {
    const { renderDiffPage } = await import('./html/diff-page.ts');
    const page = renderDiffPage(comparison);
    if (file === '-') {
      out(page);
      return status;
    }
    replaceFile(resolve(file), page);
  }
  out(json ? `${JSON.stringify(comparison, undefined, 2)}\n` : renderComparison(comparison));
  return status;
}
