// A report as a page, in a real browser, from a file.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ArchiveFile } from '../../../tools/pvh-report/archive.ts';
import { renderManifest } from '../../../tools/pvh-report/manifest.ts';
import { packArchive } from '../../../tools/pvh-report/pack.ts';
import { unpackArchive } from '../../../tools/pvh-report/unpack.ts';
import { Host } from '../../kernel/guest.ts';
import { collectReport, crash, vmlinuxOf } from '../crashed.ts';
import { pvhReport } from '../run.ts';
import { type MadeUpCrash, madeUpFiles, madeUpManifest, packReport, scratchFolder } from '../support.ts';
import { hasChromium, launch, open } from './browser.ts';

const folder = scratchFolder();
const host = new Host();
const SAMPLE = 'crash-on-vcpu1';
let report = '';
let html = '';

/** The page of a report, made by the command. */
async function show(path: string): Promise<string> {
  const { status, out, err } = await pvhReport('show', '--html', path);
  expect(err).toBe('');
  expect(status).toBe(0);
  return out.trimEnd();
}

beforeAll(async () => {
  const domid = await crash(host, SAMPLE);
  const output = join(folder.path, 'crash.tar.gz');
  report = collectReport(host, domid, '-s', vmlinuxOf(SAMPLE), '-o', output).path;
  html = await show(report);
});
afterAll(() => {
  host[Symbol.dispose]();
  folder.remove();
});

describe('pvh-report show', () => {
  test('without --html prints report.txt', async () => {
    const { status, out } = await pvhReport('show', report);
    expect(status).toBe(0);
    expect(out).toMatch(/^crash-on-vcpu1 \(domain 1\): shut down, reason crash\n/);
    expect(out).toContain('vcpu1 in average+0x28/0x30, called by compute');
  });

  test('gives what is in the report, byte for byte', async () => {
    const { files } = await unpackArchive(readFileSync(report), report);
    expect(Buffer.from(files.get('report.html') ?? []).equals(readFileSync(html))).toBe(true);
  });

  test('writes the page beside the report, or where -o says', async () => {
    expect(html).toBe(join(folder.path, 'crash.html'));
    const { out } = await pvhReport('show', '--html', report, '-o', '-');
    expect(out).toBe(readFileSync(html, 'utf8'));
    const elsewhere = join(folder.path, 'elsewhere.html');
    expect(await pvhReport('show', '--html', report, '-o', elsewhere)).toMatchObject({
      status: 0,
      out: `${elsewhere}\n`,
    });
    expect(readFileSync(elsewhere, 'utf8')).toBe(out);
  });

  test('never writes over the report', async () => {
    const size = statSync(report).size;
    expect(await pvhReport('show', '--html', report, '-o', report)).toMatchObject({ status: 2 });
    expect(statSync(report).size).toBe(size);
  });

  test('says what is wrong with a file that is no report', async () => {
    const path = folder.write('no.tar.gz', new TextEncoder().encode('no report'));
    expect(await pvhReport('show', '--html', path)).toMatchObject({
      status: 2,
      err: expect.stringContaining('not a whole gzip file'),
    });
  });
});

/** Console, its hits and where it stands. */
const status = (page: Page) => page.locator('#search-status').textContent();

