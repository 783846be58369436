// Where a symbol file and the guest's memory become one: what is known of the guest's kernel for naming and unwinding. Prints nothing.
import type { Target } from '../../core/target/target.ts';
import { inLongMode, VirtualMemory } from '../../core/target/virtual-memory.ts';
import type { SourceFrame } from '../../symbols/dwarf/debug-info.ts';
import { guestBuildId, runningBuildId, runningRelease } from '../../symbols/kernel/identity.ts';
import { findKallsyms } from '../../symbols/kernel/kallsyms.ts';
import { kernelSlide, physicalBase } from '../../symbols/kernel/kaslr.ts';
import { LinuxGuest } from '../../symbols/kernel/linux-guest.ts';
import { attempt } from '../../symbols/kernel/linux-memory.ts';
import { SymbolTable, shifted } from '../../symbols/symbol-table.ts';
import { Symbolizer } from '../../symbols/symbolizer.ts';
import type { RowSource } from '../../symbols/unwind/row.ts';
import { codeTest } from './code-test.ts';
import { checkIdentity } from './identity.ts';
import type { KeptTraces } from './kept-traces.ts';
import { cfiRows, orcRows } from './kernel-rows.ts';
import { ModuleFiles } from './module-files.ts';
import { sourcePrefixes } from './source-text.ts';
import type { SymbolFile } from './symbol-file.ts';
import { type SearchOptions, searchStashInPlace, searchSymbols } from './symbol-search.ts';

export interface GuestKernel {
  /** Where the names come from, for messages; undefined when there are none. */
  readonly source: string | undefined;
  readonly file: SymbolFile | undefined;
  /** Of the guest, as its own memory has it. */
  readonly buildId: string | undefined;
  /** How far the kernel runs from where the file is linked; undefined when that is not known. */
  readonly slide: bigint | undefined;
  readonly physicalBase: bigint | undefined;
  /** Names of the kernel's image at run-time addresses. */
  readonly table: SymbolTable;
  /** Names of the image, the modules and the per-CPU variables. */
  readonly symbolizer: Symbolizer;
  readonly rows: readonly RowSource[];
  /** Asked for registers that the others do not tell. */
  readonly registerRows: readonly RowSource[];
  readonly isCode: (address: bigint) => boolean;
  /** Undefined when the kernel is not Linux, or nothing tells where its data is. */
  readonly linux: LinuxGuest | undefined;
  /** The kernel's half of memory, through the page tables of one vCPU. */
  readonly memory: VirtualMemory | undefined;
  /** Set where one thread is looked at more than once, in one way. */
  readonly traces?: KeptTraces;
  /** Where source lines of modules are: the files have to be found before lines() is asked, and closed. */
  readonly moduleFiles: ModuleFiles;
  /** File and line of an instruction, innermost inlined function first; none when it is not known. */
  lines(address: bigint): readonly SourceFrame[];
  /** What to leave out at the start of file names. */
  sourcePrefixes(): readonly string[];
  /** What a user should know although it goes on. */
  readonly warnings: readonly string[];
}

export interface LearnOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Take the file although it is another kernel's. */
  readonly force?: boolean;
  /** Without a file: look for one in the stash, the usual folders and at the debuginfod servers that the user named. */
  readonly search?: boolean;
  readonly progress?: (text: string) => void;
}

const NO_NAMES: SymbolTable = new SymbolTable(
  'no symbols',
  {
    low: new Uint32Array(),
    high: new Uint32Array(),
    letters: new Uint8Array(),
    nameStarts: new Uint32Array(),
    names: new Uint8Array(),
  },
  new Uint32Array(),
);

/** Memory of a vCPU that has the kernel mapped, as far as there is one. */
function kernelMemory(target: Target): VirtualMemory | undefined {
  const up = target.vcpus.flatMap(({ online, registers }) => (online && registers ? [registers] : []));
  const registers = up.find(inLongMode) ?? up[0];
  return registers && new VirtualMemory(target, registers);
}

/** Names that the guest carries in its own memory. */
const ownNames = (memory: VirtualMemory | undefined): SymbolTable | undefined =>
  memory && findKallsyms(memory);

/** How a file and the guest go together. */
interface Match {
  /** Undefined when it is not known how far the guest's kernel has moved. */
  readonly slide: bigint | undefined;
  /** Of the guest. */
  readonly buildId: string | undefined;
  readonly warnings: readonly string[];
}

/** @throws WrongSymbolsError when it is the file of another kernel, unless `force`. */
export function matchFile(
  file: SymbolFile,
  target: Target,
  force: boolean,
  memory: VirtualMemory | undefined = kernelMemory(target),
): Match {
  // Before a guest has turned paging on, its kernel is not yet where it is linked.
  if (!memory || memory.levels < 4 || file.table.length === 0)
    return { slide: undefined, buildId: undefined, warnings: [] };
  const { elf, table } = file;
  const addressOf = (name: string): bigint | undefined => table.addressOf(name);
  const slide = kernelSlide({ elf, addressOf }, { memory });
  // Where the file's names do not lie, the guest's own are asked.
  const names = slide === undefined ? ownNames(memory) : shifted(table, slide);
  const buildId =
    (elf && guestBuildId(elf, memory, slide)) ??
    (names && runningBuildId(memory, (name) => names.addressOf(name)));
  const warning = checkIdentity(file, buildId, { force, guestRuns: true });
  return { slide, buildId, warnings: warning === undefined ? [] : [warning] };
}

