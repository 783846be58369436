// The blocks of xenctx that show memory, line for line: Code, Stack, Memory. Unreadable bytes are ??, never another page's.
import { hexWord, unreadableWord, type VcpuView } from './view.ts';

const CODE_BYTES = 32;
/** Bytes of the Code block before the instruction pointer. */
export const CODE_BEFORE = 21;

const hex2 = (value: number | undefined): string =>
  value === undefined ? '??' : value.toString(16).padStart(2, '0');

/** Hex digits of 32 bytes of code, the first of them 21 before the instruction pointer. */
export function codeBytes({ instruction, words }: VcpuView): string[] {
  return Array.from({ length: CODE_BYTES }, (_, index) =>
    hex2(words.byte(instruction + BigInt(index - CODE_BEFORE))),
  );
}

/** The Code block; two empty lines follow. */
export function* codeLines(view: VcpuView): Generator<string> {
  yield `Code (instr addr ${view.instruction.toString(16).padStart(8, '0')})`;
  yield codeBytes(view)
    .map((byte, index) => (index === CODE_BEFORE ? `<${byte}> ` : `${byte} `))
    .join('');
  yield '';
  yield '';
}

export interface DumpLayout {
  readonly lines: number;
  readonly bytesPerLine: number;
  /** -t: address before each line. */
  readonly tags: boolean;
  /** -D: characters behind each line. */
  readonly ascii: boolean;
}

const printable = (byte: number): string => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.');

function asciiColumn(values: readonly (bigint | undefined)[], size: number, wordsPerLine: number): string {
  const padding = ' '.repeat(Math.max(0, wordsPerLine - values.length) * (size * 2 + 1));
  const characters = values.map((value) => {
    if (value === undefined) return '?'.repeat(size);
    return Array.from({ length: size }, (_, index) =>
      printable(Number((value >> BigInt(index * 8)) & 0xffn)),
    ).join('');
  });
  return `${padding}  ${characters.join('')}`;
}

/** After so many bytes of which none could be read a dump ends: `-l MAX` at an unmapped address would print for days. */
export const MAX_BLIND_BYTES = 4096;

/** Words from `start` to `limit`, at most `lines` lines. */
export function* dumpLines(
  view: VcpuView,
  start: bigint,
  limit: bigint,
  layout: DumpLayout,
): Generator<string> {
  const { wordSize, words } = view;
  const step = BigInt(wordSize);
  const wordsPerLine = Math.floor(layout.bytesPerLine / wordSize);
  let at = start;
  let blind = 0;
  for (let line = 1; line <= layout.lines && at < limit && blind < MAX_BLIND_BYTES; line++) {
    const end = start + BigInt(line) * BigInt(layout.bytesPerLine);
    const tag = layout.tags ? `${hexWord(at, wordSize)}:` : '';
    const values: (bigint | undefined)[] = [];
    for (; at < limit && at < end; at += step) values.push(words.word(at));
    const text = values.map(
      (value) => ` ${value === undefined ? unreadableWord(wordSize) : hexWord(value, wordSize)}`,
    );
    blind = values.every((value) => value === undefined) ? blind + values.length * wordSize : 0;
    yield tag + text.join('') + (layout.ascii ? asciiColumn(values, wordSize, wordsPerLine) : '');
  }
}

/** -m: a title, the words, an empty line. */
export function* memoryLines(view: VcpuView, address: bigint, layout: DumpLayout): Generator<string> {
  const start = BigInt.asUintN(view.wordSize === 8 ? 64 : 32, address);
  yield `Memory (address ${hexWord(start, view.wordSize === 8 ? 8 : 4)}):`;
  const limit = start + BigInt(layout.lines) * BigInt(layout.bytesPerLine);
  yield* dumpLines(view, start, limit, layout);
  yield '';
}
