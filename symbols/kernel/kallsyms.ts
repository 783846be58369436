// The kernel's own symbol table, found and read in guest memory without any file: kernel/kallsyms.c, scripts/kallsyms.c, 4.6 on.
//
// The search rests on the token table: 256 texts, of which those of the digits are the digits themselves, followed by an array
// with the offset of each. Everything else is found from there and checked against itself; no version is asked for.

import { KERNEL_IMAGE_END, KERNEL_IMAGE_START } from '../address.ts';
import { type MappedMemory, type MemorySource, tryRead, tryReadInto } from '../memory.ts';
import { type SymbolColumns, SymbolTable } from '../symbol-table.ts';

/** No kernel image is larger; hostile page tables could show the same page everywhere. */
const MAX_IMAGE = 256 << 20;
const CHUNK = 1 << 20;

const TOKENS = 256;
const DIGITS = Uint8Array.from('0\x001\x002\x003\x004\x005\x006\x007\x008\x009\0', (character) =>
  character.charCodeAt(0),
);
const DIGIT_TOKEN = 0x30;
/** Longest text of a token in practice is 20; the table has some 1000 bytes. */
const MAX_TOKEN_TABLE = 16 << 10;
/** Names and markers of a large kernel: 5 MB. */
const MAX_NAMES = 24 << 20;
/** Every so many symbols a marker tells where its name is. */
const MARKER_STEP = 256;
const MAX_NAME = 1024;
/** Bytes that 256 names take at most. */
const MAX_STEP = MARKER_STEP * (MAX_NAME + 2);
/** No kernel that runs has fewer symbols than these stand for. */
const MIN_MARKERS = 4;
/** How far before the token table the markers can be: 3 bytes for each of 4 million symbols. */
const MAX_MARKER_GAP = 16 << 20;

/** The next multiple of 8, as until 6.19, and that of 4, as since 7.0, where it is another. */
function aligned(value: bigint): bigint[] {
  const [four, eight] = [(value + 3n) & ~3n, (value + 7n) & ~7n];
  return four === eight ? [eight] : [eight, four];
}
const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Joined mapped ranges of the kernel image. */
function* imageRanges(memory: MappedMemory): Generator<{ address: bigint; length: number }> {
  let run: { address: bigint; length: number } | undefined;
  let total = 0;
  for (const { address, length } of memory.mapped(KERNEL_IMAGE_START, KERNEL_IMAGE_END)) {
    if (run && run.address + BigInt(run.length) === address) run.length += length;
    else {
      if (run) yield run;
      run = { address, length };
    }
    total += length;
    if (total > MAX_IMAGE) break;
  }
  if (run) yield run;
}

/** A byte of the run that is rare in code: 0x37 begins no instruction in long mode. */
const RARE_AT = DIGITS.indexOf(0x37);

/** Where the run of digit tokens is. */
function* digitRuns(bytes: Uint8Array): Generator<number> {
  for (let at = bytes.indexOf(0x37); at >= 0; at = bytes.indexOf(0x37, at + 1)) {
    if (bytes[at + 1] !== 0 || bytes[at + 2] !== 0x38) continue;
    const start = at - RARE_AT;
    if (DIGITS.every((byte, index) => bytes[start + index] === byte)) yield start;
  }
}

interface Tokens {
  readonly start: bigint;
  /** Start of the mapped range in which they lie: the names lie in it too. */
  readonly low: bigint;
  readonly texts: readonly Uint8Array[];
  /** Behind the index array. */
  readonly end: bigint;
}

/** Checks that a token table starts at an address, by the array of offsets behind it. */
function readTokens(memory: MemorySource, start: bigint, low: bigint): Tokens | undefined {
  const bytes = readPages(memory, start, new Uint8Array(MAX_TOKEN_TABLE));
  const texts: Uint8Array[] = [];
  const offsets: number[] = [];
  let at = 0;
  for (let token = 0; token < TOKENS; token++) {
    const end = bytes.indexOf(0, at);
    if (end < 0) return undefined;
    offsets.push(at);
    texts.push(bytes.subarray(at, end));
    at = end + 1;
  }
  for (const index of aligned(start + BigInt(at))) {
    const array = tryRead(memory, index, TOKENS * 2);
    const view = array && viewOf(array);
    if (view && offsets.every((offset, token) => view.getUint16(token * 2, true) === offset))
      return { start, low, texts, end: index + BigInt(TOKENS * 2) };
  }
  return undefined;
}

