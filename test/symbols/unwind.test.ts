import { describe, expect, test } from 'vitest';
import { memorySource } from '../../symbols/bytes.ts';
import { openElf } from '../../symbols/elf/elf-file.ts';
import { MemoryFault } from '../../symbols/errors.ts';
import type { MemorySource } from '../../symbols/memory.ts';
import { cfiFromElf } from '../../symbols/unwind/dwarf-cfi.ts';
import { decodeOrcEntry, orcFromElf, orcFromMemory } from '../../symbols/unwind/orc.ts';
import type { RowSource, UnwindRow } from '../../symbols/unwind/row.ts';
import { type UnwindStart, unwind } from '../../symbols/unwind/unwinder.ts';
import { writeElf } from '../support/elf-writer.ts';
import { callRow, rowsFrom } from '../support/unwind-rows.ts';

const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));
const HEADER_2 = bytesOf('db84aed4103b31dd51e017f8f79783ca985c2c51');
const HEADER_3 = bytesOf('fe5d32bf581bd63b2ca9a5c65ba5a625eab3fe24');
const HEADER_4 = bytesOf('137c36ad7627c4dd55932176bb0ecdbd5041fc82');

/** An orc_entry of the given fields. */
function orc(spOffset: number, bpOffset: number, flags: number): Uint8Array {
  const bytes = new Uint8Array(6);
  const view = new DataView(bytes.buffer);
  view.setInt16(0, spOffset, true);
  view.setInt16(2, bpOffset, true);
  view.setUint16(4, flags, true);
  return bytes;
}

/** The row that tables in guest memory give where the kernel has these symbols beside. */
function rowOfMemory(entry: Uint8Array, symbols: readonly string[]): UnwindRow | undefined {
  const ips = new Uint8Array(8);
  new DataView(ips.buffer).setInt32(0, -0x1000, true);
  const at = 0xffffffff82000000n;
  const tables: Record<string, bigint> = {
    __start_orc_unwind_ip: at,
    __stop_orc_unwind_ip: at + 8n,
    __start_orc_unwind: at + 8n,
  };
  const bytes = Buffer.concat([ips, entry, entry]);
  const memory: MemorySource = {
    read: (address, into) =>
      into.set(bytes.subarray(Number(address - at), Number(address - at) + into.length)),
  };
  const addressOf = (name: string) => tables[name] ?? (symbols.includes(name) ? 1n : undefined);
  return orcFromMemory(memory, addressOf)?.find(at - 0x800n);
}

