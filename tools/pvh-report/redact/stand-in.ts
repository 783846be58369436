// What stands where a private value stood: as long, of the same shape, the same for the same value and key, and nothing to be learned
// from it without the key. Addresses come from ranges that no machine has.
import { createHmac } from 'node:crypto';
import type { ValueClass } from './rule.ts';

const LETTERS = 'abcdefghijklmnopqrstuvwxyz234567';
const HEX = '0123456789abcdef';

/** Numbers out of a key, a class and a value: HMAC-SHA-256, block after block. */
class Stream {
  readonly #block: (index: number) => Buffer;
  #bytes: Buffer;
  #at = 0;
  #blocks = 1;

  constructor(key: Uint8Array, what: string) {
    this.#block = (index) => createHmac('sha256', key).update(`${index}\0${what}`, 'latin1').digest();
    this.#bytes = this.#block(0);
  }

  /** @param below at most 256; 256 must be a multiple of it, or it is nearly even. */
  number(below: number): number {
    if (this.#at === this.#bytes.length) {
      this.#bytes = this.#block(this.#blocks++);
      this.#at = 0;
    }
    return (this.#bytes[this.#at++] ?? 0) % below;
  }

  text(alphabet: string, length: number): string {
    let text = '';
    for (let i = 0; i < length; i++) text += alphabet[this.number(alphabet.length)] ?? '';
    return text;
  }
}

/** A word as wide as `width` columns: `host-k3xq7` where there is room, else `hk3`. */
function wordOf(stream: Stream, kind: ValueClass, width: number): string {
  if (width >= kind.length + 5) return `${kind}-${stream.text(LETTERS, width - kind.length - 1)}`;
  if (width <= 1) return stream.text(LETTERS, width);
  return kind.slice(0, 1) + stream.text(LETTERS, width - 1);
}

/** So many digits that do not begin with 0. */
function decimal(stream: Stream, digits: number): string {
  if (digits === 1) return String(stream.number(10));
  if (digits === 2) return String(10 + stream.number(90));
  return String(100 + stream.number(128));
}

/** In 0.0.0.0/8 or 240.0.0.0/4 (RFC 6890: this network, reserved), where there is room in the latter. */
function ipv4Of(stream: Stream, width: number): string {
  const first = width >= 11 ? String(241 + stream.number(14)) : '0';
  const digits = width - first.length - 3;
  const parts = [1, 1, 1];
  for (let left = Math.min(digits, 9) - 3; left > 0; ) {
    const at = stream.number(3);
    if ((parts[at] ?? 3) === 3) continue;
    parts[at] = (parts[at] ?? 0) + 1;
    left--;
  }
  return [first, ...parts.map((part) => decimal(stream, part))].join('.');
}

/** In 2001:db8::/32 (RFC 3849, documentation), or where that is too long in 100::/64 (RFC 6666) or ::/96. */
function ipv6Of(stream: Stream, width: number): string {
  const group = (digits: number): string => stream.text(HEX.slice(1), 1) + stream.text(HEX, digits - 1);
  if (width >= 20) {
    const first = width === 39 ? '2001:0db8' : '2001:db8';
    const digits = Array.from({ length: 6 }, () => 1);
    for (let left = Math.min(width - first.length - 12, 18); left > 0; ) {
      const at = stream.number(6);
      if ((digits[at] ?? 4) === 4) continue;
      digits[at] = (digits[at] ?? 0) + 1;
      left--;
    }
    return [first, ...digits.map(group)].join(':');
  }
  const prefix = width >= 12 ? '2001:db8::' : width >= 6 ? '100::' : '::';
  const groups: string[] = [];
  for (let left = width - prefix.length; left > 0; ) {
    // A group takes its digits and, but for the last, a colon.
    const digits = left <= 4 ? left : left === 5 ? 3 : 4;
    groups.push(group(digits));
    left -= digits + 1;
  }
  return prefix + groups.join(':');
}

/** Begins with the letters `redact` in ASCII; version and variant stay. */
function uuidOf(stream: Stream, value: string): string {
  const digits = `726564616374${value[14] ?? '4'}${stream.text(HEX, 3)}${value[19] ?? '8'}${stream.text(HEX, 15)}`;
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** Columns that a latin1 string of UTF-8 takes; of one that is none, its bytes. */
function widthOf(value: string): number {
  const bytes = Buffer.from(value, 'latin1');
  const text = bytes.toString('utf8');
  return text.includes('\ufffd') ? bytes.length : [...text].length;
}

/**
 * @param value as it is looked up: addresses in lower case, with dots and colons.
 * @param attempt another one for every number, for a stand-in that is taken already.
 */
export function standIn(key: Uint8Array, kind: ValueClass, value: string, attempt: number): string {
  const stream = new Stream(key, `${kind}\0${value}\0${attempt}`);
  switch (kind) {
    case 'ipv4':
      return ipv4Of(stream, value.length);
    case 'ipv6':
      return ipv6Of(stream, value.length);
    case 'mac':
      // Locally administered, then `rd`.
      return `02:72:64:${stream.text(HEX, 6).replace(/^(..)(..)(..)$/, '$1:$2:$3')}`;
    case 'uuid':
      return uuidOf(stream, value);
    default:
      return wordOf(stream, kind, widthOf(value));
  }
}
