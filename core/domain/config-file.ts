// The text of an xl.cfg file: names with strings, numbers and lists, read in libxlu's own grammar, reported in its own words.
// Knows nothing of what a name means; that is config.ts.
import { PvhError } from '../../symbols/errors.ts';

/** A configuration that cannot be used. `lines` is all that xl would print, `exitStatus` what it would end with. */
export class ConfigError extends PvhError {
  readonly lines: readonly string[];
  readonly exitStatus: number;
  constructor(lines: readonly string[], exitStatus = 1, options?: ErrorOptions) {
    super('ECONFIG', lines.join('\n'), options);
    this.lines = lines;
    this.exitStatus = exitStatus;
  }
}

export type ConfigValue = string | readonly ConfigValue[];

interface Setting {
  readonly value: ConfigValue;
  readonly line: number;
  /** Made by `+=` on a number: libxlu then refuses to read it as a number. */
  readonly appendedNumber: boolean;
}

/** Files larger than this are refused: no configuration is, and a device file has no end. */
const MAX_BYTES = 1 << 20;
const MAX_NESTING = 32;

type Kind =
  | 'IDENT'
  | 'STRING'
  | 'NUMBER'
  | 'NEWLINE'
  | '+='
  | "'='"
  | "';'"
  | "'['"
  | "']'"
  | "','"
  | '$end'
  | 'bad';

interface Token {
  readonly kind: Kind;
  /** As it stands in the file. */
  readonly text: string;
  readonly line: number;
  /** 0-based index of its first character in the text. */
  readonly at: number;
}

const PUNCTUATION: Readonly<Record<string, Kind>> = {
  '=': "'='",
  ';': "';'",
  '[': "'['",
  ']': "']'",
  ',': "','",
};

const PYTHON_WARNING = [
  'warning: Config file looks like it contains Python code.',
  'warning:  Arbitrary Python is no longer supported.',
  'warning:  See https://wiki.xen.org/wiki/PythonInXlConfig',
];

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "'": "'",
  '\\': '\\',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** Parses one file. Errors are collected as libxlu reports them: one recovers at the end of a line, one at `junk` does not. */
class Parser {
  readonly settings: Map<string, Setting> = new Map();
  readonly messages: string[] = [];
  #failed = false;
  #at = 0;
  #line = 1;
  #errorLine = 0;
  /** Tokens accepted since the last syntax error; bison stays silent until there are three. */
  #accepted = 3;
  #token: Token;

  readonly #text: string;
  readonly #source: string;

  constructor(text: string, source: string) {
    this.#text = text;
    this.#source = source;
    this.#token = this.#read();
  }

  /** @returns false when anything was wrong; `messages` then says what. */
  parse(): boolean {
    while (!this.#is('$end')) if (!this.#statement()) break;
    return !this.#failed;
  }

  #report(token: Token, message: string): void {
    this.#failed = true;
    this.#errorLine = token.line;
    const newline = token.text.endsWith('\n');
    // Control characters (a DOS file's CR) are made visible: this goes to a terminal.
    const shown = token.text
      .replace(/[ \t\n]+$/, '')
      .replace(/\p{Cc}/gu, (c) => JSON.stringify(c).slice(1, -1));
    const near = newline && shown === '' ? '<newline>' : `\`${shown}'`;
    this.messages.push(`${this.#source}:${token.line}: config parsing error near ${near}: ${message}`);
    const start = this.#text.lastIndexOf('\n', token.at - 1) + 1;
    const end = this.#text.indexOf('\n', start);
    const line = this.#text.slice(start, end < 0 ? undefined : end);
    if (line.length <= 200 && !/\p{Cc}/u.test(line.replaceAll('\t', ''))) {
      const prefix = `  ${token.line} | `;
      const blanks = line.slice(0, token.at - start).replace(/[^\t]/g, ' ');
      this.messages.push(
        prefix + line,
        `${' '.repeat(prefix.length)}${blanks}^ column ${token.at - start + 1}`,
      );
    }
  }

