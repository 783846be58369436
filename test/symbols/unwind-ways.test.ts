// Stacks, gaps, doubts, and the ways that need no tables. Small worlds of code bytes and stack words, made here.
import { describe, expect, test } from 'vitest';
import { MemoryFault } from '../../symbols/errors.ts';
import type { MemorySource } from '../../symbols/memory.ts';
import { isBehindCall } from '../../symbols/unwind/call-site.ts';
import { evaluate } from '../../symbols/unwind/expression.ts';
import { endText, overflowText } from '../../symbols/unwind/reason.ts';
import type { RowSource, UnwindRow } from '../../symbols/unwind/row.ts';
import type { StackRange } from '../../symbols/unwind/stacks.ts';
import {
  type UnwindContext,
  type UnwindStart,
  type UnwindStep,
  unwind,
} from '../../symbols/unwind/unwinder.ts';
import { callRow, rowsFrom } from '../support/unwind-rows.ts';

const bytesOf = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));

/** Memory made of pieces; what lies between is not mapped. */
function pieces(...parts: readonly (readonly [address: bigint, bytes: Uint8Array])[]): MemorySource {
  return {
    read(address, into) {
      for (let index = 0; index < into.length; index++) {
        const at = address + BigInt(index);
        const part = parts.find(([start, { length }]) => at >= start && at < start + BigInt(length));
        if (!part) throw new MemoryFault('virtual', at, 'not mapped');
        into[index] = part[1][Number(at - part[0])] ?? 0;
      }
    },
  };
}

const CODE = 0xffffffff81000000n;
const TASK = 0xffffc90000010000n;
const IRQ = 0xffffc90000020000n;
const DF = 0xfffffe0000009000n;
const SIZE = 0x1000n;
const isCode = (address: bigint) => address >= CODE && address < CODE + 0x1000n;
const stack = (name: string, low: bigint, more: Partial<StackRange> = {}): StackRange => ({
  name,
  low,
  high: low + SIZE,
  ...more,
});

/** Words of a stack by their distance from its end, negative. */
const stackBytes = (words: Readonly<Record<number, bigint>>): Uint8Array => {
  const bytes = new Uint8Array(Number(SIZE));
  const view = new DataView(bytes.buffer);
  for (const [distance, value] of Object.entries(words))
    view.setBigUint64(Number(SIZE) + Number(distance), value, true);
  return bytes;
};
/** Code in which a call ends at each multiple of 16. */
const CALLS = new Uint8Array(0x1000).map((_, index) => (index % 16 === 11 ? 0xe8 : 0x90));

interface World {
  readonly task?: Readonly<Record<number, bigint>>;
  readonly irq?: Readonly<Record<number, bigint>>;
  readonly df?: Readonly<Record<number, bigint>>;
  readonly code?: Uint8Array;
}

const worldOf = ({ task = {}, irq = {}, df = {}, code = CALLS }: World): MemorySource =>
  pieces([CODE, code], [TASK, stackBytes(task)], [IRQ, stackBytes(irq)], [DF, stackBytes(df)]);

const STACKS: readonly StackRange[] = [
  stack('TASK', TASK, { userRegisters: [TASK + SIZE - 168n, TASK + SIZE - 184n] }),
  stack('IRQ', IRQ, { link: IRQ + SIZE - 8n }),
  stack('#DF', DF),
];

const end = callRow(0, { kind: 'end' });
const rowsBy = (rows: readonly (UnwindRow | undefined)[]): RowSource => rowsFrom(CODE, rows);

function words(step: UnwindStep): string {
  switch (step.kind) {
    case 'frame': {
      const { how, address, doubt } = step.frame;
      return `${how} ${(address - CODE).toString(16)}${doubt ? `, ${doubt}` : ''}`;
    }
    case 'stack':
      return `<${step.name}>`;
    case 'exception':
      return `exception ${(step.context.rip - CODE).toString(16)}`;
    case 'gap':
      return `gap: ${step.why.why}`;
    case 'overflow':
      return overflowText(step.overflow);
    case 'end':
      return step.end.why + (step.user ? `, user ${step.user.rip.toString(16)}` : '');
  }
}

