// Whatever a report says, its page is made, and nothing in it but ours is markup.
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { FormatError } from '../../../symbols/errors.ts';
import { compareReports } from '../../../tools/pvh-report/diff/compare.ts';
import { renderDiffPage } from '../../../tools/pvh-report/html/diff-page.ts';
import { renderReportPage } from '../../../tools/pvh-report/html/report-page.ts';
import { readFacts } from '../../../tools/pvh-report/html/xenctx-facts.ts';
import { readReport } from '../../../tools/pvh-report/report.ts';
import { packReport, scratchFolder } from '../support.ts';

const folder = scratchFolder();
afterAll(() => folder.remove());

const words = [
  '<',
  '>',
  '"',
  "'",
  '&',
  '</script>',
  '<!--',
  '\x1b[',
  '\r\n',
  '\u202e',
  '\ud800',
  'panic',
  'BUG: ',
  '0x1',
];
const hostile = fc
  .array(fc.oneof(fc.constantFrom(...words), fc.string({ unit: 'binary' })))
  .map((parts) => parts.join(''));
const crash = fc.record({
  name: hostile,
  reason: hostile,
  frames: fc.array(hostile, { maxLength: 6 }),
  registers: fc.dictionary(
    hostile,
    hostile.map((text) => `1 ${text}`),
    { maxKeys: 4 },
  ),
  console: hostile,
  config: hostile,
  xenLog: hostile,
});

/** Everything between angle brackets. */
const tagsOf = (page: string) => new Set(page.match(/<\/?[a-z][^\s>]*/g));

test('pages of made-up reports have our tags only', async () => {
  const plain = await readReport(
    folder.write('plain.tar.gz', await packReport({ console: 'a\nWARNING: b\nBUG: c\n' })),
  );
  await fc.assert(
    fc.asyncProperty(crash, async (made) => {
      const report = await readReport(folder.write('made.tar.gz', await packReport(made)));
      for (const page of [renderReportPage(report), renderDiffPage(compareReports(report, plain))]) {
        expect(page.match(/<script/g)).toHaveLength(1);
        expect([...tagsOf(page)].filter((tag) => !OURS.has(tag.replace('/', '')))).toEqual([]);
        expect(page).not.toMatch(
          /[\u202a-\u202e\u2066-\u2069\ud800-\udfff](?<![\ud800-\udbff][\udc00-\udfff])(?![\udc00-\udfff])/,
        );
      }
    }),
    { seed: 5, numRuns: 60 },
  );
});

const OURS = new Set(
  'html head meta title style body a header div p h1 h2 h3 button nav ul li main section footer dialog table thead tbody tr th td kbd script code dl dt dd details summary span strong em ol search label input output pre br'
    .split(' ')
    .map((name) => `<${name}`),
);

test('xenctx.json of any shape is read or refused', () => {
  const field = fc.constantFrom(
    'vcpus',
    'id',
    'unwind',
    'frames',
    'source',
    'stack',
    'address',
    'value',
    'how',
    'registers',
    'code',
    'bytes',
    'current',
    'task',
    'unreadable',
  );
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 6 },
      fc.constantFrom(null, 0, 1.5, true, '0000000000000000', 'x'),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(field, tie('value'), { maxKeys: 5 }),
    ),
  }));
  fc.assert(
    fc.property(value, (made) => {
      try {
        readFacts(JSON.stringify({ vcpus: [made] }), 'xenctx.json');
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
      }
    }),
    { seed: 5, numRuns: 2000 },
  );
});