describe.runIf(hasChromium)('in Chromium', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(() => browser.close());

  test('opens from a file without a complaint and without a request', async () => {
    await using opened = await open(browser, html);
    const { page } = opened;
    expect(await page.title()).toBe('crash-on-vcpu1 (domain 1)');
    expect(await page.locator('main > section > h2').allTextContents()).toEqual([
      ...['Verdict', 'vCPUs (2)', 'Console', 'Timeline', 'Configuration', 'Logs and other files'],
      ...[expect.stringMatching(/^Files \(\d+\)$/), 'Missing (0)'],
    ]);
    expect(await page.locator('#verdict').textContent()).toContain('Unhandled exception 0 (divide error)');
    expect(await page.locator('#verdict').textContent()).toMatch(
      /in average\+0x28\/0x30 on vcpu1, called by compute/,
    );
    expect(opened.complaints).toEqual([]);
  });

  test('the crashing vCPU comes first and is open: frames, registers, stack, code', async () => {
    await using opened = await open(browser, html);
    const { page } = opened;
    const [first, second] = await page.locator('.vcpu').all();
    expect(await first?.getAttribute('open')).toBe('');
    expect(await second?.getAttribute('open')).toBeNull();
    expect(await first?.locator('summary h3').textContent()).toBe('vcpu1');
    expect(await first?.locator('ol.frames > li.real').count()).toBe(8);
    expect(await first?.getByRole('row', { name: 'rip ffffffff80101609 shutdown+0x3d' }).count()).toBe(1);
    expect(
      await first?.getByRole('row', { name: 'ffffffff80116eb8 ffffffff80100e1c ........ die+0x5d' }).count(),
    ).toBe(1);
    expect(await first?.locator('.bytes .here').textContent()).toBe('eb');
  });

  test('a frame opens by keyboard and has file, line and how it was found', async () => {
    await using opened = await open(browser, html);
    const { page } = opened;
    const frame = page.locator('#frames1 details').filter({ hasText: 'average+' });
    expect(await frame.locator('dl').isVisible()).toBe(false);
    await page.locator('#frames1').locator('xpath=preceding::button[1]').focus();
    while ((await frame.locator('summary:focus').count()) === 0) await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    expect(await frame.locator('dl').isVisible()).toBe(true);
    expect(await frame.textContent()).toContain('samples/crash-on-vcpu1/main.c:');
    expect(await frame.textContent()).toContain('call frame information');
  });

  test('a button opens all frames and closes them', async () => {
    await using opened = await open(browser, html);
    const { page } = opened;
    const button = page.getByRole('button', { name: 'Open all' }).first();
    const folded = page.locator('#frames1 details:not([open])');
    await button.click();
    expect(await folded.count()).toBe(0);
    await button.click();
    expect(await folded.count()).toBeGreaterThan(7);
  });

  test('search by keys: / types, n and N go on, the status is read out', async () => {
    await using opened = await open(browser, html);
    const { page } = opened;
    await page.keyboard.press('/');
    await page.keyboard.type('VCPU');
    await expect.poll(() => status(page)).toBe('1 of 4 lines');
    await page.keyboard.press('Escape');
    await page.keyboard.press('n');
    await page.keyboard.press('n');
    await expect.poll(() => status(page)).toBe('3 of 4 lines');
    expect(await page.locator('#console-lines .current').textContent()).toBe('vCPU 1 computes');
    // One line is marked, whatever led to it.
    await page.keyboard.press('j');
    expect(await page.locator('#console-lines .current').allTextContents()).toEqual([
      expect.stringMatching(/^Unhandled exception 0/),
    ]);
    for (const _ of '123') await page.keyboard.press('N');
    await expect.poll(() => status(page)).toBe('4 of 4 lines');
    await page.keyboard.press('/');
    await page.keyboard.type('nowhere');
    await expect.poll(() => status(page)).toBe('not found');
    expect(await page.locator('#search-status').getAttribute('aria-live')).toBe('polite');
    expect(opened.complaints).toEqual([]);
  });

  test('j goes to the notable line, ] to the next section, ? shows the keys', async () => {
    await using opened = await open(browser, html);
    const { page } = opened;
    await page.keyboard.press('j');
    expect(await page.locator('#console-lines .current').textContent()).toMatch(/^Unhandled exception 0/);
    await page.evaluate('scrollTo(0, 0)');
    await page.keyboard.press(']');
    await expect.poll(() => page.evaluate('document.activeElement.id')).toBe('verdict');
    await page.keyboard.press(']');
    await expect.poll(() => page.evaluate('document.activeElement.id')).toBe('vcpus');
    await page.keyboard.press('?');
    expect(await page.getByRole('dialog', { name: 'Keys' }).isVisible()).toBe(true);
    await page.keyboard.press('Escape');
    expect(await page.getByRole('dialog').count()).toBe(0);
  });

  test('a link to a line brings it into sight, also inside what is folded', async () => {
    await using opened = await open(browser, html, {}, '#X2');
    const { page } = opened;
    await expect.poll(() => page.locator('#X2').isVisible()).toBe(true);
    await page.locator('#timeline a[href="#L5"]').click();
    await expect.poll(() => page.url()).toMatch(/#L5$/);
    await expect.poll(() => page.locator('#L5:target').count()).toBe(1);
  });

  test('the number before a line is its link; a click on the line itself is not', async () => {
    await using opened = await open(browser, html);
    const { page } = opened;
    await page.locator('#L3').click();
    expect(page.url()).not.toContain('#');
    const line = await page.locator('#L3').boundingBox();
    await page.mouse.click((line?.x ?? 0) - 15, (line?.y ?? 0) + 8);
    await expect.poll(() => page.url()).toMatch(/#L3$/);
  });

  test('on paper: black on white, no buttons, everything unrolled', async () => {
    await using opened = await open(browser, html, { colorScheme: 'dark' });
    const { page } = opened;
    for (const _ of '12') await page.getByRole('button', { name: 'Dark' }).click();
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
    expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).toBe('rgb(255, 255, 255)');
    expect(await page.getByRole('button').count()).toBe(0);
    expect(await page.getByRole('navigation').count()).toBe(0);
    const log =
      "(() => { const e = document.getElementById('console-lines'); return e.scrollHeight - e.clientHeight; })()";
    expect(await page.evaluate(log)).toBe(0);
  });

  test('the timeline has the hypervisor before and behind the guest', async () => {
    await using opened = await open(browser, html);
    const rows = await opened.page.locator('#timeline tbody tr').allInnerTexts();
    expect(rows.map((row) => row.split('\t').slice(1).join(' '))).toEqual([
      'Xen 1 d1: crash-on-vcpu1: 16 MiB, 2 vCPUs, kernel vmlinux',
      'guest 1 sample crash-on-vcpu1',
      'guest 5 Unhandled exception 0 (divide error), error code 0000',
      expect.stringMatching(/^guest \d+ Shutting down: crash$/),
      'Xen 2 d1v1 shut down, reason code 3 (crash)',
    ]);
  });

  test.each(['light', 'dark'] as const)(
    '%s as the system says, until the switch is pressed',
    async (colorScheme) => {
      await using opened = await open(browser, html, { colorScheme });
      const { page } = opened;
      const paper = () => page.evaluate('getComputedStyle(document.body).backgroundColor');
      const [light, dark] = ['rgb(255, 255, 255)', 'rgb(22, 24, 28)'];
      const button = page.getByRole('button', { name: 'Dark' });
      expect(await paper()).toBe(colorScheme === 'dark' ? dark : light);
      expect(await button.getAttribute('aria-pressed')).toBe(String(colorScheme === 'dark'));
      await button.click();
      expect(await paper()).toBe(colorScheme === 'dark' ? light : dark);
      expect(await button.getAttribute('aria-pressed')).toBe(String(colorScheme !== 'dark'));
    },
  );

  /** WCAG 2.2 1.4.3, of everything with text that is seen. */
  const LOW_CONTRAST = `(() => {
    const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
    const luminance = (text) => {
      const [r, g, b] = rgb(text).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const back = (element) => {
      for (let each = element; each; each = each.parentElement) {
        const color = getComputedStyle(each).backgroundColor;
        if (rgb(color)[3] !== 0) return color;
      }
    };
    const low = new Set();
    for (const element of document.querySelectorAll('body *')) {
      if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) || !element.checkVisibility()) continue;
      const [x, y] = [luminance(getComputedStyle(element).color), luminance(back(element))].sort((a, b) => b - a);
      if ((x + 0.05) / (y + 0.05) < 4.5) low.add(element.tagName + '.' + element.className);
    }
    return [...low];
  })()`;

  test.each(['light', 'dark'] as const)('%s: everything has enough contrast', async (colorScheme) => {
    await using opened = await open(browser, html, { colorScheme });
    expect(await opened.page.evaluate(LOW_CONTRAST)).toEqual([]);
  });

  test.each([360, 800, 1600])('nothing sticks out at %i px', async (width) => {
    await using opened = await open(browser, html, { viewport: { width, height: 800 } });
    await opened.page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true");
    expect(await opened.page.evaluate('document.documentElement.scrollWidth')).toBe(width);
  });

  test('has landmarks, one heading of the first rank, names for what can be used, headers for tables', async () => {
    await using opened = await open(browser, html);
    const { page } = opened;
    for (const role of ['banner', 'main', 'contentinfo', 'search'] as const)
      expect(await page.getByRole(role).count(), role).toBe(1);
    expect(await page.getByRole('navigation', { name: 'Sections' }).count()).toBe(1);
    expect(await page.getByRole('heading', { level: 1 }).count()).toBe(1);
    expect(await page.getByRole('region', { name: 'Lines of console.log' }).count()).toBe(1);
    expect(await page.getByLabel('Search').count()).toBe(1);
    const unnamed =
      "[...document.querySelectorAll('button, a, summary, table')].filter((e) => e.tagName === 'TABLE' ? !e.tHead?.querySelector('th[scope=col]') : !e.textContent.trim()).map((e) => e.outerHTML)";
    expect(await page.evaluate(unnamed)).toEqual([]);
    const ids =
      "(() => { const ids = [...document.querySelectorAll('[id]')].map((e) => e.id); return ids.length - new Set(ids).size; })()";
    expect(await page.evaluate(ids)).toBe(0);
    const dead =
      '[...document.querySelectorAll(\'a[href^="#"]\')].filter((a) => !document.getElementById(a.hash.slice(1))).length';
    expect(await page.evaluate(dead)).toBe(0);
  });

  test('the first Tab offers to skip the head, and what has the focus is seen', async () => {
    await using opened = await open(browser, html);
    const { page } = opened;
    await page.keyboard.press('Tab');
    const skip = page.getByRole('link', { name: 'Skip to the content' });
    expect((await skip.boundingBox())?.x).toBe(0);
    expect(await skip.evaluate('(e) => getComputedStyle(e).outlineStyle')).not.toBe('none');
    await page.keyboard.press('Enter');
    await expect.poll(() => page.evaluate('document.activeElement.id')).toBe('verdict');
  });

  test('without script everything is still there', async () => {
    await using opened = await open(browser, html, { javaScriptEnabled: false });
    expect(await opened.page.locator('#console-lines li').count()).toBe(18);
    await opened.page.locator('#frames1 summary').first().click();
    expect(await opened.page.locator('#frames1 dl').first().isVisible()).toBe(true);
  });

  /** What a guest may write to do harm. */
  const EVIL =
    '</script></style></pre></li><script>alert(1)</script><img src=x onerror=alert(2)><a href="javascript:alert(3)">x</a>';
  const STEERING = '\x1b[2J\x1b]0;title\x07 \x00 \u202egnp.exe\u2066 \u200b \x9b31m \x85 \u2028 "&\'<!--';

  async function hostilePage(): Promise<string> {
    const crash: MadeUpCrash = {
      name: `guest ${EVIL}`,
      reason: EVIL,
      buildId: EVIL,
      frames: [EVIL, 'panic', `mount${EVIL}`, STEERING],
      registers: { rip: `1 ${EVIL}`, [`r${EVIL}`]: '2' },
      config: `name = "${EVIL}"\n${STEERING}\n`,
      xenLog: `(XEN) d1v0 ${EVIL} crashed ${STEERING}\n`,
      missing: [{ item: EVIL, reason: STEERING, required: true }],
    };
    const bytes = (text: string) => new TextEncoder().encode(text);
    const files: ArchiveFile[] = [
      ...madeUpFiles(crash),
      {
        name: 'console.log',
        bytes: Buffer.concat([
          bytes(`Panic: ${EVIL}\n${STEERING}\n`),
          Buffer.from([0xff, 0xfe, 0xc0, 0xaf, 0xed, 0xa0, 0x80, 0x0a]),
          bytes(`${'x'.repeat(100_000)}\n`),
        ]),
      },
      { name: 'report.txt', bytes: bytes(`${EVIL}\n\nkernel         ${EVIL}\n${STEERING}\n\n`) },
      {
        name: 'xenctx.json',
        bytes: bytes(
          JSON.stringify({
            schema: 2,
            vcpus: [
              {
                id: 0,
                unwind: { frames: [{ how: EVIL, source: [{ function: EVIL, file: EVIL, line: 1 }] }] },
              },
            ],
          }),
        ),
      },
      { name: 'qemu-log.txt', bytes: bytes(`${EVIL}${STEERING}`) },
    ];
    const manifest = { name: 'manifest.json', bytes: bytes(renderManifest(madeUpManifest(crash, files))) };
    return show(folder.write('hostile.tar.gz', (await packArchive('report', [manifest, ...files])).bytes));
  }

  test('what a guest wrote is shown and does nothing', async () => {
    const path = await hostilePage();
    await using opened = await open(browser, path);
    const { page } = opened;
    await page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true");
    await page.keyboard.press('/');
    await page.keyboard.type('<script>');
    await expect.poll(() => status(page)).toBe('1 of 1 lines');
    expect(opened.complaints).toEqual([]);
    expect(await page.locator('script, img, iframe, object, form').count()).toBe(1);
    expect(await page.locator('a:not([href^="#"])').count()).toBe(0);
    expect(await page.locator('#L1').textContent()).toBe(`Panic: ${EVIL}`);
    expect(await page.locator('#L2').textContent()).toBe(
      '␛]0;title␇ ␀ [U+202E]gnp.exe[U+2066] [U+200B] [U+009B]31m [U+0085] [U+2028] "&\'<!--',
    );
    expect(await page.locator('#L3').textContent()).toBe('\ufffd'.repeat(7));
    expect(await page.locator('#L4').textContent()).toMatch(
      /^x{4000} \[96000 more characters in this line\]$/,
    );
    expect(await page.title()).toBe(`guest ${EVIL} (domain 1)`);
    expect(await page.evaluate('document.body.innerText')).not.toMatch(/[\u202a-\u202e\u2066-\u2069\u200b]/);
  });

  test('10 MB of console: search, links and marks work', async () => {
    const lines: string[] = [];
    for (let size = 0; size < 10 << 20; size += lines.at(-1)?.length ?? 0)
      lines.push(
        `[${(lines.length / 100).toFixed(6).padStart(12)}] usb ${lines.length % 97}-1: new device number ${lines.length}, driver xhci`,
      );
    lines.splice(90_000, 0, '[  900.000000] WARNING: CPU: 0 PID: 1 at mm/slab.c:1');
    lines.push('Kernel panic - not syncing: needle');
    const path = await show(
      folder.write('large.tar.gz', await packReport({ console: `${lines.join('\n')}\n` })),
    );
    await using opened = await open(browser, path);
    const { page } = opened;
    const isSeen = (id: string) =>
      page.evaluate(`(() => {
        const line = document.getElementById('${id}').getBoundingClientRect();
        const box = document.getElementById('console-lines').getBoundingClientRect();
        return line.top >= box.top - 1 && line.bottom <= box.bottom + 1;
      })()`);
    expect(await page.locator('#console-lines li').count()).toBe(lines.length);
    await expect.poll(() => isSeen(`L${lines.length}`)).toBe(true);
    await page.keyboard.press('/');
    await page.keyboard.type('number 50000,');
    await expect.poll(() => status(page)).toBe('1 of 1 lines');
    await expect.poll(() => isSeen('L50001')).toBe(true);
    await expect.poll(() => page.evaluate("CSS.highlights.get('found').size")).toBe(1);
    await page.locator('#search').fill('XHCI');
    await expect.poll(() => status(page)).toBe(`1 of ${lines.length - 2} lines`);
    await page.locator('#search').press('Shift+Enter');
    await expect.poll(() => isSeen(`L${lines.length - 1}`)).toBe(true);
    await page.keyboard.press('Escape');
    await page.keyboard.press('j');
    await expect.poll(() => isSeen('L90001')).toBe(true);
    expect(opened.complaints).toEqual([]);
  });
});

test('the same report gives the same bytes', async () => {
  const [first, second] = [
    await pvhReport('show', '--html', report, '-o', '-'),
    await pvhReport('show', '--html', report, '-o', '-'),
  ];
  expect(first.out).toBe(second.out);
  expect(first.out).not.toContain(folder.path);
});

test('a report with almost nothing in it has a page, too', async () => {
  const path = await show(folder.write('empty.tar.gz', await packReport({})));
  const page = readFileSync(path, 'utf8');
  expect(page).toContain('No stack could be read.');
  expect(page).toContain('No vCPU is in this report.');
  expect(page).toContain('Neither the guest nor the hypervisor logged anything.');
  expect(page).not.toContain('id="console"');
});
