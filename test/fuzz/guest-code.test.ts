// Random bytes as guest code in every mode: whatever a guest does, run() comes back within its budget and throws nothing.
import { expect, test } from 'vitest';
import type { Machine } from '../../core/machine/machine.ts';
import { GENERAL_REGISTERS } from '../../core/machine/registers.ts';
import { CODE, DATA, Guest, type Mode, STACK, TABLES, WINDOW } from '../support/guest.ts';
import { testMachine } from '../support/machine.ts';

/** More with FUZZ_ROUNDS, other ones with FUZZ_SEED. */
const ROUNDS = Number(process.env['FUZZ_ROUNDS'] ?? 40);
const SEED = Number(process.env['FUZZ_SEED'] ?? 0x5eed);
const EXITS = new Set([
  'budget',
  'halt',
  'halt-forever',
  'hypercall',
  'msr-read',
  'msr-write',
  'port-in',
  'port-out',
  'shutdown',
]);

/** mulberry32. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

const INTERESTING = [
  CODE,
  STACK,
  DATA,
  WINDOW,
  WINDOW + 0xfff,
  TABLES,
  0,
  0xfee00300,
  0xffffffff,
  0x10,
  0x33,
];
/** System instructions, which plain random bytes meet too seldom. */
const OPENERS = [
  [0x0f, 0x22, 0xc0],
  [0x0f, 0x22, 0xd8],
  [0x0f, 0x22, 0xe0],
  [0x0f, 0x23, 0xf8],
  [0x0f, 0x30],
  [0x0f, 0x01],
  [0x0f, 0x00],
  [0x48, 0xcf],
  [0xcf],
  [0x48, 0xcb],
  [0xea],
  [0x8e],
  [0x0f, 0x05],
  [0x48, 0x0f, 0x07],
  [0x9d],
  [0xcd],
  [0xf3, 0x6d],
  [0xf3, 0xa5],
];

function round(mode: Mode, next: () => number, machine: Machine): void {
  const guest = new Guest(mode, machine);
  const code = new Uint8Array(256);
  for (let i = 0; i < code.length; i++) code[i] = next();
  for (let k = 0; k < 6; k++) code.set(OPENERS[next() % OPENERS.length] ?? [], next() % 240);
  machine.write(CODE, code);
  machine.write(DATA, code);
  const value = (): bigint =>
    next() % 3 === 0
      ? BigInt(next()) | (BigInt(next()) << 32n)
      : BigInt(INTERESTING[next() % INTERESTING.length] ?? 0) + BigInt(next() % 16);
  guest.set({
    ...Object.fromEntries(GENERAL_REGISTERS.map((name) => [name, value()])),
    rsp: BigInt(STACK - 8 * (next() % 8)),
    rflags: BigInt(next()),
    star: 0x0028_0008_0000_0000n,
    lstar: BigInt(CODE),
    ...(guest.isLong ? { efer: 0xd01n } : {}),
  });
  if (next() % 3 === 0 && mode !== 'real') guest.enterUser();
  for (let i = 0; i < 40; i++) {
    const before = machine.retired(0);
    const exit = machine.run(0, 500);
    expect(EXITS).toContain(exit.kind);
    // One bulk string step may overshoot by a page of elements.
    expect(machine.retired(0) - before).toBeLessThan(500 + 10_000);
    if (exit.kind === 'shutdown' || exit.kind === 'halt-forever') return;
    if (exit.kind === 'msr-read' || exit.kind === 'msr-write') machine.injectFault(0, 13);
    if (exit.kind === 'port-in') machine.answer(0, BigInt(next()));
    if (exit.kind === 'halt') machine.raiseNmi(0);
  }
}

test.each(['real', 'protected', 'pae', 'compat', 'long'] as const)('random code in %s mode', (mode) => {
  const next = random(SEED + mode.length);
  for (let i = 0; i < ROUNDS; i++)
    round(mode, next, testMachine({ ramBytes: 1 << 20, vcpus: 2, apicIds: [0, 2] }));
});
