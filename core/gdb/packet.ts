// Packets of the GDB remote serial protocol as they lie on the wire: framing, checksums, escapes and run lengths, both directions.
// Knows no command. Payloads are strings of one character a byte. (Debugging with GDB, appendix "Remote Protocol": Overview.)

/** What came over the wire. `damaged` is a packet whose bytes cannot be trusted; without acknowledgements it is lost. */
export type WireEvent =
  | { readonly kind: 'packet' | 'notification'; readonly payload: string }
  | { readonly kind: 'ack' | 'nak' | 'interrupt' }
  | { readonly kind: 'damaged'; readonly why: string };

export interface PacketReaderOptions {
  /** Most bytes of one payload, on the wire and with its runs written out; a longer one is damaged. */
  readonly maxBytes: number;
  /** True on the debugger's side: only answers of a stub have run lengths, a `*` in its own packets is itself. */
  readonly expandRuns: boolean;
}

const [DOLLAR, PERCENT, HASH, PLUS, MINUS, STAR, BRACE, CTRL_C] = [...'$%#+-*}\x03'].map((character) =>
  character.charCodeAt(0),
) as [number, number, number, number, number, number, number, number]; // eight characters, eight numbers
const ESCAPE_BIT = 0x20;
/** A run of n more is written as the character n + 29. */
const RUN_OFFSET = 29;
const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const plain = ({ buffer, byteOffset, length }: Buffer): Uint8Array =>
  new Uint8Array(buffer, byteOffset, length);

/** One character a byte. */
export const bytesToText = (bytes: Uint8Array): string => bufferOf(bytes).toString('latin1');

/** Inverse of bytesToText; of a character above 0xff the low byte. */
export const textToBytes = (text: string): Uint8Array => plain(Buffer.from(text, 'latin1'));

export const bytesToHex = (bytes: Uint8Array): string => bufferOf(bytes).toString('hex');

/** @returns undefined when it is not pairs of hexadecimal digits. */
export function hexToBytes(text: string): Uint8Array | undefined {
  // Buffer stops at the first pair that is none.
  const bytes = Buffer.from(text, 'hex');
  return bytes.length * 2 === text.length ? plain(bytes) : undefined;
}

/** Binary data as it stands in a payload: what the framing means otherwise is escaped. */
export function escapeBinary(bytes: Uint8Array): string {
  return bytesToText(bytes).replace(
    /[#$}*]/g,
    (character) => `}${String.fromCharCode(character.charCodeAt(0) ^ ESCAPE_BIT)}`,
  );
}

/** Inverse of escapeBinary. An escape with nothing behind it is left out. */
export function unescapeBinary(payload: string): Uint8Array {
  const bytes = new Uint8Array(payload.length);
  let length = 0;
  for (let index = 0; index < payload.length; index++) {
    let byte = payload.charCodeAt(index);
    if (byte === BRACE) {
      if (++index === payload.length) break;
      byte = payload.charCodeAt(index) ^ ESCAPE_BIT;
    }
    bytes[length++] = byte;
  }
  return bytes.subarray(0, length);
}

function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (const byte of bytes) sum += byte;
  return sum & 0xff;
}

/** A packet ready to be sent. The payload's binary parts have been escaped. */
export function framePacket(payload: string): Uint8Array {
  const body = textToBytes(payload);
  const framed = new Uint8Array(body.length + 4);
  framed[0] = DOLLAR;
  framed.set(body, 1);
  framed.set(textToBytes(`#${checksum(body).toString(16).padStart(2, '0')}`), body.length + 1);
  return framed;
}

/** A payload with its runs written out, or why it cannot be. */
function expandRuns(body: Uint8Array, maxBytes: number): Uint8Array | string {
  if (!body.includes(STAR)) return body;
  let length = body.length;
  for (let index = 0; index < body.length; index++) {
    if (body[index] !== STAR) continue;
    const count = (body[++index] ?? 0) - RUN_OFFSET;
    if (count < 1 || index === 1) return 'a run length without a character or a length';
    length += count - 2;
  }
  if (length > maxBytes) return `more than ${maxBytes} bytes with its runs written out`;
  const expanded = new Uint8Array(length);
  let to = 0;
  for (let index = 0; index < body.length; index++) {
    const byte = body[index] ?? 0;
    if (byte !== STAR) expanded[to++] = byte;
    else {
      const count = (body[++index] ?? 0) - RUN_OFFSET;
      expanded.fill(expanded[to - 1] ?? 0, to, to + count);
      to += count;
    }
  }
  return expanded;
}