function trace(world: World, context: Partial<UnwindContext>, start: Partial<UnwindStart>): string[] {
  const from = { rip: CODE, registers: { rsp: TASK + SIZE - 0x200n }, ...start };
  const all = { memory: worldOf(world), rows: [], isCode, stacks: STACKS, ...context };
  return Array.from(unwind(all, from), words);
}

describe('behind a call', () => {
  test.each([
    ['call rel32', 'e812345678', true],
    ['cs call rel32', '2ee812345678', true],
    ['call *rax', '90909090ffd0', true],
    ['call *r10', '90909041ffd2', true],
    ['call *[rax+8]', '909090ff5008', true],
    ['call *[rip+disp32]', 'ff1512345678', true],
    ['call *[abs32]', 'ff142512345678', true],
    ['call *[rbx+rax*8+disp32]', 'ff94c312345678', true],
    ['call *[rsp+8]', '9090ff542408', true],
    ['lretq, as secondary_startup_64 does', '909048cb', true],
    ['jmp *rax', '90909090ffe0', false],
    ['push [rax]', '90909090ff30', false],
    ['nops', '9090909090909090', false],
  ])('%s', (_, hex, expected) => {
    const code = bytesOf(hex.padStart(16, '90'));
    expect(isBehindCall(pieces([CODE, code]), CODE + BigInt(code.length))).toBe(expected);
  });
  test('code that is not in the dump is not judged; where nothing is mapped there is no call', () => {
    const fails = (reason: 'not in dump' | 'not mapped'): MemorySource => ({
      read: (address) => {
        throw new MemoryFault('virtual', address, reason);
      },
    });
    expect(isBehindCall(fails('not in dump'), CODE)).toBeUndefined();
    expect(isBehindCall(fails('not mapped'), CODE)).toBe(false);
  });
  test('a call at the start of a page whose neighbour is not mapped', () => {
    const memory = pieces([CODE, bytesOf('e81234567890')]);
    expect(isBehindCall(memory, CODE + 5n)).toBe(true);
    expect(isBehindCall(memory, CODE + 6n)).toBe(false);
    expect(isBehindCall(memory, CODE)).toBe(false);
  });
});

describe('stacks', () => {
  test('their names come before their frames, over a switch', () => {
    const top = TASK + SIZE;
    const irq = { [-16]: CODE + 0x110n, [-8]: top - 0x100n };
    const task = { [-0x100]: CODE + 0x210n };
    const rows = [
      rowsBy([callRow(8), callRow(8, { cfa: { base: 'rsp', offset: 8, load: 'at base' } }), end]),
    ];
    const start = { registers: { rsp: IRQ + SIZE - 16n } };
    const expected = ['<IRQ>', 'registers 0', 'orc 110', '<TASK>', 'orc 210', 'end of stack'];
    expect(trace({ irq, task }, { rows }, start)).toEqual(expected);
  });
  test('compilers do not tell of the switch: the word at the top is followed', () => {
    const top = TASK + SIZE;
    const irq = { [-16]: CODE + 0x110n, [-8]: top - 0x100n };
    const task = { [-0xf8]: CODE + 0x210n };
    const rows = [rowsBy([callRow(8, { how: 'cfi' }), callRow(16, { how: 'cfi' }), end])];
    const start = { registers: { rsp: IRQ + SIZE - 16n } };
    const expected = ['<IRQ>', 'registers 0', 'cfi 110', '<TASK>', 'cfi 210', 'end of stack'];
    expect(trace({ irq, task }, { rows }, start)).toEqual(expected);
  });
  test('an overflow is told in bytes', () => {
    const rows = [rowsBy([callRow(0, { kind: 'iret frame' }), callRow(0x18), end])];
    const frame = { rip: CODE + 0x100n, cs: 0x10n, rflags: 0x10246n, rsp: TASK - 0x10n, ss: 0x18n };
    const df = Object.fromEntries(Object.values(frame).map((value, index) => [-40 + index * 8, value]));
    const task = { [-Number(SIZE)]: CODE + 0x210n };
    expect(trace({ df, task }, { rows }, { registers: { rsp: DF + SIZE - 40n } })).toEqual([
      '<#DF>',
      'registers 0',
      'exception 100',
      'stack overflow: rsp is 16 bytes below the TASK stack (ffffc90000010000-ffffc90000011000)',
      'orc 100',
      '<TASK>',
      'orc 210',
      'end of stack',
    ]);
  });
  test.each<[string, UnwindRow, Readonly<Record<number, bigint>>]>([
    ['stack pointer leaves its stack', callRow(0x2000, { returnAddress: { base: 'rsp', offset: 0 } }), {}],
    ['stack pointer does not rise', callRow(-8, { returnAddress: { base: 'rsp', offset: 0 } }), {}],
  ])('%s', (why, row) => {
    const task = { [-0x200]: CODE + 0x110n };
    expect(trace({ task }, { rows: [rowsBy([row])], way: 'orc' }, {}).at(-1)).toBe(why);
  });
});

