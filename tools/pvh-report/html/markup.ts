// Text into HTML. A guest or a stranger wrote most of it, so everything passes through escapeText, and what was not made here
// is text.

/** Sequences by which a terminal is steered (ECMA-48 5.4): colours of a boot log, mostly. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
const CONTROL_SEQUENCE = /\x1b\[[0-?]{0,32}[ -/]{0,8}[@-~]/g;

/** Controls but tabs and line ends, what reorders or hides text, halves of characters, and what HTML reads as its own. */
const SPECIAL = /[^\t\n\P{C}]|[\p{Zl}\p{Zp}&<>"']/gu;

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** So many characters of a text are shown by their numbers; what has more of them is made to be long. */
const MAX_NAMED = 100;

/** HTML that shows `text` and does nothing else; fit for an attribute in quotes, too. */
export function escapeText(text: string): string {
  let named = 0;
  return text.replace(CONTROL_SEQUENCE, '').replace(SPECIAL, (character) => {
    const entity = ENTITIES[character];
    if (entity !== undefined) return entity;
    const code = character.codePointAt(0) ?? 0;
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    if (code === 0x7f) return '\u2421';
    if ((code >= 0xd800 && code <= 0xdfff) || ++named > MAX_NAMED) return '\ufffd';
    return `[U+${code.toString(16).toUpperCase().padStart(4, '0')}]`;
  });
}

/** HTML that is finished. */
export class Markup {
  readonly text: string;
  /** @param text HTML: nothing of it is escaped any more. */
  constructor(text: string) {
    this.text = text;
  }
}

export type Part = Markup | string | number | undefined | readonly Part[];

function render(part: Part): string {
  if (part === undefined) return '';
  if (part instanceof Markup) return part.text;
  if (typeof part === 'string') return escapeText(part);
  if (typeof part === 'number') return String(part);
  return part.map(render).join('');
}

/** The template as it stands, its values escaped unless they are Markup. */
export const html = (literals: TemplateStringsArray, ...values: readonly Part[]): Markup =>
  new Markup(literals.map((literal, index) => literal + render(values[index])).join(''));
