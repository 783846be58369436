// The runtime's console ring, one file for all domains: what `xl dmesg` shows. Lines are kept with the time they came at,
// `2026-11-22T10:59:00.123Z (XEN) text`; readers drop the time unless asked for it. Bounded: the older half goes when it is full.
import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { replaceFile } from '../host/files.ts';

/** Xen's own ring has 16 KiB by default and loses what people look for. */
export const XEN_LOG_BYTES: number = 1 << 20;

export class XenLog {
  readonly #path: string;
  readonly #clock: () => Date;

  constructor(path: string, clock: () => Date) {
    this.#path = path;
    this.#clock = clock;
  }

  /** Appends lines, each with `(XEN) ` before it. Several processes may at once. A full disk is no reason to stop a guest. */
  append(...lines: readonly string[]): void {
    this.#append(lines.map((line) => `(XEN) ${line}`));
  }

  /** Appends lines that have their prefix already, for example `(d1) text`. */
  appendRaw(...lines: readonly string[]): void {
    this.#append(lines);
  }

  #append(lines: readonly string[]): void {
    const stamp = this.#clock().toISOString();
    try {
      if ((statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0) > XEN_LOG_BYTES) this.#halve();
      appendFileSync(this.#path, lines.map((line) => `${stamp} ${printable(line)}\n`).join(''), {
        mode: 0o600,
      });
    } catch {
      // There is no other place to complain in; the guest goes on.
    }
  }

  #halve(): void {
    const text = readFileSync(this.#path, 'utf8');
    const middle = text.indexOf('\n', text.length - XEN_LOG_BYTES / 2) + 1;
    replaceFile(this.#path, text.slice(middle));
  }

  /** All lines, oldest first. @param timestamps whether each begins with its time, `[2026-11-22 10:59:00] `. */
  read(timestamps: boolean): string[] {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch {
      return [];
    }
    return text
      .split('\n')
      .slice(0, -1)
      .map((line) => {
        const parts = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\.\d+Z (\([^)]*\) )?(.*)$/.exec(line);
        if (parts === null) return line;
        const [, day, time, prefix = '', rest] = parts;
        return timestamps ? `${prefix}[${day} ${time}] ${rest}` : prefix + rest;
      });
  }

  clear(): void {
    try {
      writeFileSync(this.#path, '');
    } catch {
      // Nothing to clear.
    }
  }
}

/** A guest's text must not steer a terminal. */
const printable = (line: string): string =>
  line.replace(/\p{Cc}/gu, (c) => (c === '\t' ? c : `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`));