describe('orc_entry', () => {
  const none = undefined;
  test.each([
    [
      '1: sp+16, call',
      orc(16, 0, 0x005),
      none,
      { kind: 'call', cfa: { base: 'rsp', offset: 16, load: 'none' } },
    ],
    ['1: rbp at CFA-16', orc(24, -16, 0x015), none, { saved: { rbp: { base: 'cfa', offset: -16 } } }],
    ['1: registers', orc(0, 0, 0x105), none, { kind: 'registers', signal: true }],
    ['1: iret frame', orc(8, 0, 0x205), none, { kind: 'iret frame' }],
    ['1: end', orc(0, 0, 0x400), none, { kind: 'end' }],
    ['1: end of 6.3.0 to 6.3.9', orc(0, 0, 0x800), none, { kind: 'end' }],
    ['1: no information', orc(0, 0, 0), none, { kind: 'unknown' }],
    ['1: stack switch', orc(8, 0, 0x009), none, { cfa: { base: 'rsp', offset: 8, load: 'at base' } }],
    ['1: old stack in r10', orc(8, 0, 0x006), none, { cfa: { base: 'r10', offset: 8, load: 'none' } }],
    ['2: call', orc(16, -16, 0x015), HEADER_2, { kind: 'call', signal: false }],
    ['2: signal', orc(0, 0, 0x505), HEADER_2, { kind: 'registers', signal: true }],
    ['2: end', orc(0, 0, 0x800), HEADER_2, { kind: 'end' }],
    ['2: no information', orc(0, 0, 0), HEADER_2, { kind: 'unknown' }],
    ['3: call', orc(16, -16, 0x215), HEADER_3, { kind: 'call', signal: false }],
    ['3: end', orc(0, 0, 0x100), HEADER_3, { kind: 'end' }],
    ['3: undefined', orc(0, 0, 0), HEADER_3, { kind: 'unknown' }],
    ['3: signal', orc(8, 0, 0xc05), HEADER_3, { kind: 'iret frame', signal: true }],
    [
      '4: sp is 3, prev_sp is 8',
      orc(16, -16, 0x283),
      HEADER_4,
      { kind: 'call', cfa: { base: 'rsp', offset: 16, load: 'none' } },
    ],
  ])('format %s', (_, bytes, header, expected) => {
    expect(decodeOrcEntry(bytes, header)).toMatchObject(expected);
  });

  test.each([
    ['4: end', orc(0, 0, 0x100), { kind: 'end' }],
    ['4: rbp at CFA-16', orc(24, -16, 0x283), { saved: { rbp: { base: 'cfa', offset: -16 } } }],
    ['4: stack switch', orc(8, 0, 0x209), { cfa: { base: 'rsp', offset: 8, load: 'at base' } }],
    ['4: by rbp', orc(16, 0, 0x204), { cfa: { base: 'rbp', offset: 16, load: 'none' } }],
    ['4: signal', orc(8, 0, 0xc03), { kind: 'iret frame', signal: true }],
  ])('format %s', (_, bytes, expected) => {
    expect(decodeOrcEntry(bytes, HEADER_4)).toMatchObject(expected);
  });

  test.each([
    ['since 5.12', ['hardirq_stack_ptr', 'hardirq_stack_inuse'], 'at base'],
    ['6.2 to 6.14', ['pcpu_hot'], 'at base'],
    ['before 5.12', ['hardirq_stack_ptr'], 'at place'],
    ['before 5.8', ['irq_stack_union'], 'at place'],
  ])('stack switch %s', (_, symbols, load) => {
    const row = rowOfMemory(orc(8, 0, 0x009), symbols);
    expect(row?.cfa).toEqual({ base: 'rsp', offset: 8, load });
  });
  test('stack switch of a kernel that tells no data symbols', () => {
    expect(rowOfMemory(orc(8, 0, 0x009), [])?.kind).toBe('unknown');
  });

  test('an address belongs to the last entry at or below it', () => {
    const ipAddress = 0xffffffff82000000n;
    const functions = [0xffffffff81000000n, 0xffffffff81000100n, 0xffffffff81000200n];
    const ips = new Uint8Array(12);
    functions.forEach((address, index) => {
      const relative = address - (ipAddress + BigInt(index * 4));
      new DataView(ips.buffer).setInt32(index * 4, Number(BigInt.asIntN(32, relative)), true);
    });
    const data = Buffer.concat([orc(8, 0, 5), orc(16, 0, 5), orc(0, 0, 0)]);
    const elf = openElf(
      memorySource(
        'vmlinux',
        writeElf({
          sections: [
            { name: '.orc_unwind_ip', address: ipAddress, data: ips },
            { name: '.orc_unwind', data },
          ],
        }),
      ),
    );
    const rows = orcFromElf(elf);
    const offsetAt = (pc: bigint) => rows?.find(pc)?.cfa;
    expect([0xffffffff81000000n, 0xffffffff810000ffn, 0xffffffff81000100n].map(offsetAt)).toMatchObject([
      { offset: 8 },
      { offset: 8 },
      { offset: 16 },
    ]);
    expect(rows?.find(0xffffffff80ffffffn)).toBeUndefined();
    expect(rows?.find(0xffffffff81000200n)).toBeUndefined();
  });
});

const STACK = 0xffffc90000000000n;
const CODE = 0xffffffff81000000n;
const isCode = (address: bigint) => address >= CODE && address < CODE + 0x10000n;

/** Memory of 64-bit words; the rest is not in the dump. */
function words(values: Readonly<Record<number, bigint>>, base = STACK): MemorySource {
  return {
    read(address, into) {
      const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
      for (let at = 0; at < into.length; at += 8) {
        const value = values[Number(address - base) + at];
        if (value === undefined) throw new MemoryFault('virtual', address + BigInt(at), 'not in dump');
        view.setBigUint64(at, value, true);
      }
    },
  };
}

