// A comparison as a page, in a real browser, from a file.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PANIC } from '../crashes.ts';
import { pvhReport } from '../run.ts';
import { type MadeUpCrash, scratchFolder } from '../support.ts';
import { hasChromium, launch, open } from './browser.ts';

const folder = scratchFolder();
afterAll(() => folder.remove());

const page = join(folder.path, 'diff.html');

const diff = (...argv: string[]) => pvhReport('diff', ...argv);

const report = (crash: MadeUpCrash) => folder.report(crash);

const panic: MadeUpCrash = {
  ...PANIC,
  name: 'monday',
  registers: { rax: '1', rdi: 'ffffffff82000010 init_task+0x10', rflags: '246' },
};
const EVIL = '</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202e';
const other: MadeUpCrash = {
  ...panic,
  name: `tuesday ${EVIL}`,
  frames: ['shutdown', 'panic', EVIL, 'sample_main', 'start'],
  registers: { rax: '1', rdi: '7', rflags: '202' },
  console: `[    0.100000] hello\n[    0.150000] ${EVIL}\n[    0.300000] Panic: ${EVIL}\n`,
  config: `name = "two"\nmemory = 32\nextra = "${EVIL}"\n`,
  missing: [{ item: EVIL, reason: EVIL, required: false }],
};

describe('pvh-report diff --html', () => {
  test('writes a page beside what it prints; the status is the verdict', async () => {
    const [a, b] = [await report(panic), await report(other)];
    const plain = await diff(a, b);
    expect(await diff(a, b, '--html', page)).toEqual(plain);
    expect(plain.status).toBe(1);
    expect(await diff(a, b, '--html', '-')).toMatchObject({ status: 1, out: readFileSync(page, 'utf8') });
    expect(await diff(a, a, '--html', page)).toMatchObject({ status: 0 });
    expect(readFileSync(page, 'utf8')).toContain('The same crash');
  });

  test('never writes over a report', async () => {
    const [a, b] = [await report(panic), await report(other)];
    const before = readFileSync(b);
    expect(await diff(a, b, '--html', b)).toMatchObject({ status: 2 });
    expect(readFileSync(b).equals(before)).toBe(true);
  });
});

describe.runIf(hasChromium)('in Chromium', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(() => browser.close());

  test.each([
    ['light', 1280],
    ['dark', 360],
  ] as const)(
    'verdict first, then what differs; nothing that a guest wrote does anything (%s, %i px)',
    async (colorScheme, width) => {
      await diff(await report(panic), await report(other), '--html', page);
      await using opened = await open(browser, page, { colorScheme, viewport: { width, height: 800 } });
      const { page: shown, complaints } = opened;
      expect(await shown.locator('main > section > h2').allTextContents()).toEqual([
        ...['Verdict', 'Stacks', 'Registers (1 of 3 equal)', 'Configuration', 'Consoles'],
        ...['Hypervisor log', 'Timing', 'Missing on one side'],
      ]);
      expect(await shown.locator('.verdict').textContent()).toBe('Different crashes');
      expect(await shown.locator('#stack tr.only-a').allTextContents()).toEqual([
        'A onlymount_root',
        'A onlystart_services',
      ]);
      expect(await shown.locator('#stack tr.only-b').count()).toBe(1);
      expect(await shown.locator('#configuration tbody th').allTextContents()).toEqual([
        'extra, words',
        'memory',
        'name',
      ]);
      await shown.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true");
      expect(await shown.evaluate('document.documentElement.scrollWidth')).toBe(width);
      await shown.keyboard.press('?');
      expect(await shown.getByRole('dialog', { name: 'Keys' }).isVisible()).toBe(true);
      expect(await shown.locator('script, img').count()).toBe(1);
      expect(complaints).toEqual([]);
    },
  );
});