describe('where tables fail', () => {
  const task = { [-0x200]: 7n, [-0x1f8]: CODE + 0x208n, [-0x1f0]: CODE + 0x210n, [-0x1e8]: CODE + 0x310n };
  test('the next frame is scanned for, what is behind no call left out, and tables go on', () => {
    const rows = [rowsBy([undefined, undefined, callRow(8), end])];
    expect(trace({ task }, { rows }, {})).toEqual([
      '<TASK>',
      'registers 0',
      'gap: no unwind information',
      'scan 210',
      'orc 310',
      'end of stack',
    ]);
  });
  test('a way that was asked for is used alone', () => {
    const rows = [rowsBy([undefined, undefined, callRow(8), end])];
    expect(trace({ task }, { rows, way: 'orc' }, {}).at(-1)).toBe('no unwind information');
    expect(trace({ task }, { rows: [rowsBy([callRow(16), end])], way: 'cfi' }, {}).at(-1)).toBe(
      'no unwind information',
    );
  });
  test('an instruction that returns tells its caller by itself', () => {
    const code = CALLS.slice();
    code[0] = 0xc3;
    const task = { [-0x200]: CODE + 0x110n };
    const rows = [rowsBy([undefined, end])];
    expect(trace({ task, code }, { rows, way: 'orc' }, {})).toEqual([
      '<TASK>',
      'registers 0',
      'registers 110',
      'end of stack',
    ]);
  });
  test('a return address behind no call is doubted, not refused', () => {
    const rows = [rowsBy([callRow(16), undefined, end])];
    expect(trace({ task }, { rows }, {})).toEqual([
      '<TASK>',
      'registers 0',
      'orc 208, not behind a call',
      'end of stack',
    ]);
  });
  test('the user registers at the top of the stack are given with the reason', () => {
    const user = { [-40]: 0x401000n, [-32]: 0x33n, [-24]: 0x246n, [-16]: 0x7fff0000n, [-8]: 0x2bn };
    const fred = Object.fromEntries(
      Object.entries(user).map(([distance, value]) => [Number(distance) - 16, value]),
    );
    for (const task of [user, fred])
      expect(trace({ task }, { way: 'orc' }, {}).at(-1)).toBe('no unwind information, user 401000');
    expect(trace({ task: { ...user, [-24]: 0n } }, { way: 'orc' }, {}).at(-1)).toBe('no unwind information');
  });
  test('registers under a handler that entry code without tables called', () => {
    const regs = { [-0x200 + 128]: CODE + 0x200n, [-0x200 + 136]: 0x10n, [-0x200 + 144]: 0x246n };
    const task = { ...regs, [-0x200 + 152]: TASK + SIZE - 0x80n, [-0x200 + 160]: 0x18n };
    const rows = [rowsBy([undefined, undefined, end])];
    expect(trace({ task }, { rows }, { rip: CODE + 0x110n, exact: false })).toEqual([
      '<TASK>',
      'registers 110',
      'exception 200',
      'scan 200',
      'end of stack',
    ]);
  });
  test("a tracer's address is shown, and the true one followed", () => {
    const rows = [rowsBy([callRow(8), callRow(8), end])];
    const task = { [-0x200]: CODE + 0xf00n, [-0x1f8]: CODE + 0x210n };
    const tracedReturn = (original: bigint | undefined) => (address: bigint) =>
      address === CODE + 0xf00n ? { original } : undefined;
    expect(trace({ task }, { rows, tracedReturn: tracedReturn(CODE + 0x110n) }, {})).toEqual([
      '<TASK>',
      'registers 0',
      'orc f00',
      'orc 110',
      'orc 210',
      'end of stack',
    ]);
    expect(trace({ task }, { rows, tracedReturn: tracedReturn(undefined) }, {})).toEqual([
      '<TASK>',
      'registers 0',
      'orc f00',
      'gap: return address was replaced',
      'scan 210',
      'end of stack',
    ]);
  });
});

