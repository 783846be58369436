// Operand values worth trying: the borders of integers and of floating-point formats, mixed with random ones.
import type { Random } from './random.ts';

const MASK64 = 0xffff_ffff_ffff_ffffn;

/** A 64-bit integer, mostly near a border of some operand size. */
export function interestingInteger(random: Random): bigint {
  switch (random.below(16)) {
    case 0:
      return 0n;
    case 1:
      return 1n;
    case 2:
      return MASK64;
    case 3:
      return BigInt(random.below(256));
    case 4:
      return (1n << BigInt(random.below(64))) & MASK64;
    case 5:
      return ((1n << BigInt(random.below(64))) - 1n) & MASK64;
    case 6:
      return ~(1n << BigInt(random.below(64))) & MASK64;
    case 7: {
      const size = random.pick([8n, 16n, 32n, 64n]);
      const border = 1n << (size - 1n);
      return (border + BigInt(random.below(5)) - 2n) & MASK64;
    }
    case 8: {
      const size = random.pick([8n, 16n, 32n]);
      return ((1n << size) + BigInt(random.below(5)) - 2n) & MASK64;
    }
    case 9:
      return (MASK64 - BigInt(random.below(256))) & MASK64;
    case 10:
      return BigInt(random.u32());
    case 11:
      return BigInt(random.u32()) | 0xffff_ffff_0000_0000n;
    case 12:
      return BigInt(random.below(0x10000)) * 0x0001_0001_0001_0001n;
    case 13:
      return BigInt(random.below(0x100)) * 0x0101_0101_0101_0101n;
    default:
      return random.u64();
  }
}

/** Bits of a float with `exponentBits` and `fractionBits` (hidden leading bit): binary32 is (8, 23), binary64 (11, 52). */
function interestingFloat(random: Random, exponentBits: number, fractionBits: number): bigint {
  const sign = BigInt(random.below(2)) << BigInt(exponentBits + fractionBits);
  const maximum = (1 << exponentBits) - 1;
  const bias = maximum >> 1;
  const fractionMask = (1n << BigInt(fractionBits)) - 1n;
  const put = (exponent: number, fraction: bigint): bigint =>
    sign | (BigInt(exponent) << BigInt(fractionBits)) | (fraction & fractionMask);
  const quiet = 1n << BigInt(fractionBits - 1);
  switch (random.below(20)) {
    case 0:
      return put(0, 0n);
    case 1:
      return put(maximum, 0n);
    case 2:
      return put(maximum, quiet | random.u64());
    case 3:
      return put(maximum, (random.u64() & ~quiet) | 1n);
    case 4:
      return put(0, random.u64());
    case 5:
      return put(0, 1n << BigInt(random.below(fractionBits)));
    case 6:
      return put(1, random.oneIn(2) ? 0n : random.u64());
    case 7:
      return put(maximum - 1, random.oneIn(2) ? fractionMask : random.u64());
    case 8: // small integers and halves
      return put(bias + random.below(8), random.u64() & ~(fractionMask >> 6n));
    case 9:
      return put(bias, 0n);
    case 10: // near the border of int32 and int64
      return put(bias + random.pick([30, 31, 62, 63]), random.pick([0n, fractionMask, 1n, random.u64()]));
    case 11: // ties
      return put(bias + random.below(fractionBits), (1n << BigInt(random.below(fractionBits))) | 0n);
    case 12:
      return put(random.below(maximum), fractionMask);
    case 13:
      return put(random.below(maximum), 0n);
    case 14:
      return put(random.below(maximum), random.u64());
    default: // close enough to each other that sums do something
      return put(bias - 16 + random.below(33), random.u64());
  }
}

export function interestingFloat32(random: Random): number {
  return Number(interestingFloat(random, 8, 23));
}

export function interestingFloat64(random: Random): bigint {
  return interestingFloat(random, 11, 52);
}

/** An 80-bit float as significand and sign+exponent; the formats that the 387 calls unsupported come up too. */
export function interestingFloat80(random: Random): { significand: bigint; exponent: number } {
  const sign = random.below(2) << 15;
  const integer = 1n << 63n;
  const put = (exponent: number, significand: bigint): { significand: bigint; exponent: number } => ({
    significand,
    exponent: sign | exponent,
  });
  switch (random.below(24)) {
    case 0:
      return put(0, 0n);
    case 1:
      return put(0x7fff, integer);
    case 2:
      return put(0x7fff, integer | (1n << 62n) | random.u64());
    case 3:
      return put(0x7fff, integer | (random.u64() & 0x3fff_ffff_ffff_ffffn) | 1n);
    case 4:
      return put(0, random.u64() & ~integer);
    case 5: // pseudo-denormal
      return put(0, integer | random.u64());
    case 6: // unsupported: unnormal, pseudo-infinity, pseudo-NaN
      return put(random.pick([0x7fff, 0x3fff, 1]), random.u64() & ~integer);
    case 7:
      return put(1, integer | random.u64());
    case 8:
      return put(0x7ffe, random.oneIn(2) ? MASK64 : integer | random.u64());
    case 9:
    case 10:
      return put(0x3fff + random.below(8), integer | (random.u64() & 0x7f00_0000_0000_0000n));
    case 11:
      return put(0x3fff, integer);
    case 12:
      return put(
        0x3fff + random.pick([14, 15, 30, 31, 62, 63, 64]),
        random.pick([integer, MASK64, integer | 1n]),
      );
    case 13:
      return put(0x3fff + random.below(64), integer | (1n << BigInt(random.below(63))));
    case 14: // near the borders of binary32 and binary64
      return put(
        0x3fff + random.pick([-1075, -1023, -1022, -150, -127, -126, 127, 128, 1023, 1024]),
        integer | random.u64(),
      );
    case 15: // exact in binary64: rounding ties there
      return put(0x3fff - 16 + random.below(33), integer | (random.u64() & ~0x3ffn) | 0x400n);
    case 16:
      return put(random.below(0x7fff), integer | random.u64());
    case 17: // pi/2 and friends: argument reduction
      return put(0x3fff + random.below(3), random.pick([0xc90f_daa2_2168_c235n, 0xc90f_daa2_2168_c234n]));
    default:
      return put(0x3fff - 16 + random.below(33), integer | random.u64());
  }
}