const rowsBy = (rows: readonly (UnwindRow | undefined)[]): RowSource => rowsFrom(CODE, rows);
const end = callRow(0, { kind: 'end' });

function trace(
  rows: readonly (UnwindRow | undefined)[],
  memory: MemorySource,
  start: Partial<UnwindStart> = {},
) {
  const from = { rip: CODE, registers: { rsp: STACK }, ...start };
  return [...unwind({ memory, rows: [rowsBy(rows)], isCode }, from)].map((step) => {
    if (step.kind === 'frame') return `${step.frame.how} ${(step.frame.address - CODE).toString(16)}`;
    if (step.kind === 'exception') return `exception ${(step.context.rip - CODE).toString(16)}`;
    return step.kind === 'end' ? step.end.why : step.kind;
  });
}

describe('unwind', () => {
  test('call by call to the end of the stack', () => {
    const memory = words({ 8: CODE + 0x110n, 32: CODE + 0x210n });
    expect(trace([callRow(16), callRow(24), end], memory)).toEqual([
      'registers 0',
      'orc 110',
      'orc 210',
      'end of stack',
    ]);
  });
  test('a return address at the start of the next function belongs to the one before', () => {
    const memory = words({ 0: CODE + 0x200n, 24: CODE + 0x310n });
    expect(trace([callRow(8), callRow(24), undefined, end], memory)).toEqual([
      'registers 0',
      'orc 200',
      'orc 310',
      'end of stack',
    ]);
  });
  test('over an interrupt stack: the old stack pointer lies at its top', () => {
    const memory = words({ 0: STACK + 0x1000n, 4096: CODE + 0x110n });
    const rows = [callRow(8, { cfa: { base: 'rsp', offset: 8, load: 'at base' } }), end];
    expect(trace(rows, memory)).toEqual(['registers 0', 'orc 110', 'end of stack']);
  });
  test('over pt_regs, whose address is looked up as it is', () => {
    const regs: Record<number, bigint> = {};
    for (let at = 0; at < 168; at += 8) regs[at] = 0n;
    regs[128] = CODE + 0x100n;
    regs[136] = 0x10n;
    regs[152] = STACK + 0x100n;
    regs[0x100] = CODE + 0x210n;
    const rows = [callRow(0, { kind: 'registers' }), callRow(8), end];
    expect(trace(rows, words(regs))).toEqual([
      'registers 0',
      'exception 100',
      'orc 100',
      'orc 210',
      'end of stack',
    ]);
  });
  test('user mode ends it', () => {
    const regs: Record<number, bigint> = { 0: 0x401000n, 8: 0x33n, 16: 0x202n, 24: 0x7fffn, 32: 0x2bn };
    expect(trace([callRow(0, { kind: 'iret frame' })], words(regs))).toEqual(['registers 0', 'user mode']);
  });
  test('a call through a bad pointer', () => {
    const memory = words({ 0: CODE + 0x10n });
    expect(trace([end], memory, { rip: 0x4141n })).toEqual([
      `registers ${(0x4141n - CODE).toString(16)}`,
      'scan 10',
      'end of stack',
    ]);
  });
  test('frame pointers where tables have nothing', () => {
    const memory = words({ 16: 0n, 24: CODE + 0x110n });
    const registers = { rsp: STACK, rbp: STACK + 16n };
    expect(trace([undefined, end], memory, { registers })).toEqual(['registers 0', 'fp 110', 'end of stack']);
  });
  test.each<[string, (UnwindRow | undefined)[], Record<number, bigint>, string]>([
    ['no information', [undefined], {}, 'no unwind information'],
    ['a row that does not know', [callRow(8, { kind: 'unknown' })], {}, 'no unwind information'],
    ['unmapped stack', [callRow(16)], {}, 'stack cannot be read'],
    ['overwritten return address', [callRow(8)], { 0: 0x41414141n }, 'return address is not code'],
    [
      'register that is lost',
      [callRow(8), callRow(8, { cfa: { base: 'r10', offset: 0, load: 'none' } })],
      { 0: CODE + 0x110n },
      'register is not known',
    ],
  ])('ends and says why: %s', (_, rows, memory, why) => {
    expect(trace(rows, words(memory)).at(-1)).toBe(why);
  });
  test('a stack that leads back to itself ends', () => {
    const memory = words({ 0: STACK, [-8]: CODE + 0x10n });
    const rows = [callRow(0, { cfa: { base: 'rsp', offset: 0, load: 'at base' } })];
    expect(trace(rows, memory)).toEqual(['registers 0', 'orc 10', 'stack goes in circles']);
  });
});

