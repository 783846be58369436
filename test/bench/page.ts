// npm run bench:page: how long a person waits for the page of a report with 10 MB of console, in Debian's Chromium, against the
// same log as a bare text file in the same browser; and for a search in it. Last line: `ratio <page : text>`.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Page } from 'playwright-core';
import { launch } from '../pvh-report/html/browser.ts';
import { packReport, scratchFolder } from '../pvh-report/support.ts';

const ROUNDS = 5;
const tool = fileURLToPath(new URL('../../dist/tools/bin/pvh-report.js', import.meta.url));
const folder = scratchFolder();

function consoleText(): string {
  const lines: string[] = [];
  for (let size = 0; size < 10 << 20; size += (lines.at(-1)?.length ?? 0) + 1) {
    const [time, number] = [(lines.length / 100).toFixed(6).padStart(12), lines.length];
    lines.push(
      `[${time}] usb ${number % 97}-1: new device number ${number}, ${number % 50 ? 'xhci' : 'error -71'}`,
    );
  }
  return `${lines.join('\n')}\nKernel panic - not syncing: needle\n`;
}

async function timed(work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

/** The middle one of some rounds. */
async function median(work: () => Promise<number>): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) times.push(await work());
  return times.sort((a, b) => a - b)[ROUNDS >> 1] ?? Number.NaN;
}

/** Seconds from a word in the search field to the picture with what was found. */
const search = (page: Page, word: string): Promise<number> =>
  timed(() =>
    page.evaluate(`new Promise((seen) => {
      const input = document.getElementById('search');
      input.value = ${JSON.stringify(word)};
      input.dispatchEvent(new Event('input'));
      requestAnimationFrame(() => requestAnimationFrame(seen));
    })`),
  );

const browser = await launch();
try {
  const text = consoleText();
  const log = folder.write('console.txt', Buffer.from(text));
  const report = folder.write('large.tar.gz', await packReport({ console: text }));
  const html = join(folder.path, 'large.html');
  const making = await median(() =>
    timed(() => execFileSync(process.execPath, [tool, 'show', '--html', report, '-o', html])),
  );
  const opening = (path: string) =>
    median(async () => {
      const page = await browser.newPage();
      const seconds = await timed(() => page.goto(pathToFileURL(path).href));
      await page.close();
      return seconds;
    });
  const [bare, ours] = [await opening(log), await opening(html)];
  const page = await browser.newPage();
  await page.goto(pathToFileURL(html).href);
  const first = await search(page, 'needle');
  const later = await median(() => search(page, 'number 90001,'));
  console.log(`make ${making.toFixed(2)} s, open ${ours.toFixed(2)} s, as bare text ${bare.toFixed(2)} s`);
  console.log(`first search ${first.toFixed(2)} s, later ones ${later.toFixed(3)} s`);
  console.log(`ratio ${(ours / bare).toFixed(2)}`);
} finally {
  await browser.close();
  folder.remove();
}