describe('frame pointers', () => {
  const high = TASK + SIZE;
  const task = {
    [-0x100]: high - 0xc0n,
    [-0xf8]: CODE + 0x110n,
    [-0xc0]: 0n,
    [-0xb8]: CODE + 0x210n,
  };
  const registers = { rsp: high - 0x120n, rbp: high - 0x100n };
  test('to the zero at their end', () => {
    const expected = ['<TASK>', 'registers 20', 'fp 110', 'fp 210', 'end of stack'];
    expect(trace({ task }, { way: 'fp' }, { rip: CODE + 0x20n, registers })).toEqual(expected);
  });
  test.each([
    ['push rbp', '55', -0x100, 'fp 110'],
    ['mov rbp, rsp', '4889e5', -0x108, 'fp 110'],
    ['ret', 'c3', -0x100, 'registers 110'],
  ])('an instruction before they are set up: %s', (_, hex, rsp, second) => {
    const code = CALLS.slice();
    code.set(bytesOf(hex), 0);
    const words = { [-0x108]: high - 0xc0n, [-0x100]: CODE + 0x110n, [-0xc0]: 0n, [-0xb8]: CODE + 0x210n };
    const start = { registers: { rsp: high + BigInt(rsp), rbp: high - 0xc0n } };
    const expected = ['<TASK>', 'registers 0', second, 'fp 210', 'end of stack'];
    expect(trace({ task: words, code }, { way: 'fp' }, start)).toEqual(expected);
  });
  test('an odd one stands for the registers of an exception', () => {
    const at = -0x200 + 8;
    const words = {
      [at + 32]: high - 0xc0n,
      [at + 128]: CODE + 0x220n,
      [at + 136]: 0x10n,
      [at + 144]: 0x246n,
      [at + 152]: high - 0xd0n,
      [at + 160]: 0x18n,
      [-0xc0]: 0n,
      [-0xb8]: CODE + 0x310n,
    };
    const start = { rip: CODE + 0x20n, registers: { rsp: high - 0x200n, rbp: high + BigInt(at) + 1n } };
    expect(trace({ task: words }, { way: 'fp' }, start)).toEqual([
      '<TASK>',
      'registers 20',
      'exception 220',
      'fp 220',
      'fp 310',
      'end of stack',
    ]);
  });
  test('what is none is said, and a zero far from the end of the stack is none', () => {
    const from = (rbp: bigint) => ({ rip: CODE + 0x20n, registers: { rsp: TASK, rbp } });
    for (const rbp of [0n, TASK - 8n, TASK + 3n, 0x1234n])
      expect(trace({}, { way: 'fp' }, from(rbp)).at(-1)).toBe('frame pointer is none');
  });
  test('32-bit code: words of 4 bytes', () => {
    const context = {
      rows: [],
      isCode: (at: bigint) => at >= 0x1000n && at < 0x2000n,
      wordSize: 4 as const,
    };
    const words = new Uint32Array([0x2010, 0x1010, 0, 0, 0, 0x1020]);
    const memory = pieces([0x2000n, new Uint8Array(words.buffer)], [0x1000n, CALLS]);
    const followed = [
      ...unwind(
        { ...context, memory, way: 'fp' },
        { rip: 0x1001n, registers: { rsp: 0x2000n, rbp: 0x2000n } },
      ),
    ].map((step) =>
      step.kind === 'frame' ? step.frame.address : step.kind === 'end' ? step.end.why : step.kind,
    );
    expect(followed).toEqual([0x1001n, 0x1010n, 0x1020n, 'end of stack']);
  });
});

