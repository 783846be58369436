// Source lines in words: `(kernel/panic.c:278)`, and the functions that were inlined. Finds none: symbols/dwarf does.
import type { SourceFrame } from '../../symbols/dwarf/source-frame.ts';
import type { SymbolTable } from '../../symbols/symbol-table.ts';
import { cleanText } from './clean-text.ts';
import type { SymbolFile } from './symbol-file.ts';

export interface SourceText {
  /** `kernel/panic.c:278`; for code of an inlined function `get_current at arch/x86/include/asm/current.h:15`. */
  readonly place: string;
  /** One for each function that it was inlined into, outwards: `schedule at kernel/sched/core.c:6657`. */
  readonly inlinedBy: readonly string[];
}

/** Without `folder/..`, which assembler files have in their names. */
function straight(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/'))
    if (part === '..' && parts.length > 0 && !/^(?:\.\.|)$/.test(parts.at(-1) ?? '')) parts.pop();
    else parts.push(part);
  return parts.join('/');
}

function placeOf({ file, line }: SourceFrame, prefixes: readonly string[]): string {
  if (file === undefined) return '?';
  const prefix = prefixes.find((each) => file.startsWith(each)) ?? '';
  const short = straight(file.slice(prefix.length));
  return cleanText(line === undefined ? short : `${short}:${line}`);
}

/**
 * Words for what DebugInfo.lookup gives; undefined when that is nothing.
 * @param prefixes what is left out at the start of file names: sourcePrefixes, or what the user says.
 */
export function sourceText(
  frames: readonly SourceFrame[],
  prefixes: readonly string[],
): SourceText | undefined {
  const [innermost, ...outer] = frames;
  if (innermost?.file === undefined) return undefined;
  const named = (frame: SourceFrame): string =>
    `${cleanText(frame.function ?? '?')} at ${placeOf(frame, prefixes)}`;
  return {
    place: outer.length === 0 ? placeOf(innermost, prefixes) : named(innermost),
    inlinedBy: outer.map(named),
  };
}

/** Functions that every kernel has, and where. Debian builds C and assembler files under different names of one folder. */
const LANDMARKS: readonly (readonly [name: string, file: string])[] = [
  ['panic', 'kernel/panic.c'],
  ['vpanic', 'kernel/panic.c'],
  ['start_kernel', 'init/main.c'],
  ['entry_SYSCALL_64', 'arch/x86/entry/entry_64.S'],
];

/** What stands before `kernel/panic.c` in a kernel's file names: the folders where it was built; none when that cannot be told. */
export function sourcePrefixes({ table, debugInfo }: Pick<SymbolFile, 'table' | 'debugInfo'>): string[] {
  const prefixes = LANDMARKS.flatMap(([name, file]) => {
    const address = debugInfo && table.addressOf(name);
    const found = address === undefined ? undefined : debugInfo?.lookup(address).at(-1)?.file;
    return found?.endsWith(`/${file}`) ? [found.slice(0, -file.length)] : [];
  });
  return [...new Set(prefixes)];
}

/** Functions are filled up to a multiple of 16 bytes, some to 64; sections end at pages. */
const MAX_FILL = 4096n;

/**
 * Address of the function that a kernel calls `name+0x.../size`. The size tells functions of one name apart: it reaches to the next
 * symbol, so it is the function's own and what fills up behind it. Undefined when none, or more than one, can be meant.
 */
export function functionAddress(table: SymbolTable, name: string, size: bigint): bigint | undefined {
  const possible = new Map<bigint, boolean>();
  for (const index of table.findAll(name)) {
    const address = table.address(index);
    const own = BigInt(table.size(index));
    const next = table.lowerBound(address + 1n);
    const reach = next < table.length ? table.address(next) - address : own;
    const exact = size === own || size === reach;
    if (exact || (own <= size && size - own < MAX_FILL))
      possible.set(address, exact || possible.get(address) === true);
  }
  const exact = [...possible].filter(([, isExact]) => isExact);
  const [only, another] = exact.length > 0 ? exact : [...possible];
  return another === undefined ? only?.[0] : undefined;
}