/** The file whose symbols are the guest's, from where such files are kept. */
async function searchFile(
  memory: VirtualMemory | undefined,
  own: SymbolTable | undefined,
  options: LearnOptions,
): Promise<SymbolFile | undefined> {
  if (!memory || !own) return undefined;
  const addressOf = (name: string): bigint | undefined => own.addressOf(name);
  const buildId = runningBuildId(memory, addressOf);
  const release = runningRelease(memory, addressOf);
  if (buildId === undefined && release === undefined) return undefined;
  return (await searchSymbols({ buildId, release }, options)).file;
}

/**
 * Everything about a guest's kernel, read as it is needed.
 * @throws WrongSymbolsError when `given` is the file of another kernel, unless forced.
 */
export async function learnKernel(
  target: Target,
  given: SymbolFile | undefined,
  options: LearnOptions,
): Promise<GuestKernel> {
  const memory = kernelMemory(target);
  const from = { target, memory, search: options };
  if (given && given.table.length > 0 && !given.isStub) return withFile(from, given, options.force === true);
  const inPlace = memory && options.search ? searchStashInPlace(memory, options) : undefined;
  if (inPlace) return withFile(from, inPlace, true);
  const own = ownNames(memory);
  const found = options.search ? await searchFile(memory, own, options) : undefined;
  return found ? withFile(from, found, true) : withoutFile(from, own);
}

/** The same without a search. @throws WrongSymbolsError */
export function knownKernel(target: Target, file: SymbolFile | undefined, force: boolean): GuestKernel {
  const memory = kernelMemory(target);
  const from = { target, memory, search: { env: {} } };
  return file ? withFile(from, file, force) : withoutFile(from, ownNames(memory));
}

/** What everything is read from. */
interface Sources {
  readonly target: Target;
  readonly memory: VirtualMemory | undefined;
  readonly search: SearchOptions;
}

function withFile(from: Sources, file: SymbolFile, force: boolean): GuestKernel {
  const match = matchFile(file, from.target, force, from.memory);
  return compose({ ...from, file, match, table: shifted(file.table, match.slide ?? 0n) });
}

function withoutFile(from: Sources, own: SymbolTable | undefined): GuestKernel {
  const { memory } = from;
  const buildId = own && memory && runningBuildId(memory, (name) => own.addressOf(name));
  const match = { slide: undefined, buildId, warnings: [] };
  return compose({ ...from, file: undefined, match, table: own ?? NO_NAMES });
}

interface Parts extends Sources {
  readonly file: SymbolFile | undefined;
  readonly match: Match;
  readonly table: SymbolTable;
}

function compose({ target, memory, search, file, match, table }: Parts): GuestKernel {
  const { slide, buildId, warnings } = match;
  const addressOf = (name: string): bigint | undefined => table.addressOf(name);
  const isLinux = memory !== undefined && addressOf('linux_banner') !== undefined;
  const linux = isLinux ? new LinuxGuest({ memory, addressOf, physical: target }) : undefined;
  const start = addressOf('_text') ?? addressOf('_stext');
  const physical = start !== undefined && isLinux ? attempt(() => memory.translate(start)).value : undefined;
  const symbolizer = new Symbolizer(table, {
    modules: linux?.modules().value,
    perCpuOffsets: perCpuOffsets(linux),
  });
  const release = memory && isLinux ? runningRelease(memory, addressOf) : undefined;
  const moduleFiles = new ModuleFiles(release, search);
  let prefixes: readonly string[] | undefined;
  const cfi = file?.elf ? [cfiRows(file.elf, slide ?? 0n)] : [];
  return {
    source: table.length > 0 ? table.source : undefined,
    file,
    buildId,
    slide,
    physicalBase: physical === undefined || start === undefined ? undefined : physicalBase(start, physical),
    table,
    symbolizer,
    rows: [...orcRows({ elf: file?.elf, slide: slide ?? 0n, memory, addressOf, linux }), ...cfi],
    registerRows: cfi,
    isCode: codeTest({ table, symbolizer, memory }),
    linux,
    memory,
    moduleFiles,
    lines: (address) => {
      if (!linux?.moduleAt(address)) return file?.debugInfo?.lookup(address - (slide ?? 0n)) ?? [];
      const hit = symbolizer.symbolize(address);
      return hit ? moduleFiles.lines(hit) : [];
    },
    sourcePrefixes() {
      prefixes ??= file ? sourcePrefixes(file) : [];
      return prefixes;
    },
    warnings: [...(file?.warnings ?? []), ...warnings],
  };
}

function perCpuOffsets(linux: LinuxGuest | undefined): bigint[] {
  const offsets = linux?.perCpu.value?.offsets;
  // The symbolizer counts CPUs by place: one that is missing stands nowhere.
  const last = Math.max(-1, ...(offsets?.keys() ?? []));
  return Array.from({ length: last + 1 }, (_, cpu) => offsets?.get(cpu) ?? 0n);
}
