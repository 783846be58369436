// Loaded modules of a guest (linux include/linux/module.h): where they lie, their symbols, unwind tables and build-ids.
import { buildIdOf, parseNotes } from '../elf/notes.ts';
import { FormatError } from '../errors.ts';
import type { SymbolTable } from '../symbol-table.ts';
import type { OrcTables } from '../unwind/orc.ts';
import { attempt, type LinuxMemory, type ListDamage, walkList } from './linux-memory.ts';
import { readModuleSymbols, type SymbolRoom, symbolRoom } from './module-symbols.ts';
import { moduleTaintLetters } from './taints.ts';

const MAX_MODULES = 4096;
/** The module area has 1.5 GiB; no module has a range this large. */
const MAX_RANGE = 256 << 20;
/** MODULE_NAME_LEN. */
const MAX_NAME = 56;
const MAX_ORC_ENTRIES = 1 << 22;
/** Note sections of a module: some three. */
const MAX_NOTES = 16;
const MAX_NOTE = 4096n;

export type ModuleState = 'live' | 'coming' | 'going' | 'unformed';
const STATES: readonly ModuleState[] = ['live', 'coming', 'going', 'unformed'];

/** In the order of `enum mod_mem_type`; before 6.4 (ac3b43283923) one range of each phase held all. */
const MEMORY_KINDS = [
  'text',
  'data',
  'rodata',
  'ro-after-init',
  'init text',
  'init data',
  'init rodata',
] as const;
export type ModuleRangeKind = (typeof MEMORY_KINDS)[number] | 'core' | 'init';

export interface ModuleRange {
  readonly kind: ModuleRangeKind;
  readonly base: bigint;
  /** Bytes. */
  readonly size: number;
}

export interface GuestModule {
  /** Of its struct module. */
  readonly address: bigint;
  readonly name: string;
  readonly state: ModuleState;
  /** Letters as in `[last unloaded: ...]` lines and /proc/modules, without brackets: `OE`. */
  readonly taints: string;
  /** Ranges that are not empty. Init ranges are gone once the module is live. */
  readonly ranges: readonly ModuleRange[];
  /** Names by run-time address. @throws FormatError or MemoryFault when they cannot be read. */
  symbols(): SymbolTable;
  /** Unwind tables; undefined when the kernel has none. @throws as symbols(). */
  orc(): OrcTables | undefined;
  /** GNU build-id, lower-case hex, for the search of a debug file. @throws as symbols(). */
  buildId(): string | undefined;
}

/** True when an address lies in one of the module's ranges. */
export const holdsAddress = ({ ranges }: GuestModule, address: bigint): boolean =>
  ranges.some(({ base, size }) => address >= base && address < base + BigInt(size));

/**
 * Modules, the one loaded last first.
 * @param onDamage is told when the list could not be followed to its end.
 * @throws FormatError or MemoryFault when there is no list.
 */
export function listModules(linux: LinuxMemory, onDamage: (damage: ListDamage) => void): GuestModule[] {
  const head = linux.address('modules');
  const toList = linux.offset('module', 'list');
  const modules: GuestModule[] = [];
  const room = symbolRoom();
  for (const link of walkList(linux, head, MAX_MODULES, onDamage)) {
    const module = attempt(() => readModule(linux, link - toList, room));
    if (module.value) modules.push(module.value);
    else onDamage({ address: link, reason: module.missing ?? '' });
  }
  return modules;
}

function readModule(linux: LinuxMemory, address: bigint, room: SymbolRoom): GuestModule {
  const name = linux.reader.text(address + linux.offset('module', 'name'), MAX_NAME);
  const ranges = moduleRanges(linux, address);
  return {
    address,
    name,
    state: STATES[linux.u32(address, 'module', 'state')] ?? 'unformed',
    taints: moduleTaintLetters(linux.u64(address, 'module', 'taints')),
    ranges,
    symbols: () => readModuleSymbols(linux, address, name, ranges, room),
    orc: () => moduleOrc(linux, address),
    buildId: () => moduleBuildId(linux, address),
  };
}

