// System.map, /proc/kallsyms and the output of `nm -n`: lines of address, letter, name, and in /proc/kallsyms a tab and the module
// in brackets. A line that is none is skipped, as xenctx does.
import { type ByteSource, latin1Of } from '../bytes.ts';
import { FormatError } from '../errors.ts';
import { orderByAddress, type SymbolColumns, SymbolTable } from '../symbol-table.ts';

/** Real ones have 4 to 15 MB. */
const MAX_SIZE = 64 << 20;
/** `0 T \n`: shorter lines are no symbols. */
const MIN_LINE = 5;

const TAB = 9;
const NEWLINE = 10;
const isSpace = (byte: number): boolean => byte === 32 || (byte >= 9 && byte <= 13);
const isLetter = (byte: number): boolean => (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a;

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** Letters that no address belongs to: undefined, and weak without a definition. */
const UNDEFINED = new Set(['U', 'v', 'w'].map((letter) => letter.charCodeAt(0)));

/** Package dash-free `/boot/System.map-*` of Debian is one line that says where the real one is. */
const STUB = 'The real System.map is in the';

export interface SystemMap {
  readonly table: SymbolTable;
  /** Set when the file is Debian's stub: its sentence, which names the package with the real one. */
  readonly stub?: string | undefined;
  /** True when every address is 0: what /proc/kallsyms shows to those who may not see them (kptr_restrict). */
  readonly hidden: boolean;
}

/** Numbers for names of modules, from 1 on in order of appearance. */
class ModuleNumbers {
  readonly names: string[] = [];
  readonly #numbers = new Map<string, number>();

  of(name: string): number {
    const known = this.#numbers.get(name);
    // A column of 16 bits holds them.
    if (known !== undefined || this.names.length === 0xffff) return known ?? 0;
    this.names.push(name);
    this.#numbers.set(name, this.names.length);
    return this.names.length;
  }
}

/**
 * Parses a System.map of any size up to 64 MiB in one pass.
 * @throws FormatError when it is larger.
 */
export function parseSystemMap(source: ByteSource): SystemMap {
  if (source.size > MAX_SIZE)
    throw new FormatError(`a System.map of ${source.size} bytes`, { source: source.name });
  let bytes = source.read(0, source.size);
  // Tabs become the ends of the names before them; the source's bytes stay as they are.
  const withModules = bytes.includes(TAB);
  if (withModules) bytes = new Uint8Array(bytes);
  let capacity = 1;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) capacity++;
  capacity = Math.min(capacity, Math.ceil(bytes.length / MIN_LINE) + 1);
  const low = new Uint32Array(capacity);
  const high = new Uint32Array(capacity);
  const letters = new Uint8Array(capacity);
  const nameStarts = new Uint32Array(capacity);
  const modules = new Uint16Array(withModules ? capacity : 0);
  const moduleNumbers = new ModuleNumbers();
  let count = 0;
  let anywhere = false;

  for (let line = 0; line < bytes.length; ) {
    let at = line;
    let lowHalf = 0;
    let highHalf = 0;
    for (let digit = hexDigit(bytes[at] ?? 0); digit >= 0; digit = hexDigit(bytes[++at] ?? 0)) {
      highHalf = ((highHalf << 4) | (lowHalf >>> 28)) >>> 0;
      lowHalf = ((lowHalf << 4) | digit) >>> 0;
    }
    const letter = bytes[at + 1] ?? 0;
    const well =
      at > line &&
      at - line <= 16 &&
      isSpace(bytes[at] ?? 0) &&
      (isLetter(letter) || letter === 0x3f) &&
      isSpace(bytes[at + 2] ?? 0);
    const end = bytes.indexOf(NEWLINE, at);
    line = end < 0 ? bytes.length : end + 1;
    if (well && !UNDEFINED.has(letter)) {
      if (withModules) modules[count] = cutModule(bytes, at + 3, line, moduleNumbers);
      if ((lowHalf | highHalf) !== 0) anywhere = true;
      low[count] = lowHalf;
      high[count] = highHalf;
      letters[count] = letter;
      nameStarts[count++] = at + 3;
    }
  }

  const columns: SymbolColumns = {
    low: low.subarray(0, count),
    high: high.subarray(0, count),
    letters: letters.subarray(0, count),
    nameStarts: nameStarts.subarray(0, count),
    names: bytes,
    modules: withModules ? modules.subarray(0, count) : undefined,
    moduleNames: moduleNumbers.names,
  };
  const table = new SymbolTable(source.name, columns, orderByAddress(columns.low, columns.high));
  const only = table.length === 1 ? table.name(0) : '';
  return { table, stub: only.startsWith(STUB) ? only : undefined, hidden: count > 0 && !anywhere };
}

/** Ends the name that starts at `start` at its tab, if the line has one. @returns the number of the module behind it. */
function cutModule(bytes: Uint8Array, start: number, end: number, numbers: ModuleNumbers): number {
  const line = bytes.subarray(start, end);
  const tab = line.indexOf(TAB);
  if (tab < 0) return 0;
  const name = /^\[([^\]\n]+)\]/.exec(latin1Of(line.subarray(tab + 1, tab + 66)))?.[1];
  if (name === undefined) return 0;
  line[tab] = 0;
  return numbers.of(name);
}