describe('scan', () => {
  test('every word behind a call, over the stack switch, to the end', () => {
    const irq = { [-0x40]: CODE + 0x110n, [-0x38]: CODE + 0x118n, [-8]: TASK + SIZE - 0x20n };
    const task = { [-0x20]: 1n, [-0x18]: CODE + 0x210n };
    const start = { registers: { rsp: IRQ + SIZE - 0x100n } };
    const expected = ['<IRQ>', 'registers 0', 'scan 110', '<TASK>', 'scan 210', 'end of stack'];
    expect(trace({ irq, task }, { way: 'scan' }, start)).toEqual(expected);
  });
  test('words that are the registers of an exception', () => {
    const task = {
      [-0x100]: CODE + 0x110n,
      [-0xf8]: 0x10n,
      [-0xf0]: 0x246n,
      [-0xe8]: TASK + SIZE - 0x80n,
      [-0xe0]: 0x18n,
      [-0xd8]: CODE + 0x310n,
      [-0x80]: CODE + 0x210n,
    };
    const expected = ['<TASK>', 'registers 0', 'exception 110', 'scan 110', 'scan 210', 'end of stack'];
    expect(trace({ task }, { way: 'scan' }, {})).toEqual(expected);
  });
});

test('frames have the registers that are known in them', () => {
  const high = TASK + SIZE;
  const saved = { rbp: { base: 'cfa', offset: -16 }, rbx: { base: 'cfa', offset: -24 } } as const;
  const task = { [-0x200]: 1n, [-0x1f8]: 2n, [-0x1f0]: CODE + 0x110n };
  const memory = worldOf({ task });
  const registers = { rsp: high - 0x200n, rbp: 5n, rbx: 6n, r12: 7n, rax: 8n };
  const steps = (rows: readonly UnwindRow[], more: Partial<UnwindContext> = {}) =>
    [
      ...unwind({ memory, rows: [rowsBy([...rows, end])], isCode, ...more }, { rip: CODE, registers }),
    ].flatMap((step) => (step.kind === 'frame' ? [step.frame.registers] : []));
  const cfi = callRow(24, { how: 'cfi', saved });
  expect(steps([cfi])).toEqual([registers, { rsp: high - 0x1e8n, rbp: 2n, rbx: 1n, r12: 7n }]);
  // ORC knows rsp and rbp; call frame information beside it tells the others.
  const orc = callRow(24, { saved: { rbp: saved.rbp } });
  expect(steps([orc])[1]).toEqual({ rsp: high - 0x1e8n, rbp: 2n });
  expect(steps([orc], { registerRows: [rowsBy([cfi])] })[1]).toEqual({
    rsp: high - 0x1e8n,
    rbp: 2n,
    rbx: 1n,
    r12: 7n,
  });
});

describe('DWARF expressions', () => {
  const input = {
    wordSize: 8 as const,
    register: (number: number) => BigInt(number * 0x100),
    load: (address: bigint, size: number) => BigInt.asUintN(size * 8, address * 2n),
  };
  test.each<[string, string, bigint]>([
    ['lit31', '4f', 31n],
    ['breg7 8', '7708', 0x708n],
    ['bregx 16 -8', '921078', 0xff8n],
    ['breg6 -8; deref', '767806', 0x5f8n * 2n],
    ['const2u; deref_size 1', '0aff009401', 0xfen],
    ['plus_uconst', '322310', 0x12n],
    ['lit7 lit2 minus', '37321c', 5n],
    ['over, rot', '3132331417', 3n],
    ['dup mul', '34121e', 16n],
    ['const1s -1 shra', '09ff3126', 0xffff_ffff_ffff_ffffn],
    ['bra over lit0', '312801003039', 9n],
    // The PLT's rule of x86-64 ld.so: 8 + rsp + ((rip & 15) >= 11) * 8
    ['the rule of a PLT', '770880003f1a3b2a332422', 0x708n],
  ])('%s', (_, hex, expected) => {
    expect(evaluate(bytesOf(hex), input)).toBe(expected);
  });
  test.each([
    ['empty stack', '22'],
    ['endless', '2ffdff'],
    ['branch outside', '2f0010'],
    ['division by zero', '31301b'],
    ['no such operation', 'ff'],
    ['cut off', '0e0000'],
    ['nothing', ''],
    ['too deep', '12'.padStart(140, '30')],
  ])('damage: %s', (_, hex) => {
    expect(() => evaluate(bytesOf(hex), input)).toThrow(/expression|division|wanted|no such place/);
  });
});

test('reasons in words', () => {
  expect(endText({ why: 'end of stack' })).toBeUndefined();
  expect(endText({ why: 'stack pointer does not rise', address: 16n })).toBe(
    'stack pointer does not rise: 0000000000000010',
  );
});