/** The table around the digit tokens at `digits`: 48 texts lie before them, and it starts at a multiple of 4. */
function tokensAround(memory: MemorySource, digits: bigint, low: bigint): Tokens | undefined {
  const before = Math.min(4096, Number(digits - low));
  const bytes = tryRead(memory, digits - BigInt(before), before);
  if (!bytes) return undefined;
  let at = before - 1; // the NUL of token 47
  for (let token = DIGIT_TOKEN - 1; token > 0 && at > 0; token--) at = bytes.lastIndexOf(0, at - 1);
  // `at` is the NUL of token 0: its text starts at some multiple of 4 before it.
  const end = digits - BigInt(before - at);
  for (let start = end & ~3n; end - start < 64n; start -= 4n) {
    const tokens = readTokens(memory, start, low);
    if (tokens) return tokens;
  }
  return undefined;
}

function findTokens(memory: MappedMemory): Tokens | undefined {
  let runs = 0;
  const buffer = new Uint8Array(CHUNK + DIGITS.length);
  for (const { address, length } of imageRanges(memory)) {
    // Pieces overlap so that no run of digits is cut.
    for (let offset = 0; offset < length; offset += CHUNK) {
      const piece = readPages(memory, address + BigInt(offset), buffer.subarray(0, length - offset));
      for (const at of digitRuns(piece)) {
        const tokens = tokensAround(memory, address + BigInt(offset + at), address);
        if (tokens) return tokens;
        if (++runs > MAX_DIGIT_RUNS) return undefined;
      }
    }
  }
  return undefined;
}

/** Fills `into`, with zeros for the pages that cannot be read: only for searching. */
function readPages(memory: MemorySource, address: bigint, into: Uint8Array): Uint8Array {
  if (tryReadInto(memory, address, into)) return into;
  for (let at = 0; at < into.length; ) {
    const page = into.subarray(at, at + 4096 - ((Number(address & 0xfffn) + at) % 4096));
    if (!tryReadInto(memory, address + BigInt(at), page)) page.fill(0);
    at += page.length;
  }
  return into;
}

interface Names {
  readonly count: number;
  /** Address of the number of symbols, which lies before the names. */
  readonly start: bigint;
  readonly letters: Uint8Array;
  readonly nameStarts: Uint32Array;
  readonly names: Uint8Array;
}

/** Length of the entry at `at` and where its tokens start; two bytes of length since 6.1 (73bbb94466fd). */
function entryAt(bytes: Uint8Array, at: number): { tokens: number; length: number } {
  const first = bytes[at] ?? 0;
  if ((first & 0x80) === 0) return { tokens: at + 1, length: first };
  return { tokens: at + 2, length: (first & 0x7f) | ((bytes[at + 1] ?? 0) << 7) };
}

const isLetter = (byte: number): boolean => ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a) || byte === 0x3f;

/** Steps that a search may still take: a guest can fill its memory with what looks like a table. */
interface Budget {
  left: number;
}
const MAX_STEPS = 32 << 20;
const MAX_DIGIT_RUNS = 512;
const MAX_EXPANDED = 64 << 20;

/** True when `count` names lie here and each 256th starts where its marker says. */
function namesHold(
  bytes: Uint8Array,
  start: number,
  count: number,
  markers: readonly number[],
  budget: Budget,
): boolean {
  let at = start;
  for (let symbol = 0; symbol < count; symbol++) {
    if (symbol % MARKER_STEP === 0 && markers[symbol / MARKER_STEP] !== at - start) return false;
    const { tokens, length } = entryAt(bytes, at);
    at = tokens + length;
    if (length === 0 || length > MAX_NAME || at > bytes.length || --budget.left < 0) return false;
  }
  return bytes.length - at < 8; // the markers follow, aligned
}

