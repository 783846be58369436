// Makes input number n of a seed: one of a target's seeds with some damage. Equal numbers give equal inputs.
import { Random, seedOf } from '../oracle/random.ts';

/** Inputs do not grow beyond this. */
const MAX_LENGTH = 1 << 17;
const MAX_CHANGES = 8;
const MAX_PIECE = 256;

/** Numbers at which counts, offsets and sizes go wrong. */
const INTERESTING: readonly bigint[] = [
  0n,
  1n,
  2n,
  0x7fn,
  0x80n,
  0xffn,
  0x100n,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x10000n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_fffen,
  0xffff_ffffn,
  0x1_0000_0000n,
  (1n << 53n) - 1n,
  1n << 53n,
  (1n << 63n) - 1n,
  1n << 63n,
  (1n << 64n) - 1n,
  0xffff_ffff_8100_0000n,
];

interface Damage {
  readonly random: Random;
  readonly seeds: readonly Uint8Array[];
}
/** Changes the bytes where they are, or gives others. Never called with none. */
type Operation = (bytes: Uint8Array, damage: Damage) => Uint8Array;

/** Some offset; those in the zeros that fill a file up come less often. */
function placeIn(bytes: Uint8Array, random: Random): number {
  for (let tries = 0; tries < 3; tries++) {
    const at = random.below(bytes.length);
    if (bytes[at] !== 0) return at;
  }
  return random.below(bytes.length);
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes.length > MAX_LENGTH ? bytes.slice(0, MAX_LENGTH) : bytes;
}

function pieceOf(bytes: Uint8Array, random: Random): Uint8Array {
  const start = placeIn(bytes, random);
  return bytes.slice(start, start + 1 + random.below(MAX_PIECE));
}

const flipBit: Operation = (bytes, { random }) => {
  const at = placeIn(bytes, random);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
  return bytes;
};

const setByte: Operation = (bytes, { random }) => {
  bytes[placeIn(bytes, random)] = random.below(256);
  return bytes;
};

/** An interesting number of 1 to 8 bytes, or the one that is there plus or minus a little, most often where it is aligned. */
const setInteger: Operation = (bytes, { random }) => {
  const width = 1 << random.below(4);
  const aligned = random.oneIn(4) ? 1 : width;
  const at = Math.floor(placeIn(bytes, random) / aligned) * aligned;
  if (at + width > bytes.length) return bytes;
  let old = 0n;
  for (let index = width - 1; index >= 0; index--) old = (old << 8n) | BigInt(bytes[at + index] ?? 0);
  const near = BigInt(bytes.length + random.below(3) - 1);
  const choice = random.below(4);
  let value = random.pick(INTERESTING);
  if (choice === 0) value = old + BigInt(random.below(33) - 16);
  else if (choice === 1 && random.oneIn(4)) value = near;
  for (let index = 0; index < width; index++)
    bytes[at + index] = Number((BigInt.asUintN(64, value) >> BigInt(8 * index)) & 0xffn);
  return bytes;
};

const fill: Operation = (bytes, { random }) => {
  const at = placeIn(bytes, random);
  return bytes.fill(random.pick([0, 0xff, random.below(256)]), at, at + 1 + random.below(16));
};

const truncate: Operation = (bytes, { random }) => bytes.slice(0, random.below(bytes.length));

const copyOver: Operation = (bytes, { random }) => {
  const piece = pieceOf(bytes, random);
  const at = placeIn(bytes, random);
  bytes.set(piece.subarray(0, bytes.length - at), at);
  return bytes;
};

const insertCopy: Operation = (bytes, { random }) => {
  const at = placeIn(bytes, random);
  return join(bytes.subarray(0, at), pieceOf(bytes, random), bytes.subarray(at));
};

const remove: Operation = (bytes, { random }) => {
  const at = placeIn(bytes, random);
  return join(bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(MAX_PIECE)));
};

/** The head of this one and the tail of another seed. */
const splice: Operation = (bytes, { random, seeds }) => {
  const other = random.pick(seeds);
  const at = placeIn(bytes, random);
  return join(bytes.subarray(0, at), other.subarray(random.oneIn(2) ? at : random.below(other.length)));
};

/** The more often an operation stands here, the more often it comes. */
const OPERATIONS: readonly Operation[] = [
  ...[flipBit, flipBit, flipBit, flipBit, setByte, setByte, setByte, setByte],
  ...[setInteger, setInteger, setInteger, setInteger, setInteger, setInteger],
  ...[fill, fill, copyOver, copyOver, insertCopy, remove, splice, truncate],
];

/** Input `number` (0 to 2^32-1) of `seed` for the target called `name`. */
export function makeInput(
  name: string,
  seeds: readonly Uint8Array[],
  seed: number,
  number: number,
): Uint8Array {
  const random = new Random(seedOf(`${name} ${seed}`, number));
  // A copy even of a Buffer, whose slice() is a window.
  let bytes: Uint8Array = Uint8Array.from(random.pick(seeds));
  for (let changes = 1 + random.below(MAX_CHANGES); changes > 0 && bytes.length > 0; changes--)
    bytes = random.pick(OPERATIONS)(bytes, { random, seeds });
  return bytes;
}
