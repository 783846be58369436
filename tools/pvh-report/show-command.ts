// pvh-report show
import { resolve } from 'node:path';
import { replaceFile } from '../../core/host/files.ts';
import { cleanText } from '../shared/clean-text.ts';
import { ToolFailure } from '../shared/failure.ts';
import { EXIT, type Streams } from './exit.ts';
import { renderReportPage } from './html/report-page.ts';
import { readReport } from './report.ts';

export interface ShowOptions {
  readonly html?: true;
  readonly output?: string;
}

/** `a.tar.gz` as `a.html`, in the same folder. */
const besideReport = (path: string): string => `${path.replace(/\.(tar\.gz|tgz|tar\.zst|tar)$/, '')}.html`;

/** @returns the exit status. @throws FormatError for what is no report. */
export async function runShow(path: string, options: ShowOptions, { out }: Streams): Promise<number> {
  const report = await readReport(path);
  if (!options.html) {
    if (options.output !== undefined)
      throw new ToolFailure(['pvh-report: -o is for --html: report.txt goes to stdout']);
    const summary = report.files.get('report.txt');
    if (summary === undefined) throw new ToolFailure([`pvh-report: ${path}: this report has no report.txt`]);
    out(new TextDecoder().decode(summary).split('\n').map(cleanText).join('\n'));
    return EXIT.ok;
  }
  const page = renderReportPage(report);
  if (options.output === '-') {
    out(page);
    return EXIT.ok;
  }
  const target = resolve(options.output ?? besideReport(path));
  if (target === resolve(path)) throw new ToolFailure([`pvh-report: ${path}: that is the report itself`]);
  replaceFile(target, page);
  out(`${target}\n`);
  return EXIT.ok;
}
