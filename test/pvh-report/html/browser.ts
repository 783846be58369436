// Debian's Chromium on pages in files: what it complains of, and what it asks the network for.
import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

const CHROMIUM = '/usr/bin/chromium';

/** CI counts as having it, so that a missing one fails there. */
export const hasChromium: boolean = process.env['CI'] === 'true' || existsSync(CHROMIUM);

export const launch = (): Promise<Browser> =>
  // As root, Chromium has no sandbox to offer.
  chromium.launch({ executablePath: CHROMIUM, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [] });

export interface Opened extends AsyncDisposable {
  readonly page: Page;
  /** Errors and warnings on the console, exceptions, dialogs, and requests for anything but the page itself. */
  readonly complaints: readonly string[];
}

export async function open(
  browser: Browser,
  path: string,
  options: BrowserContextOptions = {},
  fragment = '',
): Promise<Opened> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  const url = `${pathToFileURL(path).href}${fragment}`;
  page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(`exception: ${error.message}`));
  page.on('request', (request) => {
    if (request.url() !== url) complaints.push(`request: ${request.url()}`);
  });
  page.on('dialog', (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.goto(url);
  return { page, complaints, [Symbol.asyncDispose]: () => context.close() };
}
