// Unpacks one LZO1X block (linux Documentation/staging/lzo.rst, bitstream version 0): literal runs and matches, told apart by the
// size of the instruction and by what came before it.
import { FormatError } from '../../symbols/errors.ts';

/** Longest distances of the two near forms of a match. */
const M1_FAR = 0x800;
const M4_BASE = 0x4000;

/** @throws FormatError unless the block unpacks to exactly `size` bytes. */
export function unpackLzo(block: Uint8Array, size: number): Uint8Array {
  const damaged = (): FormatError => new FormatError('LZO block is damaged');
  const out = new Uint8Array(size);
  let from = 0;
  let to = 0;
  const byte = (): number => {
    const value = block[from++];
    if (value === undefined) throw damaged();
    return value;
  };
  const literals = (count: number): void => {
    if (count > block.length - from || count > size - to) throw damaged();
    out.set(block.subarray(from, from + count), to);
    from += count;
    to += count;
  };
  const match = (distance: number, count: number): void => {
    if (distance > to || count > size - to) throw damaged();
    // One by one: a match may take from what it has just written.
    for (const end = to + count; to < end; to++) out[to] = out[to - distance] ?? 0;
  };
  /** A length that did not fit into `bits` goes on in bytes: zeros stand for 255 each. */
  const extended = (bits: number, short: number): number => {
    if (short !== 0) return short;
    let length = (1 << bits) - 1;
    for (;;) {
      const next = byte();
      if (next !== 0) return length + next;
      length += 255;
      if (length > size) throw damaged();
    }
  };

  // Literals that came right before, as far as they matter: 0, 1 to 3, or 4 for a long run.
  let state = 0;
  let instruction = byte();
  if (instruction > 17) {
    literals(instruction - 17);
    state = Math.min(instruction - 17, 4);
    instruction = byte();
  }
  for (;;) {
    let next: number;
    if (instruction >= 64) {
      const count = (instruction >>> 5) + 1;
      const high = byte();
      next = instruction & 3;
      match((high << 3) + ((instruction >>> 2) & 7) + 1, count);
    } else if (instruction >= 16) {
      const near = instruction >= 32;
      const bits = near ? 5 : 3;
      const count = extended(bits, instruction & ((1 << bits) - 1)) + 2;
      const low = byte();
      next = low & 3;
      const tail = (low >>> 2) + (byte() << 6);
      const distance = near ? tail + 1 : M4_BASE + ((instruction & 8) << 11) + tail;
      if (!near && distance === M4_BASE) break;
      match(distance, count);
    } else if (state === 0) {
      literals(extended(4, instruction) + 3);
      state = 4;
      instruction = byte();
      continue;
    } else {
      const tail = (byte() << 2) + (instruction >>> 2);
      next = instruction & 3;
      if (state === 4) match(tail + M1_FAR + 1, 3);
      else match(tail + 1, 2);
    }
    literals(next);
    state = next;
    instruction = byte();
  }
  if (to !== size) throw damaged();
  return out;
}
