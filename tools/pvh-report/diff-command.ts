// pvh-report diff
import { resolve } from 'node:path';
import { replaceFile } from '../../core/host/files.ts';
import { ToolFailure } from '../shared/failure.ts';
import { compareReports } from './diff/compare.ts';
import { noiseOf } from './diff/noise.ts';
import { renderComparison } from './diff/render.ts';
import { parseScope } from './diff/scope.ts';
import { EXIT, type Streams } from './exit.ts';
import { type Report, readReport } from './report.ts';

export interface DiffOptions {
  readonly json?: true;
  /** Where to write a page, beside what is printed; `-` prints that instead. */
  readonly html?: string;
  /** Sections, and names in them. */
  readonly only?: readonly string[];
  readonly ignore?: readonly string[];
  /** Paths of reports that should be like the first. */
  readonly baseline?: readonly string[];
}

const STATUS = { same: EXIT.ok, different: EXIT.different, 'not comparable': EXIT.unusable };

/** One at a time: no more than one of them is held. */
async function* readEach(paths: readonly string[]): AsyncGenerator<Report> {
  for (const path of paths) yield await readReport(path);
}

export async function runDiff(a: string, b: string, options: DiffOptions, { out }: Streams): Promise<number> {
  const { html: file, json, baseline = [] } = options;
  const scope = parseScope(options.only, options.ignore);
  if (file !== undefined && [a, b, ...baseline].some((report) => resolve(report) === resolve(file)))
    throw new ToolFailure([`pvh-report: ${file}: that is one of the reports`]);
  const [left, right] = [await readReport(a), await readReport(b)];
  const noise = baseline.length > 0 ? await noiseOf(left, readEach(baseline)) : undefined;
  const comparison = compareReports(left, right, { scope, noise });
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
