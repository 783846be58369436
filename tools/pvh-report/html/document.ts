// The frame of every page: head, sections and the way between them. One file, no network: what may run is named by its hash.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { html, Markup, type Part } from './markup.ts';
import { STYLE } from './style.ts';

export interface Section {
  readonly id: string;
  readonly title: string;
  readonly body: Markup;
}

export interface Page {
  /** What kind of page: above its heading. */
  readonly kind: string;
  readonly title: string;
  readonly sections: readonly Section[];
  /** Whether there are lines to search. */
  readonly hasConsole: boolean;
  readonly footer: Part;
}

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

const policy = (script: string): string =>
  [
    "default-src 'none'",
    `style-src ${hashOf(STYLE)}`,
    `script-src ${hashOf(script)}`,
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ');

/** client.ts as one compiler made it of it: whatever runs, source or build, pages are the same bytes. */
const readScript = (): string => readFileSync(new URL('./client.js', import.meta.url), 'utf8');

const CONSOLE_KEYS = [
  ['/', 'search the console'],
  ['n, N', 'next and previous line with what was searched'],
  ['j, k', 'next and previous notable line of the console'],
] as const;

const KEYS = [
  [']  [', 'next and previous section'],
  ['Tab, Enter', 'go to what is folded, open it'],
  ['?', 'these keys'],
] as const;

const help = (hasConsole: boolean): Markup => html`<dialog id="help" aria-labelledby="help-title">
<h2 id="help-title">Keys</h2>
<table class="plain"><thead><tr><th scope="col">Key</th><th scope="col">Does</th></tr></thead><tbody>
${[...(hasConsole ? CONSOLE_KEYS : []), ...KEYS].map(([key, what]) => html`<tr><td class="fixed"><kbd>${key}</kbd></td><td>${what}</td></tr>\n`)}</tbody></table>
<p><button type="button" id="help-close">Close</button></p>
</dialog>`;

export function renderPage({ kind, title, sections, hasConsole, footer }: Page): string {
  const script = readScript();
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy(script)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<title>${title}</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<a class="skip" href="#${sections[0]?.id}">Skip to the content</a>
<header class="top"><div class="frame">
<div><p class="kind">${kind}</p><h1>${title}</h1></div>
<div class="tools"><button type="button" id="theme" aria-pressed="false">Dark</button><button type="button" id="help-button">Keys</button></div>
</div></header>
<div class="frame layout">
<nav class="sections" aria-label="Sections"><ul>
${sections.map(({ id, title: name }) => html`<li><a href="#${id}">${name}</a></li>\n`)}</ul></nav>
<main>
${sections.map(
  ({ id, title: name, body }) =>
    html`<section id="${id}" aria-labelledby="${id}-title" tabindex="-1">\n<h2 id="${id}-title">${name}</h2>\n${body}\n</section>\n`,
)}</main>
</div>
<footer><div class="frame">${footer}</div></footer>
${help(hasConsole)}
<script type="module">${new Markup(script)}</script>
</body>
</html>
`.text;
}