/** Takes bytes as they come and tells what they are. Holds one packet at most. */
export class PacketReader {
  readonly #options: PacketReaderOptions;
  #body: Uint8Array = new Uint8Array(256);
  /** Of the body, and on while it is too long: what was too long is skipped up to its end. */
  #length = 0;
  /** The packet that is being read; undefined between packets. */
  #kind: 'packet' | 'notification' | undefined;
  /** Characters of the checksum; undefined before the `#`. */
  #sum: string | undefined;

  constructor(options: PacketReaderOptions) {
    this.#options = options;
  }

  /** True inside a packet: what has come is not all of it. */
  get isPartial(): boolean {
    return this.#kind !== undefined;
  }

  *push(bytes: Uint8Array): Generator<WireEvent> {
    for (let at = 0; at < bytes.length; ) {
      at += this.#appendBody(bytes.subarray(at));
      const byte = bytes[at++];
      const event = byte === undefined ? undefined : this.#take(byte);
      if (event) yield event;
    }
  }

  /** Takes what belongs to a body up to its end at once. @returns bytes taken. */
  #appendBody(bytes: Uint8Array): number {
    if (this.#kind === undefined || this.#sum !== undefined) return 0;
    let length = 0;
    while (length < bytes.length && bytes[length] !== HASH && bytes[length] !== DOLLAR) length++;
    this.#append(bytes.subarray(0, length));
    return length;
  }

  #take(byte: number): WireEvent | undefined {
    // An unescaped `$` can only be a beginning: the end of the packet before it was lost.
    if (byte === DOLLAR) return this.#begin('packet');
    if (this.#kind === undefined) {
      if (byte === PLUS) return { kind: 'ack' };
      if (byte === MINUS) return { kind: 'nak' };
      if (byte === CTRL_C) return { kind: 'interrupt' };
      if (byte === PERCENT) return this.#begin('notification');
      // Anything else between packets is noise of the line.
      return undefined;
    }
    if (this.#sum !== undefined) {
      this.#sum += String.fromCharCode(byte);
      return this.#sum.length === 2 ? this.#end(this.#kind, this.#sum) : undefined;
    }
    // The end of the body: what is in it, #appendBody has taken.
    this.#sum = '';
    return undefined;
  }

  #begin(kind: 'packet' | 'notification'): undefined {
    this.#kind = kind;
    this.#length = 0;
    this.#sum = undefined;
  }

  #append(bytes: Uint8Array): void {
    const { maxBytes } = this.#options;
    const end = this.#length + bytes.length;
    if (end > maxBytes) {
      this.#length = maxBytes + 1;
      return;
    }
    if (end > this.#body.length) {
      const grown = new Uint8Array(Math.min(Math.max(2 * this.#body.length, end), maxBytes));
      grown.set(this.#body.subarray(0, this.#length));
      this.#body = grown;
    }
    this.#body.set(bytes, this.#length);
    this.#length = end;
  }

  #end(kind: 'packet' | 'notification', sum: string): WireEvent {
    const length = this.#length;
    this.#kind = undefined;
    const { maxBytes, expandRuns: hasRuns } = this.#options;
    if (length > maxBytes) return { kind: 'damaged', why: `more than ${maxBytes} bytes` };
    const body = this.#body.subarray(0, length);
    const expected = checksum(body).toString(16).padStart(2, '0');
    if (sum.toLowerCase() !== expected)
      return { kind: 'damaged', why: `checksum ${JSON.stringify(sum)} instead of ${expected}` };
    const whole = hasRuns ? expandRuns(body, maxBytes) : body;
    return typeof whole === 'string'
      ? { kind: 'damaged', why: whole }
      : { kind, payload: bytesToText(whole) };
  }
}
