// Thirty labelled causes of a crash, five runs each with other kernels, vCPUs, memory and seeds: does the signature group them,
// and does diff say which are the same? Recorded by corpus/record-cli.ts.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compareReports, mirror } from '../../tools/pvh-report/diff/compare.ts';
import { renderComparison } from '../../tools/pvh-report/diff/render.ts';
import { judge } from '../../tools/pvh-report/diff/verdict.ts';
import { type Report, readReport } from '../../tools/pvh-report/report.ts';
import { Host } from '../kernel/guest.ts';
import { debianArchive } from '../support/debian.ts';
import { CAUSES, collectRun, RUNS } from './corpus/causes.ts';
import { labels, packEntry, readEntries } from './corpus/entries.ts';
import { scratchFolder } from './support.ts';

const folder = scratchFolder();
afterAll(() => folder.remove());

interface Labelled {
  readonly label: string;
  readonly what: string;
  readonly report: Report;
}

const corpus: Labelled[] = [];

beforeAll(async () => {
  for (const label of labels())
    for (const [index, entry] of readEntries(label).entries()) {
      const path = folder.write(`${label}-${index}.tar.gz`, await packEntry(entry));
      corpus.push({ label, what: `${label} (${entry.what})`, report: await readReport(path) });
    }
});

function* pairs(): Generator<[Labelled, Labelled]> {
  for (const [index, a] of corpus.entries()) for (const b of corpus.slice(index + 1)) yield [a, b];
}

describe('the corpus', () => {
  test('has every cause, and at least twenty', () => {
    expect(labels()).toEqual(CAUSES.map(({ label }) => label).sort());
    expect(CAUSES.length).toBeGreaterThanOrEqual(20);
    expect(corpus).toHaveLength(CAUSES.length * RUNS);
  });

  test('the signature groups it: precision and recall over all pairs', () => {
    const count = { together: 0, rightlyTogether: 0, same: 0 };
    const wrong: string[] = [];
    for (const [a, b] of pairs()) {
      const together = a.report.signature.text === b.report.signature.text;
      const same = a.label === b.label;
      if (together) count.together++;
      if (same) count.same++;
      if (together && same) count.rightlyTogether++;
      if (together !== same)
        wrong.push(`${a.what}: ${a.report.signature.text}\n  ${b.what}: ${b.report.signature.text}`);
    }
    const precision = count.rightlyTogether / count.together;
    const recall = count.rightlyTogether / count.same;
    console.info(
      `precision ${precision.toFixed(4)}, recall ${recall.toFixed(4)} over ${corpus.length} reports`,
    );
    for (const line of wrong.slice(0, 20)) console.info(line);
    expect(precision).toBeGreaterThanOrEqual(0.95);
    expect(recall).toBeGreaterThanOrEqual(0.95);
  });

  test('diff gives the right verdict on every pair', () => {
    const wrong: string[] = [];
    let count = 0;
    for (const [a, b] of pairs()) {
      count++;
      const { verdict, rule } = judge(a.report, b.report);
      if (verdict !== (a.label === b.label ? 'same' : 'different'))
        wrong.push(`${a.what} / ${b.what}: ${verdict}: ${rule}`);
    }
    console.info(`${count - wrong.length} of ${count} verdicts right`);
    expect(wrong).toEqual([]);
  });

  test('a comparison of real crashes is symmetric, reflexive, and fits on a screen', () => {
    const some = corpus.filter((_, index) => index % 7 === 0);
    for (const { report: a } of some) {
      expect(compareReports(a, a)).toMatchObject({
        judgement: { verdict: 'same' },
        conditions: [],
        config: [],
        missing: [],
        vcpus: [],
        ...(a.console !== undefined && { console: { numbers: 0, hunks: [] } }),
      });
      for (const { report: b } of some.slice(0, 6)) {
        const comparison = compareReports(a, b);
        expect(compareReports(b, a)).toEqual(mirror(comparison));
        expect(renderComparison(comparison).split('\n').length).toBeLessThanOrEqual(81);
      }
    }
  });
});

describe('recorded again', { timeout: 300_000 }, () => {
  const samples = ['bug-ud2', 'crash-on-vcpu1', 'triple-fault', 'panic'];
  const debian = debianArchive ? ['no-root', 'init-exits'] : [];
  test.each([...samples, ...debian])('%s is what it was', async (label) => {
    const cause = CAUSES.find((each) => each.label === label);
    expect(cause).toBeDefined();
    for (const index of [1, 3]) {
      const run = cause?.run(index);
      if (run === undefined) continue;
      using host = new Host();
      const { report } = await collectRun(host, 'corpus', run);
      const { signature, manifest } = await readReport(report);
      const before = corpus.filter((each) => each.label === label)[index];
      expect(signature.text).toBe(before?.report.signature.text);
      expect(signature.vcpu?.id).toBe(before?.report.signature.vcpu?.id);
      // The archive's kernel moves on; of the same one, everything is as it was.
      if (manifest.kernel.buildId === before?.report.manifest.kernel.buildId)
        expect(signature.frames).toEqual(before?.report.signature.frames);
    }
  });
});
