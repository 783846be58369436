// Writes the symbol table that a Linux kernel carries in its own memory (kernel/kallsyms.c), for tests: all tables of one image
// in the order and with the encoding of a kernel's age. Source: linux scripts/kallsyms.c of 6.1, 6.4, 6.15 and 7.0.

export interface KallsymsInput {
  /** Ascending by address. */
  readonly symbols: readonly { readonly letter: string; readonly name: string; readonly address: bigint }[];
  /**
   * `6.1`: offsets lie before the names, those of code are negative. `6.4`: they lie behind the tokens. `6.15`: they are
   * unsigned. `7.0`: they count from themselves.
   */
  readonly layout: '6.1' | '6.4' | '6.15' | '7.0';
  /** Where the image lies: a multiple of 8. */
  readonly address: bigint;
}

const TOKENS = 256;
const MARKER_STEP = 256;

/** Each byte that no name has becomes a pair of the most frequent neighbours. */
function chooseTokens(names: readonly string[]): string[] {
  const tokens = Array.from({ length: TOKENS }, (_, code) => String.fromCharCode(code));
  const used = new Set(names.join(''));
  const pairs = new Map<string, number>();
  for (const name of names)
    for (let at = 0; at + 2 <= name.length; at++) {
      const pair = name.slice(at, at + 2);
      pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
    }
  const best = [...pairs].sort((a, b) => b[1] - a[1]).map(([pair]) => pair);
  const isDigit = (token: string): boolean => /\d/.test(token);
  return tokens.map((token) => (used.has(token) || isDigit(token) ? token : (best.shift() ?? token)));
}

function encodeName(name: string, tokens: readonly string[]): number[] {
  const codes: number[] = [];
  for (let at = 0; at < name.length; ) {
    const pair = tokens.indexOf(name.slice(at, at + 2));
    codes.push(pair >= 0 ? pair : name.charCodeAt(at));
    at += pair >= 0 ? 2 : 1;
  }
  const length = codes.length < 0x80 ? [codes.length] : [(codes.length & 0x7f) | 0x80, codes.length >> 7];
  return [...length, ...codes];
}

const words = (values: readonly number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);

/** The bytes from `address` on. */
export function writeKallsyms({ symbols, layout, address }: KallsymsInput): Uint8Array {
  const names = symbols.map(({ letter, name }) => letter + name);
  const tokens = chooseTokens(names);
  const markers: number[] = [];
  const encoded: number[] = [];
  names.forEach((name, index) => {
    if (index % MARKER_STEP === 0) markers.push(encoded.length);
    encoded.push(...encodeName(name, tokens));
  });
  const texts = tokens.map((token) => `${token}\0`);
  const starts = texts.map((_, index) => texts.slice(0, index).join('').length);
  const base = symbols.find(({ letter }) => /t/i.test(letter))?.address ?? 0n;
  const offsetOf = (symbol: bigint, index: number, at: bigint): number => {
    if (layout === '7.0') return Number(symbol - (at + BigInt(index * 4)));
    if (layout === '6.15') return Number(symbol - base);
    return symbol < base ? Number(symbol) : Number(base - 1n - symbol);
  };
  const offsets = (at: bigint): Uint8Array =>
    words(symbols.map((symbol, index) => offsetOf(symbol.address, index, at)));
  const baseWord = new Uint8Array(BigUint64Array.of(base).buffer);
  const common: readonly ((at: bigint) => Uint8Array)[] = [
    () => words([symbols.length]),
    () => Uint8Array.from(encoded),
    () => words(markers),
    () => Uint8Array.from(texts.join(''), (character) => character.charCodeAt(0)),
    () => new Uint8Array(Uint16Array.from(starts).buffer),
  ];
  const tables =
    layout === '6.1' ? [offsets, () => baseWord, ...common] : [...common, offsets, () => baseWord];
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (const table of tables) {
    const piece = table(address + BigInt(length));
    const padded = new Uint8Array((piece.length + 7) & ~7);
    padded.set(piece);
    pieces.push(padded);
    length += padded.length;
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
