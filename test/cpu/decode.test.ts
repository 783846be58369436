// The decoder against iced-x86: lengths of random encodings of every row, in every mode.
import { Code, Decoder, DecoderOptions } from 'iced-x86';
import { expect, test } from 'vitest';
import * as L from '../../core/cpu/layout.ts';
import { OPCODES, type OpcodeRow } from '../../core/cpu/opcodes.ts';
import { cpuModule } from '../support/machine.ts';

interface Exports {
  instructionLength(bytes: number, limit: number, mode: number): number;
}
const memory = new WebAssembly.Memory({ initial: L.RAM_OFFSET / 0x1_0000 + 1, maximum: 0x1_0000 });
const instance = new WebAssembly.Instance(cpuModule(), {
  env: {
    memory,
    abort: () => {
      throw new Error('abort');
    },
  },
});
const cpu = instance.exports as unknown as Exports; // one of the module's exports, see assembly/index.ts
const bytes = new Uint8Array(memory.buffer);

/** mulberry32: seeded, so that a failure repeats. */
function randomBytes(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) & 0xff;
  };
}

const MANDATORY = { any: [], np: [], '66': [0x66], f3: [0xf3], f2: [0xf2] } as const;
const VEX_PP = { any: 0, np: 0, '66': 1, f3: 2, f2: 3 } as const;

/** Moves to and from segment, control and debug registers: iced-x86 rejects register numbers that do not exist, we at execution. */
const SPECIAL_MOVES: readonly string[] = ['8c', '8e', '0f 20', '0f 21', '0f 22', '0f 23'];

function encode(row: OpcodeRow, random: () => number, bits: 16 | 32 | 64): number[] {
  const out: number[] = [];
  const rex = random();
  if (!row.vex) {
    // With a mandatory 66 or none, an operand-size prefix would choose another row.
    if (row.prefix === 'any' && random() < 64) out.push(0x66);
    if (random() < 48) out.push(0x67);
    if (random() < 32) out.push(0x64);
    out.push(...MANDATORY[row.prefix]);
    const w = row.rexW ?? (rex & 8 ? 1 : 0);
    if (bits === 64 && (rex < 128 || row.rexW === 1)) out.push(0x40 | (rex & 7) | (w << 3));
    if (row.map > 0) out.push(0x0f);
    if (row.map > 1) out.push(row.map === 2 ? 0x38 : 0x3a);
  } else {
    const vvvv = row.operands.some((o) => o.startsWith('B')) ? random() & 15 : 15;
    out.push(0xc4, (random() & 0xe0) | row.map, (random() & 0x80) | (vvvv << 3) | VEX_PP[row.prefix]);
  }
  out.push(row.opcode);
  if (row.hasModrm) {
    let modrm = random();
    if (row.form === 'reg' || row.operands[0]?.startsWith('R')) modrm |= 0xc0;
    if (row.form === 'mem' || row.operands.some((o) => o.startsWith('M'))) if (modrm >= 0xc0) modrm &= 0x7f;
    if (row.reg !== undefined) modrm = (modrm & 0xc7) | (row.reg << 3);
    if (row.rm !== undefined) modrm = (modrm & 0xf8) | row.rm;
    out.push(modrm);
  }
  while (out.length < 16) out.push(random());
  return out;
}

const MODES = [
  { bits: 16, mode: 0 },
  { bits: 32, mode: 1 },
  { bits: 64, mode: 2 },
] as const;

test.each(MODES)('every row decodes to the length that iced-x86 gives, $bits bits', ({ bits, mode }) => {
  const random = randomBytes(bits);
  const place = L.RAM_OFFSET;
  const wrong: string[] = [];
  const undecoded: string[] = [];
  for (const row of OPCODES) {
    if (bits === 64 ? row.modes === 'no64' : row.modes === 'only64' || row.vex) continue;
    let decoded = 0;
    for (let i = 0; i < 40; i++) {
      const code = Uint8Array.from(encode(row, random, bits));
      bytes.set(code, place);
      const length = cpu.instructionLength(place, 15, mode);
      if (length === -1) continue;
      decoded++;
      const decoder = new Decoder(bits, code, DecoderOptions.None);
      const instruction = decoder.decode();
      const rejected = instruction.code === Code.INVALID && !SPECIAL_MOVES.includes(row.code);
      if (rejected || instruction.length !== length)
        wrong.push(
          `${row.code} ${row.mnemonic}: ${Buffer.from(code).toString('hex')} ours ${length}, iced ${instruction.length} ${Code[instruction.code]}`,
        );
      instruction.free();
      decoder.free();
    }
    if (decoded === 0 && row.class !== 'undefined') undecoded.push(`${row.code} ${row.mnemonic}`);
  }
  expect(wrong).toEqual([]);
  expect(undecoded).toEqual([]);
});

test('an instruction that is cut asks for more, and one longer than 15 bytes is a fault', () => {
  const place = L.RAM_OFFSET;
  bytes.set([0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8], place);
  for (let limit = 1; limit < 10; limit++) expect(cpu.instructionLength(place, limit, 2)).toBe(0);
  expect(cpu.instructionLength(place, 10, 2)).toBe(10);
  bytes.set(new Uint8Array(16).fill(0x66), place);
  expect(cpu.instructionLength(place, 15, 2)).toBe(15);
});

test('random bytes never decode beyond 15 bytes, and agree with iced-x86 where both know the instruction', () => {
  const random = randomBytes(7);
  const place = L.RAM_OFFSET;
  const wrong: string[] = [];
  for (let i = 0; i < 20_000; i++) {
    const code = Uint8Array.from({ length: 16 }, random);
    bytes.set(code, place);
    const length = cpu.instructionLength(place, 15, 2);
    expect(length).toBeLessThanOrEqual(15);
    if (length <= 0) continue;
    const decoder = new Decoder(64, code, DecoderOptions.None);
    const instruction = decoder.decode();
    if (instruction.length !== length)
      wrong.push(
        `${Buffer.from(code).toString('hex')} ours ${length}, iced ${instruction.length} ${Code[instruction.code]}`,
      );
    instruction.free();
    decoder.free();
  }
  expect(wrong.slice(0, 20)).toEqual([]);
});