/** Expands `count` names; undefined when one of them is none. */
function expandNames(
  bytes: Uint8Array,
  start: number,
  count: number,
  tokens: Tokens,
): Omit<Names, 'start'> | undefined {
  const letters = new Uint8Array(count);
  const nameStarts = new Uint32Array(count);
  let names = new Uint8Array(count * 24);
  // One array for all tokens: names are 8 of them on average, too short for a copy by set().
  const texts = Uint8Array.from(tokens.texts.flatMap((text) => [...text]));
  const starts = [0];
  for (const text of tokens.texts) starts.push((starts.at(-1) ?? 0) + text.length);
  let used = 0;
  let at = start;
  for (let symbol = 0; symbol < count; symbol++) {
    const entry = entryAt(bytes, at);
    at = entry.tokens + entry.length;
    const begin = used;
    for (let index = entry.tokens; index < at; index++) {
      const token = bytes[index] ?? 0;
      const end = starts[token + 1] ?? 0;
      const from = starts[token] ?? 0;
      if (used - begin + end - from > MAX_NAME || used > MAX_EXPANDED) return undefined;
      if (used + end - from + 1 > names.length) {
        const larger = new Uint8Array(names.length * 2 + end - from);
        larger.set(names);
        names = larger;
      }
      for (let byte = from; byte < end; byte++) names[used++] = texts[byte] ?? 0;
    }
    if (!isLetter(names[begin] ?? 0)) return undefined;
    letters[symbol] = names[begin] ?? 0;
    nameStarts[symbol] = begin + 1;
    names[used++] = 0;
  }
  return { count, letters, nameStarts, names: names.subarray(0, used) };
}

interface Markers {
  /** Offset of the first in the bytes searched. */
  readonly at: number;
  /** Where in the names each 256th symbol is. */
  readonly values: readonly number[];
}

/** What can be the markers, nearest to the end first: numbers that ascend from 0 by the length of 256 names. */
function* findMarkers(words: Uint32Array): Generator<Markers> {
  for (let index = words.length - MIN_MARKERS; index >= 0; index--) {
    if (words[index] !== 0) continue;
    // u32 since 4.20 (80ffbaa5b1bd), unsigned long before.
    for (const width of words[index + 1] === 0 ? [2] : [1]) {
      const values = [0];
      for (let next = index + width; next < words.length; next += width) {
        const step = (words[next] ?? 0) - (values.at(-1) ?? 0);
        const isMarker =
          step >= 2 * MARKER_STEP && step <= MAX_STEP && (width === 1 || words[next + 1] === 0);
        if (!isMarker) break;
        values.push(words[next] ?? 0);
      }
      if (values.length >= MIN_MARKERS) yield { at: index * 4, values };
    }
  }
}

/** The names that belong to markers at an address: they end there, and their number lies before them. */
function namesBefore(
  memory: MemorySource,
  end: bigint,
  markers: readonly number[],
  tokens: Tokens,
  budget: Budget,
): Names | undefined {
  const last = markers.at(-1) ?? 0;
  if (last > MAX_NAMES) return undefined;
  const reach = (last + MAX_STEP + 3) & ~3;
  const base = end - tokens.low < reach ? tokens.low : end - BigInt(reach);
  budget.left -= Number(end - base) >> 2;
  if (budget.left < 0) return undefined;
  const bytes = readPages(memory, base, new Uint8Array(Number(end - base)));
  const view = viewOf(bytes);
  const most = markers.length * MARKER_STEP;
  const possible = (count: number): boolean => count > most - MARKER_STEP && count <= most;
  // Backwards from where one last name would do.
  for (let at = (bytes.length - last - 2) & ~3; at >= 8 && budget.left > 0; at -= 4) {
    // Aligned to 8 until 6.19, to 4 since 7.0: the names follow their number at once.
    for (const gap of [4, 8]) {
      const count = view.getUint32(at - gap, true);
      if (!possible(count) || (gap === 8 && view.getUint32(at - 4, true) !== 0)) continue;
      const names = namesHold(bytes, at, count, markers, budget)
        ? expandNames(bytes, at, count, tokens)
        : undefined;
      if (names) return { ...names, start: base + BigInt(at - gap) };
    }
  }
  return undefined;
}

/** Markers lie before the token table in every layout: next to it, or with 3 bytes a symbol between (6.2, 60443c88f3a8, and 6.3). */
function findNames(memory: MemorySource, tokens: Tokens): Names | undefined {
  const budget: Budget = { left: MAX_STEPS };
  const room = Math.min(MAX_MARKER_GAP, Number(tokens.start - tokens.low));
  for (let [done, wanted] = [0, 1 << 20]; done < room; wanted *= 4) {
    const length = Math.min(wanted, room);
    const base = tokens.start - BigInt(length);
    const bytes = readPages(memory, base, new Uint8Array(length));
    for (const { at, values } of findMarkers(new Uint32Array(bytes.buffer))) {
      const names = namesBefore(memory, base + BigInt(at), values, tokens, budget);
      if (names) return names;
      if (budget.left < 0) return undefined;
    }
    done = length;
  }
  return undefined;
}

