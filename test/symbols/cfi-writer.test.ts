// Rows written as call frame information: our own reader, which is held to readelf and to gdb, has them back.
import { describe, expect, test } from 'vitest';
import { hostCodecs } from '../../core/host/codecs.ts';
import { memorySource } from '../../symbols/bytes.ts';
import { openElf } from '../../symbols/elf/elf-file.ts';
import { CfiWriter } from '../../symbols/unwind/cfi-writer.ts';
import { cfiFromElf } from '../../symbols/unwind/dwarf-cfi.ts';
import type { RowRegister, UnwindRow } from '../../symbols/unwind/row.ts';
import { SHT_PROGBITS, writeSectionFile } from '../../tools/pvh-report/section-file.ts';

const START = 0xffffffff81000000n;
const row = (given: Partial<UnwindRow>): UnwindRow => ({
  how: 'orc',
  kind: 'call',
  cfa: { base: 'rsp', offset: 8, load: 'none' },
  saved: {},
  signal: false,
  ...given,
});

/** Each row for 0x10 bytes from START on, and what is found again. */
function again(...rows: readonly UnwindRow[]): (UnwindRow | undefined)[] {
  const writer = new CfiWriter();
  const addressed = [...rows, row({})].map((each, index) => ({
    address: START + 16n * BigInt(index),
    row: each,
  }));
  writer.add(addressed);
  const file = writeSectionFile(3, [{ name: '.debug_frame', type: SHT_PROGBITS, bytes: writer.bytes }]);
  const sections = cfiFromElf(openElf(memorySource('written', file), hostCodecs));
  return rows.map((_, index) => {
    const pc = START + 16n * BigInt(index) + 15n;
    return sections.map((section) => section.find(pc)).find((found) => found);
  });
}

const cfas = [
  { base: 'rsp', offset: 8 },
  { base: 'rsp', offset: 4096 },
  { base: 'rbp', offset: 16 },
  { base: 'r10', offset: 0 },
  { base: 'r13', offset: 8 },
] as const satisfies readonly { base: RowRegister; offset: number }[];

describe('rows as call frame information', () => {
  test('where the frame begins, one row after the other', () => {
    const rows = cfas.map((cfa) => row({ cfa: { ...cfa, load: 'none' } }));
    for (const [index, found] of again(...rows).entries()) {
      expect(found).toMatchObject({ kind: 'call', cfa: { ...cfas[index], load: 'none' } });
      expect(found?.returnAddress ?? { base: 'cfa', offset: -8 }).toEqual({ base: 'cfa', offset: -8 });
    }
  });

  test('registers that a function must keep are known as long as it has no stack', () => {
    const [leaf, other] = again(row({}), row({ cfa: { base: 'rsp', offset: 16, load: 'none' } }));
    expect(leaf?.saved.rbx).toBeUndefined();
    expect(leaf?.saved.rax).toBe('lost');
    for (const name of ['rbx', 'r12', 'r13', 'r14', 'r15', 'rax'] as const)
      expect(other?.saved[name]).toBe('lost');
  });

  test('a whole pt_regs, what the processor pushes, the end, and nothing', () => {
    const cfa = { base: 'rsp', offset: 0, load: 'none' } as const;
    const [registers, iret, end, none, call] = again(
      row({ kind: 'registers', cfa, signal: true }),
      row({ kind: 'iret frame', cfa, signal: true }),
      row({ kind: 'end', cfa }),
      row({ kind: 'unknown', cfa }),
      row({}),
    );
    expect(registers).toMatchObject({
      signal: true,
      returnAddress: { base: 'cfa', offset: 128 },
      saved: { rsp: { base: 'cfa', offset: 152 }, rbx: { base: 'cfa', offset: 40 } },
    });
    expect(iret).toMatchObject({
      signal: true,
      returnAddress: { base: 'cfa', offset: 0 },
      saved: { rsp: { base: 'cfa', offset: 24 } },
    });
    expect(iret?.saved.rbx).toBeUndefined();
    expect(end?.kind).toBe('end');
    expect(none).toBeUndefined();
    expect(call?.kind).toBe('call');
  });
});
