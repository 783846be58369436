// DWARF call frame information (DWARF 5 §6.4, and .eh_frame of the LSB): from an address to a row.
import { type ElfFile, findSection } from '../elf/elf-file.ts';
import { readRelocated } from '../elf/relocate.ts';
import { FormatError } from '../errors.ts';
import { orderByAddress } from '../symbol-table.ts';
import { type CfiRules, type RegisterRule, rulesAt } from './cfi-rules.ts';
import { CfiEntries, type CfiSection, type CommonEntry } from './cfi-section.ts';
import type { CfaRule, Computed, RowRegister, RowSource, SavedRule, UnwindRow } from './row.ts';

/** DWARF register numbers of x86-64 (psABI figure 3.36); 16 would be the return address. */
const REGISTERS_64: readonly RowRegister[] = [
  'rax',
  'rdx',
  'rcx',
  'rbx',
  'rsi',
  'rdi',
  'rbp',
  'rsp',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];
/** Those of i386 (psABI i386 table 2.14); 8 would be the return address. */
const REGISTERS_32: readonly RowRegister[] = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'];

const MAX_SECTION = 256 << 20;
/** A kernel has 100,000. */
const MAX_FUNCTIONS = 1 << 20;

const UNKNOWN: UnwindRow = {
  how: 'cfi',
  kind: 'unknown',
  cfa: { base: 'rsp', offset: 0, load: 'none' },
  saved: {},
  signal: false,
};

function savedRule(rule: RegisterRule, numbering: readonly RowRegister[]): SavedRule {
  switch (rule.rule) {
    case 'offset':
      return { base: 'cfa', offset: rule.offset };
    case 'value offset':
      return { base: 'cfa', offset: rule.offset, value: true };
    case 'register': {
      const base = numbering[rule.register];
      return base ? { base, offset: 0, value: true } : 'lost';
    }
    case 'expression':
    case 'value expression':
      return { expression: rule.expression, numbering, value: rule.rule === 'value expression' };
    case 'undefined':
      return 'lost';
  }
}

function toRow({ cfa, registers }: CfiRules, common: CommonEntry): UnwindRow {
  const numbering = common.bits === 64 ? REGISTERS_64 : REGISTERS_32;
  const returnRule = registers.get(common.returnRegister);
  if (returnRule?.rule === 'undefined') return { ...UNKNOWN, kind: 'end' };
  const frame = cfa && cfaOf(cfa, numbering);
  // Without a rule the return address would be in a register of its own, which x86 has not.
  const back = returnRule && savedRule(returnRule, numbering);
  if (!frame || !back || back === 'lost' || ('value' in back && !('expression' in back))) return UNKNOWN;
  const saved: Partial<Record<RowRegister, SavedRule>> = {};
  for (const [register, rule] of registers) {
    const name = numbering[register];
    if (name) saved[name] = savedRule(rule, numbering);
  }
  return { how: 'cfi', kind: 'call', cfa: frame, saved, returnAddress: back, signal: common.signal };
}

function cfaOf(
  cfa: NonNullable<CfiRules['cfa']>,
  numbering: readonly RowRegister[],
): CfaRule | Computed | undefined {
  if ('expression' in cfa) return { expression: cfa.expression, numbering, value: true };
  const base = numbering[cfa.register];
  return base && { base, offset: cfa.offset, load: 'none' };
}

interface Index {
  readonly starts: BigUint64Array;
  readonly ends: BigUint64Array;
  readonly offsets: Uint32Array;
}

/** Rows of one .debug_frame or .eh_frame. The index of its functions is made at the first question. */
export class CfiRows implements RowSource {
  readonly #section: CfiSection;
  readonly #entries: CfiEntries;
  #index: Index | undefined;

  constructor(section: CfiSection) {
    this.#section = section;
    this.#entries = new CfiEntries(section);
  }

  find(pc: bigint): UnwindRow | undefined {
    this.#index ??= this.#makeIndex();
    const { starts, ends, offsets } = this.#index;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((starts[middle] ?? 0n) <= pc) low = middle + 1;
      else high = middle;
    }
    const found = low - 1;
    if (found < 0 || pc >= (ends[found] ?? 0n)) return undefined;
    try {
      const entry = this.#entries.functionAt(offsets[found] ?? 0);
      return entry && toRow(rulesAt(this.#section.name, entry, pc), entry.common);
    } catch (error) {
      if (error instanceof FormatError) return undefined;
      throw error;
    }
  }

  #makeIndex(): Index {
    const found: { start: bigint; end: bigint; offset: number }[] = [];
    try {
      for (const entry of this.#entries.functions()) {
        if (found.length === MAX_FUNCTIONS) break;
        found.push(entry);
      }
    } catch (error) {
      // What was read until the damage serves.
      if (!(error instanceof FormatError)) throw error;
    }
    const low = Uint32Array.from(found, ({ start }) => Number(start & 0xffffffffn));
    const high = Uint32Array.from(found, ({ start }) => Number(start >> 32n));
    const starts = new BigUint64Array(found.length);
    const ends = new BigUint64Array(found.length);
    const offsets = new Uint32Array(found.length);
    let count = 0;
    for (const row of orderByAddress(low, high)) {
      const entry = found[row];
      if (!entry) continue;
      starts[count] = entry.start;
      ends[count] = entry.end;
      offsets[count++] = entry.offset;
    }
    return { starts, ends, offsets };
  }
}

/** Rows that are opened at the first question. A section that cannot be read has none. */
function lazily(open: () => RowSource): RowSource {
  let rows: RowSource | undefined;
  const find = (pc: bigint): UnwindRow | undefined => {
    try {
      rows ??= open();
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      rows = { find: () => undefined };
    }
    return rows.find(pc);
  };
  return { find };
}

/** Tables of an ELF file: .debug_frame before .eh_frame. A relocatable file has to have its sections placed. */
export function cfiFromElf(elf: ElfFile): RowSource[] {
  return ['.debug_frame', '.eh_frame'].flatMap((name) => {
    const section = findSection(elf, name);
    if (!section || section.size === 0 || section.size > MAX_SECTION) return [];
    const rows = lazily(
      () =>
        new CfiRows({
          name,
          bytes: readRelocated(elf, section),
          address: section.address,
          isEh: name === '.eh_frame',
          bits: elf.bits,
          textAddress: findSection(elf, '.text')?.address,
          dataAddress: findSection(elf, '.got')?.address,
        }),
    );
    return [rows];
  });
}
