// The unwinder over hostile registers, ORC entries and stack: it ends, whatever they are.

import { OrcRows } from '../../../symbols/unwind/orc.ts';
import type { RowRegister } from '../../../symbols/unwind/row.ts';
import { ROW_REGISTERS } from '../../../symbols/unwind/row.ts';
import { unwind } from '../../../symbols/unwind/unwinder.ts';
import { goldenStack } from '../golden-stack.ts';
import { Image } from '../image.ts';
import type { FuzzTarget } from '../target.ts';

// An input: rip, where the stack lies, 16 registers, number of ORC entries, the way, their addresses relative to CODE, the entries, the
// stack.
const CODE = 0xffffffff81000000n;
const STACK = 8;
const REGISTERS = 16;
const COUNT = REGISTERS + ROW_REGISTERS.length * 8;
const TABLES = COUNT + 8;
const WAY = COUNT + 4;
const WAYS = ['auto', 'orc', 'cfi', 'fp', 'scan'] as const;
/** Every return address lies behind a call. */
const code = { read: (_: bigint, into: Uint8Array) => void into.fill(0xe8) };
const isCode = (address: bigint): boolean => address >= CODE && address < CODE + 0x2000000n;

function seed(way: number): Uint8Array {
  const { start, orc, stack } = goldenStack();
  const bytes = new Uint8Array(TABLES + orc.length * 10 + stack.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, start.rip, true);
  view.setBigUint64(STACK, start.registers.rsp, true);
  ROW_REGISTERS.forEach((name, index) => {
    view.setBigUint64(REGISTERS + index * 8, start.registers[name] ?? 0n, true);
  });
  view.setUint32(COUNT, orc.length, true);
  view.setUint8(WAY, way);
  orc.forEach(({ address, entry }, index) => {
    view.setUint32(TABLES + index * 4, Number(address - CODE), true);
    bytes.set(entry, TABLES + orc.length * 4 + index * 6);
  });
  bytes.set(stack, TABLES + orc.length * 10);
  return bytes;
}

export const UNWIND: FuzzTarget = {
  name: 'unwind',
  seeds: () => Array.from({ length: WAYS.length * 2 }, (_, way) => seed(way)),
  run: (bytes) => {
    if (bytes.length < TABLES) return 0;
    const view = new DataView(bytes.buffer);
    const word = (index: number): bigint => view.getBigUint64(REGISTERS + index * 8, true);
    const registers = Object.fromEntries(ROW_REGISTERS.map((name, index) => [name, word(index)])) as Record<
      RowRegister,
      bigint
    >; // fromEntries forgets the keys
    const count = Math.min(view.getUint32(COUNT, true), Math.floor((bytes.length - TABLES) / 10));
    const entries = TABLES + count * 4;
    const rows = new OrcRows({
      ipAddress: CODE,
      count,
      // The elements of a table count from themselves, those of an input from CODE.
      readIps: (offset, length) => {
        const relative = new DataView(new ArrayBuffer(length));
        relative.setInt32(0, view.getUint32(TABLES + offset, true) - offset, true);
        return new Uint8Array(relative.buffer);
      },
      readEntries: (offset, length) => bytes.subarray(entries + offset, entries + offset + length),
      header: undefined,
    });
    const memory = new Image(view.getBigUint64(STACK, true), bytes.subarray(TABLES + count * 10));
    const low = view.getBigUint64(STACK, true);
    const size = BigInt(Math.max(0, bytes.length - TABLES - count * 10));
    const middle = low + size / 2n;
    // Odd ones know their stacks: two, the upper one an interrupt stack.
    const stacks = [
      { name: 'TASK', low, high: middle, userRegisters: [low + 8n] },
      { name: 'IRQ', low: middle, high: low + size, link: low + size - 8n },
    ];
    const chosen = view.getUint8(WAY);
    const way = WAYS[(chosen >> 1) % WAYS.length] ?? 'auto';
    const context = { code, way, stacks: chosen % 2 === 1 ? stacks : [] };
    let read = 0;
    const start = { rip: view.getBigUint64(0, true), registers };
    for (const step of unwind({ memory, rows: [rows], isCode, ...context }, start))
      if (step.kind === 'frame') read++;
    return read;
  },
};