function moduleRanges(linux: LinuxMemory, module: bigint): ModuleRange[] {
  const found = linux.has('module', 'mem')
    ? memoryRanges(linux, module)
    : linux.has('module', 'core_layout')
      ? layoutRanges(linux, module)
      : // Until 4.4 (7523e4dc5057).
        (['core', 'init'] as const).map((kind) => ({
          kind,
          base: linux.u64(module, 'module', `module_${kind}`),
          size: linux.u32(module, 'module', `${kind}_size`),
        }));
  const ranges = found.filter(({ size, base }) => size > 0 && base !== 0n);
  for (const { size, kind } of ranges)
    if (size > MAX_RANGE) throw new FormatError(`a module with ${size} bytes of ${kind}`);
  return ranges;
}

function memoryRanges(linux: LinuxMemory, module: bigint): ModuleRange[] {
  const first = module + linux.offset('module', 'mem');
  const size = BigInt(linux.size('module_memory'));
  return MEMORY_KINDS.map((kind, index) => {
    const memory = first + BigInt(index) * size;
    return {
      kind,
      base: linux.u64(memory, 'module_memory', 'base'),
      size: linux.u32(memory, 'module_memory', 'size'),
    };
  });
}

const layoutRanges = (linux: LinuxMemory, module: bigint): ModuleRange[] =>
  (['core', 'init'] as const).map((kind) => ({
    kind,
    base: linux.u64(module, 'module', `${kind}_layout.base`),
    size: linux.u32(module, 'module', `${kind}_layout.size`),
  }));

/** The format is the kernel's own: its .orc_header speaks for the modules too. */
function moduleOrc(linux: LinuxMemory, module: bigint): OrcTables | undefined {
  if (!linux.has('module', 'arch.orc_unwind_ip')) return undefined;
  const count = linux.u32(module, 'module', 'arch.num_orcs');
  const ips = linux.u64(module, 'module', 'arch.orc_unwind_ip');
  const entries = linux.u64(module, 'module', 'arch.orc_unwind');
  if (count === 0) return undefined;
  if (count > MAX_ORC_ENTRIES) throw new FormatError(`a module with ${count} unwind entries`);
  const header = linux.find('__start_orc_header');
  return {
    ipAddress: ips,
    count,
    readIps: (offset, length) => linux.reader.bytes(ips + BigInt(offset), length),
    readEntries: (offset, length) => linux.reader.bytes(entries + BigInt(offset), length),
    header: header === undefined ? undefined : linux.reader.bytes(header, 20),
  };
}

/** Addresses of the note sections' attributes, which sysfs shows (CONFIG_SYSFS). */
function* noteAttributes(linux: LinuxMemory, notes: bigint): Generator<bigint> {
  const type = 'module_notes_attrs';
  const first = notes + linux.offset(type, 'attrs');
  // A count until 6.13, then an attribute group whose pointers end with a null (4723f16de64e).
  if (linux.has(type, 'notes')) {
    const count = Math.min(linux.u32(notes, type, 'notes'), MAX_NOTES);
    const size = BigInt(linux.size('bin_attribute'));
    for (let index = 0; index < count; index++) yield first + BigInt(index) * size;
    return;
  }
  const pointers = linux.u64(notes, type, 'grp.bin_attrs');
  for (let index = 0; index < MAX_NOTES; index++) {
    const attribute = linux.reader.u64(pointers + BigInt(index * 8));
    if (attribute === 0n) return;
    yield attribute;
  }
}

function moduleBuildId(linux: LinuxMemory, module: bigint): string | undefined {
  const notes = linux.u64(module, 'module', 'notes_attrs');
  if (notes === 0n) return undefined;
  for (const attribute of noteAttributes(linux, notes)) {
    const length = linux.u64(attribute, 'bin_attribute', 'size');
    if (length > MAX_NOTE) continue;
    const bytes = linux.reader.bytes(linux.u64(attribute, 'bin_attribute', 'private'), Number(length));
    const id = buildIdOf(parseNotes('notes of a module', bytes));
    if (id !== undefined) return id;
  }
  return undefined;
}
