// Reports with planted secrets: none survives, and nothing that tells of the crash changes.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { renderReportPage } from '../../../tools/pvh-report/html/report-page.ts';
import { packArchive } from '../../../tools/pvh-report/pack.ts';
import { readReport } from '../../../tools/pvh-report/report.ts';
import { unpackArchive } from '../../../tools/pvh-report/unpack.ts';
import { pvhReport } from '../run.ts';
import { scratchFolder } from '../support.ts';
import { corpusReport, EVIDENCE } from './corpus.ts';
import { KEY } from './key.ts';

const folder = scratchFolder();
afterAll(() => folder.remove());
const key = folder.write('key', KEY);

/** Columns of every line, as a terminal counts them. */
const widths = (text: string): number[] => text.split('\n').map((line) => [...line].length);

const SEEDS = Array.from({ length: 64 }, (_, index) => index + 1);

describe('64 reports with planted secrets', () => {
  test.each(SEEDS)('report %i', async (seed) => {
    const { name, files, secrets } = corpusReport(seed);
    const whole = Buffer.concat(files.map(({ bytes }) => bytes)).toString('utf8');
    expect(secrets.filter((secret) => !whole.includes(secret))).toEqual([]);
    const before = folder.write(`${seed}.tar.gz`, (await packArchive(name, files)).bytes);
    const after = join(folder.path, `${seed}-out.tar.gz`);
    const { status, err } = await pvhReport('redact', before, '-o', after, '--key', key);
    expect([err.match(/pvh-report: .*/)?.[0], status]).toEqual([undefined, 0]);

    const packed = await unpackArchive(readFileSync(after), after);
    const survivors = [...packed.files, [packed.folder, Buffer.from(packed.folder)] as const].flatMap(
      ([file, bytes]) => {
        const text = `${file}\n${Buffer.from(bytes).toString('utf8')}`.toLowerCase();
        return secrets
          .filter((secret) => text.includes(secret.toLowerCase()))
          .map((secret) => `${file}: ${secret}`);
      },
    );
    expect(survivors).toEqual([]);

    for (const { name: file, bytes } of files) {
      const [was, is] = [bytes, packed.files.get(file) ?? new Uint8Array()].map((each) =>
        Buffer.from(each).toString('utf8'),
      );
      if (file !== 'manifest.json' && file !== 'report.html')
        expect([file, ...widths(is ?? '')]).toEqual([file, ...widths(was ?? '')]);
      if (file === 'crash.json') expect(is).toBe(was);
      if (file === 'console.log') for (const line of EVIDENCE) expect(is).toContain(line);
    }
    const [left, right] = [await readReport(before), await readReport(after)];
    expect(right.signature).toEqual(left.signature);
    // Of the redacted files, as anybody would make it.
    const page = Buffer.from(packed.files.get('report.html') ?? new Uint8Array()).toString('utf8');
    expect(page).toBe(renderReportPage(right));

    // Once more: nothing is left to do, and the same key gives the same bytes.
    const again = join(folder.path, `${seed}-again.tar.gz`);
    expect((await pvhReport('redact', after, '-o', again, '-q')).status).toBe(0);
    expect((await readReport(again)).digest).toBe(right.digest);
    const twin = join(folder.path, `${seed}-twin.tar.gz`);
    expect((await pvhReport('redact', before, '-o', twin, '-q', '--key', key)).status).toBe(0);
    expect((await readReport(twin)).digest).toBe(right.digest);
    writeFileSync(before, '');
  });
});
