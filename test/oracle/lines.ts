// Lines and inlined functions against elfutils and LLVM: random addresses inside of text symbols, judged wherever those two agree.
import { spawnSync } from 'node:child_process';
import { hostCodecs } from '../../core/host/codecs.ts';
import { FileSource } from '../../core/host/file-source.ts';
import { hex16 } from '../../symbols/address.ts';
import { openDebugInfo, type SourceFrame } from '../../symbols/dwarf/debug-info.ts';
import { openElf } from '../../symbols/elf/elf-file.ts';
import { readSymbolTable } from '../../symbols/elf/symtab.ts';
import type { SymbolTable } from '../../symbols/symbol-table.ts';
import { Random } from './random.ts';

/** One frame: `function` and `path:line:column`, each `??` when unknown; column 0 is left out. */
export interface PlainFrame {
  readonly name: string;
  readonly place: string;
}

export interface Disagreement {
  readonly address: string;
  readonly what: 'function' | 'line' | 'chain';
  readonly ours: readonly PlainFrame[];
  readonly theirs: readonly PlainFrame[];
}

export interface LinesReport {
  /** How many addresses elfutils and LLVM agree about: innermost function, innermost file:line:column, the whole chain. */
  readonly agreed: { function: number; line: number; chain: number };
  /** Where we differ from what they agree about. */
  readonly wrong: Disagreement[];
}

function run(program: string, args: readonly string[], input: string): string {
  const { stdout, status, error } = spawnSync(program, args, { input, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (error || status !== 0) throw error ?? new Error(`${program} ended with ${status}`);
  return stdout;
}

/** Random places in random text symbols. */
export function randomAddresses(table: SymbolTable, count: number, seed: number): bigint[] {
  const random = new Random(seed);
  const text = Array.from({ length: table.length }, (_, index) => index).filter(
    (index) => /[tT]/.test(table.letter(index)) && table.size(index) > 0,
  );
  return Array.from({ length: count }, () => {
    const index = random.pick(text);
    return table.address(index) + BigInt(random.below(table.size(index)));
  });
}

const plainName = (name: string): string =>
  // elfutils tells in the name where it was inlined; both may name a clone by its symbol.
  name.replace(/ inlined at .*/, '').replace(/\.(constprop|isra|part|cold|llvm)(\.\d+)?(?=\.|$)/g, '');

function plainPlace(place: string): string {
  if (place.startsWith('??')) return '??';
  return place
    .replace(/ \(discriminator.*/, '')
    .replace(/(:0)?:0$|:0$/, '')
    .replace(/\/{2,}/g, '/');
}

function framesOf(lines: readonly string[]): PlainFrame[] {
  const frames: PlainFrame[] = [];
  for (let i = 0; i + 1 < lines.length; i += 2)
    frames.push({ name: plainName(lines[i] ?? ''), place: plainPlace(lines[i + 1] ?? '') });
  return frames;
}

/** One block of lines an address: `eu-addr2line -a` puts the address before it. */
function askElfutils(path: string, addresses: readonly string[]): PlainFrame[][] {
  const text = run('eu-addr2line', ['-e', path, '-a', '-i', '-f'], addresses.join('\n'));
  const blocks = text.split(/^0x[0-9a-f]{16}$/m).slice(1);
  return blocks.map((block) => framesOf(block.split('\n').filter((line) => line !== '')));
}

/** One block of lines an address, an empty line behind it. */
function askLlvm(path: string, addresses: readonly string[]): PlainFrame[][] {
  const text = run('llvm-symbolizer', [`--obj=${path}`, '--inlines', '--no-demangle'], addresses.join('\n'));
  const blocks = text.split('\n\n').slice(0, addresses.length);
  return blocks.map((block) => framesOf(block.split('\n')));
}

const ourFrame = ({ function: name, file, line, column }: SourceFrame): PlainFrame => ({
  name: plainName(name ?? '??'),
  place: plainPlace(file === undefined ? '??' : `${file}:${line ?? 0}:${column ?? 0}`),
});

/** Names of all symbols that hold an address: where DWARF has none, both peers take the name of one of them. */
function symbolNames(table: SymbolTable, address: bigint): Set<string> {
  const names = new Set<string>();
  for (let index = table.lowerBound(address + 1n) - 1, back = 0; index >= 0 && back < 64; index--, back++) {
    const start = table.address(index);
    if (address < start + BigInt(table.size(index)) || address === start)
      names.add(plainName(table.name(index)));
  }
  return names;
}

const same = (a: readonly PlainFrame[], b: readonly PlainFrame[]): boolean =>
  a.length === b.length && a.every(({ name, place }, i) => name === b[i]?.name && place === b[i]?.place);

/** Compares at `count` random addresses; the same seed gives the same ones. @throws Error when a peer is not installed. */
export function compareLines(path: string, count: number, seed: number): LinesReport {
  const source = new FileSource(path);
  const elf = openElf(source, hostCodecs);
  const table = readSymbolTable(elf);
  const info = openDebugInfo(elf);
  if (!table || !info) throw new Error(`${path} has no symbols or no debug information`);
  const addresses = randomAddresses(table, count, seed);
  const texts = addresses.map((address) => `0x${hex16(address)}`);
  const elfutils = askElfutils(path, texts);
  const llvm = askLlvm(path, texts);
  const report: LinesReport = { agreed: { function: 0, line: 0, chain: 0 }, wrong: [] };
  addresses.forEach((address, index) => {
    const [a = [], b = []] = [elfutils[index], llvm[index]];
    const found = info.lookup(address).map(ourFrame);
    const ours = found.length > 0 ? found : [{ name: '??', place: '??' }];
    const outermost = ours.at(-1);
    const theirs = b.at(-1)?.name ?? '??';
    if (outermost?.name === '??' && symbolNames(table, address).has(theirs))
      ours[ours.length - 1] = { ...outermost, name: theirs };
    const judge = (what: Disagreement['what'], agreed: boolean, right: boolean): void => {
      if (agreed) report.agreed[what]++;
      if (agreed && !right) report.wrong.push({ address: texts[index] ?? '', what, ours, theirs: b });
    };
    judge('function', a[0]?.name === b[0]?.name, ours[0]?.name === b[0]?.name);
    judge('line', a[0]?.place === b[0]?.place, ours[0]?.place === b[0]?.place);
    judge('chain', same(a, b), same(ours, b));
  });
  source.close();
  return report;
}