/** How an element of kallsyms_offsets becomes an address: its distance from `base`; undefined is the offset itself, as an address. */
interface Rule {
  readonly base: bigint;
  readonly distance: (offset: number, index: number) => number | undefined;
}

const HALF = 2 ** 32;

/** Offsets as addresses, without a bigint for each; undefined unless they ascend and code lies in the kernel image. */
function resolve(
  offsets: Uint8Array,
  names: Names,
  { base, distance }: Rule,
): { low: Uint32Array; high: Uint32Array } | undefined {
  const view = viewOf(offsets);
  const low = new Uint32Array(names.count);
  const high = new Uint32Array(names.count);
  const [baseLow, baseHigh] = [Number(base & 0xffff_ffffn), Number(base >> 32n)];
  const [imageLow, imageEnd] = [
    Number(KERNEL_IMAGE_START & 0xffff_ffffn),
    Number(KERNEL_IMAGE_END & 0xffff_ffffn),
  ];
  let [lastLow, lastHigh] = [0, 0];
  for (let index = 0; index < names.count; index++) {
    const offset = view.getInt32(index * 4, true);
    const away = distance(offset, index);
    const sum = away === undefined ? offset : baseLow + away;
    const addressHigh = ((away === undefined ? 0 : baseHigh) + Math.floor(sum / HALF)) >>> 0;
    const addressLow = sum >>> 0;
    const isText = ((names.letters[index] ?? 0) | 0x20) === 0x74;
    const isInImage = addressHigh === HALF - 1 && addressLow >= imageLow && addressLow < imageEnd;
    const ascends = addressHigh > lastHigh || (addressHigh === lastHigh && addressLow >= lastLow);
    if (!ascends || (isText && !isInImage)) return undefined;
    low[index] = lastLow = addressLow;
    high[index] = lastHigh = addressHigh;
  }
  return { low, high };
}

/** The three encodings and two layouts that kernels have used. */
function* candidates(
  names: Names,
  tokens: Tokens,
  word: (address: bigint) => bigint | undefined,
): Generator<{ at: bigint; rule: Rule }> {
  const size = BigInt(names.count * 4);
  const places = [
    // Up to 6.3: offsets, base, number of symbols, names. From 6.4 (404bad70fcf7): token index, offsets, base.
    { at: names.start - 8n - ((size + 7n) & ~7n), base: word(names.start - 8n) },
    ...aligned(tokens.end).map((at) => ({ at, base: word((at + size + 7n) & ~7n) })),
  ];
  for (const { at, base } of places) {
    if (base !== undefined) {
      // Up to 6.14: per-CPU and absolute symbols are positive, the others negative.
      yield { at, rule: { base, distance: (offset) => (offset >= 0 ? undefined : -1 - offset) } };
      yield { at, rule: { base, distance: (offset) => offset >>> 0 } };
    }
    // 7.0 (a081b5789255): relative to the element itself.
    yield { at, rule: { base: at, distance: (offset, index) => index * 4 + offset } };
  }
}

/**
 * Finds and reads the table of a Linux guest; undefined when it has none (not Linux, no CONFIG_KALLSYMS, or not mapped).
 * The addresses are run-time addresses: no KASLR shift applies to them.
 */
export function findKallsyms(memory: MappedMemory): SymbolTable | undefined {
  const tokens = findTokens(memory);
  const names = tokens && findNames(memory, tokens);
  if (!tokens || !names) return undefined;
  const word = (address: bigint): bigint | undefined => {
    const bytes = tryRead(memory, address, 8);
    return bytes && viewOf(bytes).getBigUint64(0, true);
  };
  for (const { at, rule } of candidates(names, tokens, word)) {
    const offsets = tryRead(memory, at, names.count * 4);
    const addresses = offsets && resolve(offsets, names, rule);
    if (!addresses) continue;
    // They are in ascending order already.
    const columns: SymbolColumns = {
      ...addresses,
      letters: names.letters,
      nameStarts: names.nameStarts,
      names: names.names,
    };
    return new SymbolTable('kallsyms of the guest', columns, Uint32Array.from(columns.low.keys()));
  }
  return undefined;
}
