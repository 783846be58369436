// Finds many words at once in one text, in time linear in the text whatever the words are (Aho and Corasick, 1975). Letters A-Z and
// a-z are alike. Characters are bytes: texts and words are latin1 strings.
import { FormatError } from '../../../symbols/errors.ts';

/** Characters of all words together. */
const MAX_CHARACTERS = 4 << 20;

/** `A` to `Z` as `a` to `z`. */
const FOLD = Uint8Array.from({ length: 256 }, (_, code) => (code >= 65 && code <= 90 ? code + 32 : code));

const NEWLINE = 10;

/** States near the root, in which nearly all of a text is read, whose next states are known for every character: 1 KiB each. */
const MAX_ROWS = 512;

/** So many words that end at one place are told: names are not nested deeper, and hostile ones cost no more than this. */
const MAX_NESTED = 64;

/** Where a word is: `word` is its index; `length` is shorter than the word when a line ends within it. */
export type OnHit = (start: number, length: number, word: number) => void;

export class Finder {
  /** State and character to state: open addressing, 0 is empty (nothing leads back to the root). */
  #keys: Int32Array = new Int32Array(1 << 10);
  #next: Int32Array = new Int32Array(1 << 10);
  #used = 0;
  readonly #first = new Int32Array(256);
  readonly #fail: Int32Array;
  /** Word that ends here, or -1. */
  readonly #word: Int32Array;
  /** State nearest by failure links at which a word ends, or 0. */
  readonly #shorter: Int32Array;
  readonly #depth: Int32Array;
  /** A word that begins like this state. */
  readonly #some: Int32Array;
  readonly #words: readonly string[];
  /** By state: its row among `#rows` and 1, or 0. */
  readonly #row: Int16Array;
  readonly #rows: Int32Array;
  #states = 1;

  /** @param words not empty; of equal ones the first counts. @throws FormatError when they are too many. */
  constructor(words: readonly string[]) {
    this.#words = words;
    const characters = words.reduce((sum, word) => sum + word.length, 1);
    if (characters > MAX_CHARACTERS)
      throw new FormatError(`more than ${MAX_CHARACTERS} characters of private values`);
    const make = (fill: number): Int32Array => new Int32Array(characters).fill(fill);
    this.#fail = make(0);
    this.#word = make(-1);
    this.#shorter = make(0);
    this.#depth = make(0);
    this.#some = make(0);
    this.#row = new Int16Array(characters);
    const parent = make(0);
    const label = new Uint8Array(characters);
    for (const [index, word] of words.entries()) {
      let state = 0;
      for (let at = 0; at < word.length; at++) {
        const code = FOLD[word.charCodeAt(at) & 0xff] ?? 0;
        let to = this.#step(state, code);
        if (to === 0) {
          to = this.#states++;
          parent[to] = state;
          label[to] = code;
          this.#depth[to] = at + 1;
          this.#some[to] = index;
          this.#link(state, code, to);
        }
        state = to;
      }
      if (state !== 0 && this.#word[state] === -1) this.#word[state] = index;
    }
    // By depth: a state's failure link leads to a shorter one.
    const order = Int32Array.from({ length: this.#states - 1 }, (_, index) => index + 1);
    order.sort((a, b) => (this.#depth[a] ?? 0) - (this.#depth[b] ?? 0));
    for (const state of order) {
      const code = label[state] ?? 0;
      const up = parent[state] ?? 0;
      const fail = up === 0 ? 0 : this.#follow(this.#fail[up] ?? 0, code);
      this.#fail[state] = fail;
      this.#shorter[state] = (this.#word[fail] ?? -1) >= 0 ? fail : (this.#shorter[fail] ?? 0);
    }
    const near = [0, ...order.subarray(0, MAX_ROWS - 1)];
    this.#rows = Int32Array.from({ length: near.length * 256 }, (_, at) =>
      this.#follow(near[at >> 8] ?? 0, at & 0xff),
    );
    for (const [index, state] of near.entries()) this.#row[state] = index + 1;
  }

  #slot(key: number): number {
    const mask = this.#keys.length - 1;
    let slot = (Math.imul(key, 0x9e3779b1) >>> 7) & mask;
    while (this.#keys[slot] !== 0 && this.#keys[slot] !== key) slot = (slot + 1) & mask;
    return slot;
  }

  #link(state: number, code: number, to: number): void {
    if (state === 0) {
      this.#first[code] = to;
      return;
    }
    if (this.#used * 2 >= this.#keys.length) {
      const [keys, next] = [this.#keys, this.#next];
      this.#keys = new Int32Array(keys.length * 2);
      this.#next = new Int32Array(keys.length * 2);
      for (const [index, key] of keys.entries()) {
        if (key === 0) continue;
        const slot = this.#slot(key);
        this.#keys[slot] = key;
        this.#next[slot] = next[index] ?? 0;
      }
    }
    const slot = this.#slot(state * 256 + code);
    this.#keys[slot] = state * 256 + code;
    this.#next[slot] = to;
    this.#used++;
  }

  #step(state: number, code: number): number {
    if (state === 0) return this.#first[code] ?? 0;
    return this.#next[this.#slot(state * 256 + code)] ?? 0;
  }

  #follow(from: number, code: number): number {
    for (let state = from; ; state = this.#fail[state] ?? 0) {
      const row = this.#row[state] ?? 0;
      if (row > 0) return this.#rows[((row - 1) << 8) | code] ?? 0;
      const to = this.#step(state, code);
      if (to !== 0 || state === 0) return to;
    }
  }

  /**
   * Every place at which a word ends, all words that end there, longest first.
   * @param cutAfter lines of so many characters may have been cut: a word of which at least 4 characters end such a line is a hit.
   */
  find(text: string, onHit: OnHit, cutAfter?: number): void {
    if (this.#states === 1) return;
    const codes = Buffer.from(text, 'latin1');
    let state = 0;
    let line = 0;
    for (let at = 0; at <= codes.length; at++) {
      const code = at === codes.length ? NEWLINE : (FOLD[codes[at] ?? 0] ?? 0);
      if (code === NEWLINE) {
        const depth = this.#depth[state] ?? 0;
        if (cutAfter !== undefined && depth >= 4 && at - line >= cutAfter)
          onHit(at - depth, depth, this.#some[state] ?? 0);
        line = at + 1;
      }
      if (at === codes.length) return;
      state = this.#follow(state, code);
      if (state === 0) continue;
      let hit = (this.#word[state] ?? -1) >= 0 ? state : (this.#shorter[state] ?? 0);
      for (let told = 0; hit !== 0 && told < MAX_NESTED; told++, hit = this.#shorter[hit] ?? 0) {
        const word = this.#word[hit] ?? 0;
        const length = this.#words[word]?.length ?? 0;
        onHit(at + 1 - length, length, word);
      }
    }
  }
}