  #syntaxError(expected: string): void {
    const silent = this.#accepted < 3 || this.#token.kind === 'bad' || this.#token.line <= this.#errorLine;
    this.#failed = true;
    this.#accepted = 0;
    if (silent) return;
    this.#report(this.#token, `syntax error, unexpected ${this.#token.kind}, expecting ${expected}`);
  }

  #read(): Token {
    const text = this.#text;
    while (text[this.#at] === ' ' || text[this.#at] === '\t') this.#at++;
    const at = this.#at;
    const line = this.#line;
    const take = (kind: Kind, length: number): Token => {
      this.#at += length;
      return { kind, text: text.slice(at, at + length), line, at };
    };
    if (at >= text.length) return { kind: '$end', text: '', line: text.endsWith('\n') ? line - 1 : line, at };
    const match = (pattern: RegExp): string | undefined => {
      pattern.lastIndex = at;
      return pattern.exec(text)?.[0];
    };
    const newline = match(/(#[^\n]*)?\n/y);
    if (newline !== undefined) {
      this.#line++;
      return take('NEWLINE', newline.length);
    }
    const ident = match(/[a-z][._0-9a-z]*/y);
    if (ident !== undefined) return take('IDENT', ident.length);
    const number = match(/[0-9][0-9a-fx]*/y);
    if (number !== undefined) return take('NUMBER', number.length);
    const string = match(/"([^"\\\n]|\\[^\n])*"|'([^'\\\n]|\\[^\n])*'/y);
    if (string !== undefined) return take('STRING', string.length);
    if (text.startsWith('+=', at)) return take('+=', 2);
    const punctuation = PUNCTUATION[text[at] ?? ''];
    if (punctuation !== undefined) return take(punctuation, 1);
    const bad = take('bad', match(/[^ \t\n]+/y)?.length ?? 1);
    this.#report(bad, 'lexical error');
    if (/^[-+.():]/.test(bad.text)) this.messages.push(...PYTHON_WARNING);
    return bad;
  }

  #is(...kinds: readonly Kind[]): boolean {
    return kinds.includes(this.#token.kind);
  }

  #next(): Token {
    const taken = this.#token;
    this.#accepted++;
    this.#token = this.#read();
    return taken;
  }

  /** Skips to behind the end of the statement, as `error endstmt` does. */
  #recover(): boolean {
    while (!this.#is('NEWLINE', "';'", '$end')) this.#token = this.#read();
    if (!this.#is('$end')) this.#next();
    return true;
  }

  /** One assignment or empty statement. @returns false when the rest cannot be parsed. */
  #statement(): boolean {
    if (this.#is('NEWLINE', "';'")) {
      this.#next();
      return true;
    }
    if (!this.#is('IDENT')) {
      this.#syntaxError("$end or IDENT or NEWLINE or ';'");
      return this.#recover();
    }
    const name = this.#next();
    if (!this.#is("'='", '+=')) {
      this.#syntaxError("+= or '='");
      return this.#recover();
    }
    const append = this.#next().kind === '+=';
    const first = this.#token;
    const value = this.#value(0);
    if (value === undefined) return this.#recover();
    this.#assign(name, first, value, append);
    if (this.#is('NEWLINE', "';'")) {
      this.#next();
      return true;
    }
    if (this.#is('$end')) return true;
    this.#syntaxError('$end');
    // libxlu has by now taken the assignment for the last of the file; only after a lexical error can it go on.
    return this.#is('bad') && this.#recover();
  }

  /** The token that ended the latest value. */
  #last: Token | undefined;

  #value(depth: number): ConfigValue | undefined {
    const { kind } = this.#token;
    if (kind === 'STRING' || kind === 'NUMBER') {
      this.#last = this.#token;
      const token = this.#next();
      return kind === 'STRING' ? this.#unquote(token) : token.text;
    }
    if (kind !== "'['" || depth >= MAX_NESTING) {
      this.#syntaxError("STRING or NUMBER or '['");
      return undefined;
    }
    this.#next();
    const items: ConfigValue[] = [];
    const skipNewlines = (): void => {
      while (this.#is('NEWLINE')) this.#next();
    };
    skipNewlines();
    while (this.#is('STRING', 'NUMBER', "'['")) {
      const item = this.#value(depth + 1);
      if (item === undefined) return undefined;
      items.push(item);
      skipNewlines();
      if (!this.#is("','")) break;
      this.#next();
      skipNewlines();
    }
    if (!this.#is("']'")) {
      this.#syntaxError("']'");
      return undefined;
    }
    this.#last = this.#token;
    this.#next();
    return items;
  }

  #unquote(token: Token): string {
    let bad: string | undefined;
    const value = token.text.slice(1, -1).replace(/\\([\s\S])/g, (_, letter: string) => {
      const plain = SIMPLE_ESCAPES[letter];
      if (plain !== undefined) return plain;
      // Both numeric escapes are broken in libxlu: \x always fails, octal digits vanish. Neither is of use to anybody.
      bad ??=
        letter === 'x' || /[0-7]/.test(letter)
          ? 'invalid digit after backslash hexnumerical character escape in quoted string'
          : 'invalid character after backlash in quoted string';
      return '';
    });
    if (bad !== undefined && !this.#failed) this.#report(token, bad);
    return value;
  }

  #assign(name: Token, first: Token, value: ConfigValue, append: boolean): void {
    const old = append ? this.settings.get(name.text) : undefined;
    let whole = value;
    if (old !== undefined) {
      if (typeof old.value === 'string' && typeof value === 'string') whole = old.value + value;
      else if (typeof old.value !== 'string' && typeof value !== 'string') whole = [...old.value, ...value];
      else if (!this.#failed)
        this.#report(this.#last ?? first, 'can\'t add [list] to "string" or vice versa');
    }
    const appendedNumber = old !== undefined && (old.appendedNumber || first.kind === 'NUMBER');
    this.settings.set(name.text, { value: whole, line: name.line, appendedNumber });
  }
}

/** The settings of one xl.cfg. Reading one in the wrong shape leaves a warning in `warnings`, in xl's words. */
export class ConfigFile {
  readonly source: string;
  readonly warnings: string[] = [];
  readonly #settings: ReadonlyMap<string, Setting>;

  constructor(source: string, settings: ReadonlyMap<string, Setting>) {
    this.source = source;
    this.#settings = settings;
  }

  get names(): readonly string[] {
    return [...this.#settings.keys()];
  }

  has(name: string): boolean {
    return this.#settings.has(name);
  }

  /** Leaves a warning about the line on which `name` was last set. */
  warn(name: string, text: string): void {
    this.warnings.push(`${this.source}:${this.#settings.get(name)?.line ?? 0}: warning: ${text}`);
  }

  string(name: string): string | undefined {
    const value = this.#settings.get(name)?.value;
    if (value === undefined || typeof value === 'string') return value;
    this.warn(name, `parameter \`${name}' is a list but should be a single value`);
    return undefined;
  }

  /** An integer as strtol with base 0 reads it. */
  number(name: string): number | undefined {
    const text = this.string(name);
    if (text === undefined) return undefined;
    if (this.#settings.get(name)?.appendedNumber) {
      this.warn(name, `can't use += with numbers for parameter \`${name}'`);
      return undefined;
    }
    const digits = /^[ \t\n\v\f\r]*([-+]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)$/.exec(text);
    if (digits === null) {
      this.warn(name, `parameter \`${name}' is not a valid number`);
      return undefined;
    }
    const [, sign = '', body = '0'] = digits;
    const octal = /^0[0-7]+$/.test(body);
    const value = (sign === '-' ? -1n : 1n) * BigInt(octal ? `0o${body.slice(1)}` : body);
    if (BigInt.asIntN(64, value) !== value || !Number.isSafeInteger(Number(value))) {
      this.warn(name, `parameter \`${name}' could not be parsed as a number: Numerical result out of range`);
      return undefined;
    }
    return Number(value);
  }

  list(name: string): readonly ConfigValue[] | undefined {
    const value = this.#settings.get(name)?.value;
    if (value === undefined || typeof value !== 'string') return value;
    this.warn(name, `parameter \`${name}' is a single value but should be a list`);
    return undefined;
  }

  /** A string or a list, for the few keys that take both. */
  value(name: string): ConfigValue | undefined {
    return this.#settings.get(name)?.value;
  }
}

/**
 * Parses the text of an xl.cfg file; `source` is the name used in messages.
 * @throws ConfigError with libxlu's messages, each followed by the line and the column it means.
 */
export function parseConfigFile(text: string, source: string): ConfigFile {
  if (text.length > MAX_BYTES)
    throw new ConfigError([
      `${source}: larger than ${MAX_BYTES} bytes`,
      'Failed to parse config: Invalid argument',
    ]);
  const nul = text.indexOf('\0');
  if (nul >= 0)
    throw new ConfigError([
      `${source}:${text.slice(0, nul).split('\n').length}: config parsing error: NUL byte (not a text file?)`,
      'Failed to parse config: Invalid argument',
    ]);
  const parser = new Parser(text, source);
  if (!parser.parse())
    throw new ConfigError([...parser.messages, 'Failed to parse config: Invalid argument']);
  return new ConfigFile(source, parser.settings);
}