describe('DWARF call frame information', () => {
  const cie = (instructions: string) => {
    // version 1, no augmentation, code alignment 1, data alignment -8, return address 16
    const body = bytesOf(`ffffffff01000178${'10'}${instructions}`);
    return Buffer.concat([Uint8Array.of(body.length, 0, 0, 0), body]);
  };
  const fde = (start: bigint, length: number, instructions: string) => {
    const body = Buffer.alloc(20);
    body.writeBigUInt64LE(start, 4);
    body.writeBigUInt64LE(BigInt(length), 12);
    const code = bytesOf(instructions);
    return Buffer.concat([Uint8Array.of(20 + code.length, 0, 0, 0), body, code]);
  };
  const rowsOf = (...parts: Uint8Array[]) => {
    const data = Buffer.concat(parts);
    const [rows] = cfiFromElf(
      openElf(memorySource('vmlinux', writeElf({ sections: [{ name: '.debug_frame', data }] }))),
    );
    return rows;
  };
  // def_cfa rsp+8, return address at CFA-8
  const standard = cie('0c07089001');
  // push rbp: CFA+16, rbp at CFA-16; mov rsp,rbp: CFA by rbp; remember; pop: CFA rsp+8, rbp restored; restore_state
  const usual = fde(CODE, 0x40, '410e108602430d06420ac60c0708410b');
  test.each([
    [0n, { base: 'rsp', offset: 8 }, undefined],
    [1n, { base: 'rsp', offset: 16 }, -16],
    [4n, { base: 'rbp', offset: 16 }, -16],
    [6n, { base: 'rsp', offset: 8 }, undefined],
    [7n, { base: 'rbp', offset: 16 }, -16],
  ])('function+%i', (offset, cfa, rbp) => {
    const row = rowsOf(standard, usual)?.find(CODE + offset);
    expect(row).toMatchObject({ how: 'cfi', kind: 'call', cfa, returnAddress: { base: 'cfa', offset: -8 } });
    expect(row?.saved.rbp).toEqual(rbp === undefined ? undefined : { base: 'cfa', offset: rbp });
  });
  test('outside of all functions there is no row', () => {
    expect(rowsOf(standard, usual)?.find(CODE + 0x40n)).toBeUndefined();
  });
  test('an undefined return address ends the stack', () => {
    expect(rowsOf(standard, fde(CODE, 0x40, '0710'))?.find(CODE)?.kind).toBe('end');
  });
  test('an expression without a place for it in the frame is damage', () => {
    expect(rowsOf(standard, fde(CODE, 0x40, '0f0577'))?.find(CODE)).toBeUndefined();
  });
  test('expressions: CFA = [rbp-8], rbp at rbp+0, as GCC makes them in functions that align their stack', () => {
    const rows = rowsOf(standard, fde(CODE, 0x40, '0f03767806' + '1006027600'));
    const stack = words({ 8: STACK + 64n, 16: STACK + 0x80n, 56: CODE + 0x10n });
    const registers = { rsp: STACK, rbp: STACK + 16n };
    const context = { memory: stack, rows: rows ? [rows] : [], isCode };
    const frames = [...unwind(context, { rip: CODE, registers })].flatMap((step) =>
      step.kind === 'frame' ? [step.frame] : [],
    );
    expect(frames[1]).toMatchObject({
      address: CODE + 0x10n,
      how: 'cfi',
      stackAddress: STACK + 56n,
      registers: { rsp: STACK + 64n, rbp: STACK + 0x80n },
    });
  });
  test.each<[string, string, object]>([
    ['value offset', '140603', { rbp: { base: 'cfa', offset: -24, value: true } }],
    ['value offset, signed', '15067f', { rbp: { base: 'cfa', offset: 8, value: true } }],
    ['register', '090603', { rbp: { base: 'rbx', offset: 0, value: true } }],
    ['value expression', '16060176', { rbp: { value: true } }],
    ['undefined', '0706', { rbp: 'lost' }],
  ])('rule of a register: %s', (_, instructions, saved) => {
    expect(rowsOf(standard, fde(CODE, 0x40, instructions))?.find(CODE)).toMatchObject({
      kind: 'call',
      saved,
    });
  });
  test('version 4 of i386: addresses of 4 bytes, its own register numbers', () => {
    // no augmentation, address size 4, code alignment 1, data alignment -4, return address 8; def_cfa esp+4, return at CFA-4
    const common = bytesOf('ffffffff0400040001' + '7c08' + '0c0404' + '8801');
    const start = Buffer.alloc(12);
    start.writeUInt32LE(0xc0100000, 4);
    start.writeUInt32LE(0x40, 8);
    // push ebp at once: CFA+8, ebp at CFA-8
    const body = Buffer.concat([start, bytesOf('410e088502')]);
    const size = (bytes: Uint8Array) => Uint8Array.of(bytes.length, 0, 0, 0);
    const row = rowsOf(size(common), common, size(body), body)?.find(0xc0100004n);
    expect(row).toMatchObject({
      cfa: { base: 'rsp', offset: 8 },
      saved: { rbp: { base: 'cfa', offset: -8 } },
      returnAddress: { base: 'cfa', offset: -4 },
    });
  });
  test.each([
    ['absolute', 0x00, (start: bigint) => start],
    ['8 bytes, from its own place', 0x1c, (start: bigint, place: bigint) => start - place],
    ['from the text section', 0x24, (start: bigint) => start - CODE],
  ])('pointers of .eh_frame: %s', (_, encoding, value) => {
    const address = 0xffffffff82000000n;
    const common = Buffer.concat([
      bytesOf('0000000001' + '7a5200' + '017810' + '01'),
      Uint8Array.of(encoding),
    ]);
    const padded = Buffer.concat([common, bytesOf('0c07089001'), Buffer.alloc(-(common.length + 5) & 7)]);
    const body = Buffer.alloc(21);
    body.writeUInt32LE(padded.length + 8, 0);
    const place = address + BigInt(4 + padded.length + 8);
    body.writeBigUInt64LE(BigInt.asUintN(64, value(CODE + 0x100n, place)), 4);
    body.writeBigUInt64LE(0x40n, 12);
    const size = (bytes: Uint8Array) => Uint8Array.of(bytes.length, 0, 0, 0);
    const data = Buffer.concat([size(padded), padded, size(body), body]);
    const sections = [
      { name: '.text', address: CODE, data: new Uint8Array(16) },
      { name: '.eh_frame', address, data },
    ];
    const [rows] = cfiFromElf(openElf(memorySource('vmlinux', writeElf({ sections }))));
    expect(rows?.find(CODE + 0x110n)).toMatchObject({ kind: 'call', cfa: { base: 'rsp', offset: 8 } });
    expect(rows?.find(CODE + 0x140n)).toBeUndefined();
  });
  test('damage is no row, not an error', () => {
    expect(rowsOf(standard, fde(CODE, 0x40, '3f'))?.find(CODE)).toBeUndefined();
    expect(rowsOf(standard.subarray(0, 9), usual)?.find(CODE)).toBeUndefined();
  });
  test('registers that no machine has are damage: each remembered state would keep the rules of all', () => {
    expect(rowsOf(standard, fde(CODE, 0x40, '07ff01'))?.find(CODE)?.kind).toBe('call');
    expect(rowsOf(standard, fde(CODE, 0x40, '078002'))?.find(CODE)).toBeUndefined();
  });
  test('a common entry with an augmentation of megabytes is damage', () => {
    const augmented = (letters: string) => {
      const body = Buffer.concat([
        bytesOf('ffffffff01'),
        Buffer.from(`${letters}\0`),
        bytesOf('0178100c07089001'),
      ]);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(body.length);
      return Buffer.concat([length, body]);
    };
    expect(rowsOf(augmented('eh'), usual)?.find(CODE)?.kind).toBe('call');
    expect(rowsOf(augmented('e'.repeat(17)), usual)?.find(CODE)).toBeUndefined();
  });
});
