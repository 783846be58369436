// Reports with a valid envelope and nonsense inside: only FormatError may come out, or a comparison that renders.
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { FormatError } from '../../symbols/errors.ts';
import { compareReports } from '../../tools/pvh-report/diff/compare.ts';
import { renderComparison } from '../../tools/pvh-report/diff/render.ts';
import { renderManifest } from '../../tools/pvh-report/manifest.ts';
import { packArchive } from '../../tools/pvh-report/pack.ts';
import { readReport } from '../../tools/pvh-report/report.ts';
import { madeUpManifest, scratchFolder } from './support.ts';

const folder = scratchFolder();
afterAll(() => folder.remove());

const encode = (text: string) => new TextEncoder().encode(text);
/** Texts that go where a report's go, with the characters that hurt. */
const anyText = fc.oneof(
  fc.string(),
  fc.string({ unit: fc.constantFrom('\n', '\r', '\u001b[2J', '[', ']', '<', '"', '0', 'd1v0', '=', '\0') }),
);
const frame = fc.record({
  address: fc.constantFrom('ffffffff81000000', '0', 'x'),
  symbol: fc.option(anyText, { nil: undefined }),
});
const vcpu = fc.record({
  id: fc.oneof(fc.nat(3), fc.double()),
  online: fc.boolean(),
  trace: anyText,
  registers: fc.array(
    fc.record({ name: anyText, value: fc.constantFrom('0'.repeat(16), 'f'.repeat(16), '1') }),
    { maxLength: 3 },
  ),
  frames: fc.array(frame, { maxLength: 4 }),
});
const crash = fc.oneof(
  fc.array(vcpu, { maxLength: 3 }).map((vcpus) => JSON.stringify({ schema: 'pvh-report-crash/1', vcpus })),
  fc.json(),
);

test('nonsense in a well-formed report', async () => {
  const report = fc.record({ crash, console: anyText, config: anyText, log: anyText });
  let number = 0;
  const read = async (texts: { crash: string; console: string; config: string; log: string }) => {
    const files = [
      { name: 'crash.json', bytes: encode(texts.crash) },
      { name: 'console.log', bytes: encode(texts.console) },
      { name: 'guest.cfg', bytes: encode(texts.config) },
      { name: 'xl-dmesg.txt', bytes: encode(texts.log) },
    ];
    const manifest = {
      name: 'manifest.json',
      bytes: encode(renderManifest(madeUpManifest({ name: texts.console.slice(0, 9) }, files))),
    };
    const { bytes } = await packArchive('r', [manifest, ...files]);
    return readReport(folder.write(`${++number % 4}.tar.gz`, bytes));
  };
  await fc.assert(
    fc.asyncProperty(report, report, async (left, right) => {
      try {
        const [a, b] = [await read(left), await read(right)];
        const text = renderComparison(compareReports(a, b));
        expect(text.split('\n').length).toBeLessThanOrEqual(81);
        expect(/[^\P{Cc}\n]/u.test(text)).toBe(false);
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
      }
    }),
    { seed: 7, numRuns: 400 },
  );
});

test('a manifest of any JSON', async () => {
  await fc.assert(
    fc.asyncProperty(fc.json(), async (json) => {
      const { bytes } = await packArchive('r', [{ name: 'manifest.json', bytes: encode(json) }]);
      await expect(readReport(folder.write('m.tar.gz', bytes))).rejects.toThrow(FormatError);
    }),
    { seed: 7, numRuns: 100 },
  );
});
