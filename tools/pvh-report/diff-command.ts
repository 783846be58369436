// pvh-report diff
import { compareReports } from './diff/compare.ts';
import { renderComparison } from './diff/render.ts';
import { EXIT, type Streams } from './exit.ts';
import { readReport } from './report.ts';

const STATUS = { same: EXIT.ok, different: EXIT.different, 'not comparable': EXIT.unusable };

export async function runDiff(a: string, b: string, json: boolean, { out }: Streams): Promise<number> {
  const comparison = compareReports(await readReport(a), await readReport(b));
  out(json ? `${JSON.stringify(comparison, undefined, 2)}\n` : renderComparison(comparison));
  return STATUS[comparison.judgement.verdict];
}
