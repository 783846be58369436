// SSE and MMX integer operations as functions of vectors; MMX operands come in the low half, and only the low half counts.
// Does not know operands or state. Operations are named by opcode byte: map 0F plain, maps 0F38 and 0F3A in functions of their own.

/** Two MMX operands side by side, for the operations that look across lanes. */
@inline
export function join(a: v128, b: v128): v128 {
  return v128.shuffle<u64>(a, b, 0, 2);
}

const ZERO = i64x2.splat(0);

function highProducts(a: v128, b: v128, signed: bool): v128 {
  const low = signed ? v128.extmul_low<i16>(a, b) : v128.extmul_low<u16>(a, b);
  const high = signed ? v128.extmul_high<i16>(a, b) : v128.extmul_high<u16>(a, b);
  return v128.shuffle<u16>(low, high, 1, 3, 5, 7, 9, 11, 13, 15);
}

function sumOfDifferences(a: v128, b: v128): v128 {
  const difference = v128.sub<u8>(v128.max<u8>(a, b), v128.min<u8>(a, b));
  let sums = v128.extadd_pairwise<u16>(v128.extadd_pairwise<u8>(difference));
  sums = v128.add<u32>(sums, v128.shr<u64>(sums, 32));
  return v128.and(sums, i64x2.splat(0xffff));
}

/** Arithmetic and logic with the same meaning for MMX and SSE2. `mmx` matters to the operations that cross lanes. */
export function integer0f(op: i32, a: v128, b: v128, mmx: bool): v128 {
  switch (op) {
    case 0x60: return v128.shuffle<u8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    case 0x61: return v128.shuffle<u16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
    case 0x62: return v128.shuffle<u32>(a, b, 0, 4, 1, 5);
    case 0x63:
      if (mmx) a = join(a, b);
      return v128.narrow<i16>(a, b);
    case 0x64: return v128.gt<i8>(a, b);
    case 0x65: return v128.gt<i16>(a, b);
    case 0x66: return v128.gt<i32>(a, b);
    case 0x67:
      if (mmx) a = join(a, b);
      return v128.narrow<u16>(a, b);
    case 0x68:
      if (mmx) return v128.shuffle<u8>(a, b, 4, 20, 5, 21, 6, 22, 7, 23, 0, 0, 0, 0, 0, 0, 0, 0);
      return v128.shuffle<u8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    case 0x69:
      if (mmx) return v128.shuffle<u16>(a, b, 2, 10, 3, 11, 0, 0, 0, 0);
      return v128.shuffle<u16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
    case 0x6a:
      if (mmx) return v128.shuffle<u32>(a, b, 1, 5, 0, 0);
      return v128.shuffle<u32>(a, b, 2, 6, 3, 7);
    case 0x6b:
      if (mmx) a = join(a, b);
      return v128.narrow<i32>(a, b);
    case 0x6c: return v128.shuffle<u64>(a, b, 0, 2);
    case 0x6d: return v128.shuffle<u64>(a, b, 1, 3);
    case 0x74: return v128.eq<i8>(a, b);
    case 0x75: return v128.eq<i16>(a, b);
    case 0x76: return v128.eq<i32>(a, b);
    case 0xd1: return shiftWords(a, count(b), 0);
    case 0xd2: return shiftDoubles(a, count(b), 0);
    case 0xd3: return shiftQuads(a, count(b), 0);
    case 0xd4: return v128.add<i64>(a, b);
    case 0xd5: return v128.mul<i16>(a, b);
    case 0xd8: return v128.sub_sat<u8>(a, b);
    case 0xd9: return v128.sub_sat<u16>(a, b);
    case 0xda: return v128.min<u8>(a, b);
    case 0xdb: return v128.and(a, b);
    case 0xdc: return v128.add_sat<u8>(a, b);
    case 0xdd: return v128.add_sat<u16>(a, b);
    case 0xde: return v128.max<u8>(a, b);
    case 0xdf: return v128.andnot(b, a);
    case 0xe0: return v128.avgr<u8>(a, b);
    case 0xe1: return shiftWords(a, count(b), 1);
    case 0xe2: return shiftDoubles(a, count(b), 1);
    case 0xe3: return v128.avgr<u16>(a, b);
    case 0xe4: return highProducts(a, b, false);
    case 0xe5: return highProducts(a, b, true);
    case 0xe8: return v128.sub_sat<i8>(a, b);
    case 0xe9: return v128.sub_sat<i16>(a, b);
    case 0xea: return v128.min<i16>(a, b);
    case 0xeb: return v128.or(a, b);
    case 0xec: return v128.add_sat<i8>(a, b);
    case 0xed: return v128.add_sat<i16>(a, b);
    case 0xee: return v128.max<i16>(a, b);
    case 0xef: return v128.xor(a, b);
    case 0xf1: return shiftWords(a, count(b), 2);
    case 0xf2: return shiftDoubles(a, count(b), 2);
    case 0xf3: return shiftQuads(a, count(b), 2);
    case 0xf4: {
      const mask = i64x2.splat(0xffffffff);
      return v128.mul<i64>(v128.and(a, mask), v128.and(b, mask));
    }
    case 0xf5: return v128.dot<i16>(a, b);
    case 0xf6: return sumOfDifferences(a, b);
    case 0xf8: return v128.sub<i8>(a, b);
    case 0xf9: return v128.sub<i16>(a, b);
    case 0xfa: return v128.sub<i32>(a, b);
    case 0xfb: return v128.sub<i64>(a, b);
    case 0xfc: return v128.add<i8>(a, b);
    case 0xfd: return v128.add<i16>(a, b);
    case 0xfe: return v128.add<i32>(a, b);
  }
  unreachable();
  return a;
}

/** Shift count of a vector operand: its low 64 bits, anything beyond 64 being as good as 64. */
@inline
function count(b: v128): i32 {
  const n = v128.extract_lane<u64>(b, 0);
  return n > 64 ? 64 : <i32>n;
}

// kind: 0 right logical, 1 right arithmetic, 2 left: bits 5:4 of the opcode's /r in the immediate forms say the same.
export function shiftWords(a: v128, n: i32, kind: i32): v128 {
  if (kind == 1) return v128.shr<i16>(a, n > 15 ? 15 : n);
  if (n > 15) return ZERO;
  return kind == 2 ? v128.shl<i16>(a, n) : v128.shr<u16>(a, n);
}

export function shiftDoubles(a: v128, n: i32, kind: i32): v128 {
  if (kind == 1) return v128.shr<i32>(a, n > 31 ? 31 : n);
  if (n > 31) return ZERO;
  return kind == 2 ? v128.shl<i32>(a, n) : v128.shr<u32>(a, n);
}

export function shiftQuads(a: v128, n: i32, kind: i32): v128 {
  if (n > 63) return ZERO;
  return kind == 2 ? v128.shl<i64>(a, n) : v128.shr<u64>(a, n);
}

/** PSLLDQ. */
export function shiftBytesLeft(a: v128, n: i32): v128 {
  if (n > 15) return ZERO;
  const low = v128.extract_lane<u64>(a, 0), high = v128.extract_lane<u64>(a, 1), bits = <u64>n * 8;
  if (bits == 0) return a;
  if (bits >= 64) return i64x2(0, low << (bits - 64));
  return i64x2(low << bits, (high << bits) | (low >> (64 - bits)));
}

/** PSRLDQ. */
export function shiftBytesRight(a: v128, n: i32): v128 {
  if (n > 15) return ZERO;
  const low = v128.extract_lane<u64>(a, 0), high = v128.extract_lane<u64>(a, 1), bits = <u64>n * 8;
  if (bits == 0) return a;
  if (bits >= 64) return i64x2(high >> (bits - 64), 0);
  return i64x2((low >> bits) | (high << (64 - bits)), high >> bits);
}

/** SSSE3, SSE4.1 and SSE4.2 operations of map 0F38 that take two vectors and give one. */
export function integer0f38(op: i32, a: v128, b: v128, mmx: bool): v128 {
  switch (op) {
    case 0x00: return v128.swizzle(a, v128.and(b, i8x16.splat(mmx ? <i8>0x87 : <i8>0x8f)));
    case 0x01:
    case 0x05: {
      if (mmx) { a = join(a, b); b = a; }
      const even = v128.shuffle<u16>(a, b, 0, 2, 4, 6, 8, 10, 12, 14), odd = v128.shuffle<u16>(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
      return op == 1 ? v128.add<i16>(even, odd) : v128.sub<i16>(even, odd);
    }
    case 0x02:
    case 0x06: {
      if (mmx) { a = join(a, b); b = a; }
      const even = v128.shuffle<u32>(a, b, 0, 2, 4, 6), odd = v128.shuffle<u32>(a, b, 1, 3, 5, 7);
      return op == 2 ? v128.add<i32>(even, odd) : v128.sub<i32>(even, odd);
    }
    case 0x03:
    case 0x07: {
      if (mmx) { a = join(a, b); b = a; }
      const even = v128.shuffle<u16>(a, b, 0, 2, 4, 6, 8, 10, 12, 14), odd = v128.shuffle<u16>(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
      return op == 3 ? v128.add_sat<i16>(even, odd) : v128.sub_sat<i16>(even, odd);
    }
    case 0x04: {
      // Bytes of `a` unsigned, of `b` signed; each product fits 16 bits, the sum of two saturates.
      const evenA = v128.and(a, i16x8.splat(0xff)), oddA = v128.shr<u16>(a, 8);
      const evenB = v128.shr<i16>(v128.shl<i16>(b, 8), 8), oddB = v128.shr<i16>(b, 8);
      return v128.add_sat<i16>(v128.mul<i16>(evenA, evenB), v128.mul<i16>(oddA, oddB));
    }
    case 0x08: {
      const flip = v128.shr<i8>(b, 7);
      return v128.andnot(v128.sub<i8>(v128.xor(a, flip), flip), v128.eq<i8>(b, ZERO));
    }
    case 0x09: {
      const flip = v128.shr<i16>(b, 15);
      return v128.andnot(v128.sub<i16>(v128.xor(a, flip), flip), v128.eq<i16>(b, ZERO));
    }
    case 0x0a: {
      const flip = v128.shr<i32>(b, 31);
      return v128.andnot(v128.sub<i32>(v128.xor(a, flip), flip), v128.eq<i32>(b, ZERO));
    }
    case 0x0b: {
      // The wasm operation saturates -1 * -1, where PMULHRSW wraps to -1.
      const lowest = i16x8.splat(-0x8000);
      const both = v128.and(v128.eq<i16>(a, lowest), v128.eq<i16>(b, lowest));
      return v128.xor(v128.q15mulr_sat<i16>(a, b), both);
    }
    case 0x1c: return v128.abs<i8>(b);
    case 0x1d: return v128.abs<i16>(b);
    case 0x1e: return v128.abs<i32>(b);
    case 0x20: return v128.extend_low<i8>(b);
    case 0x21: return v128.extend_low<i16>(v128.extend_low<i8>(b));
    case 0x22: return v128.extend_low<i32>(v128.extend_low<i16>(v128.extend_low<i8>(b)));
    case 0x23: return v128.extend_low<i16>(b);
    case 0x24: return v128.extend_low<i32>(v128.extend_low<i16>(b));
    case 0x25: return v128.extend_low<i32>(b);
    case 0x28: return v128.mul<i64>(v128.shr<i64>(v128.shl<i64>(a, 32), 32), v128.shr<i64>(v128.shl<i64>(b, 32), 32));
    case 0x29: return v128.eq<i64>(a, b);
    case 0x2b: return v128.narrow<u32>(a, b);
    case 0x30: return v128.extend_low<u8>(b);
    case 0x31: return v128.extend_low<u16>(v128.extend_low<u8>(b));
    case 0x32: return v128.extend_low<u32>(v128.extend_low<u16>(v128.extend_low<u8>(b)));
    case 0x33: return v128.extend_low<u16>(b);
    case 0x34: return v128.extend_low<u32>(v128.extend_low<u16>(b));
    case 0x35: return v128.extend_low<u32>(b);
    case 0x37: return v128.gt<i64>(a, b);
    case 0x38: return v128.min<i8>(a, b);
    case 0x39: return v128.min<i32>(a, b);
    case 0x3a: return v128.min<u16>(a, b);
    case 0x3b: return v128.min<u32>(a, b);
    case 0x3c: return v128.max<i8>(a, b);
    case 0x3d: return v128.max<i32>(a, b);
    case 0x3e: return v128.max<u16>(a, b);
    case 0x3f: return v128.max<u32>(a, b);
    case 0x40: return v128.mul<i32>(a, b);
    case 0x41: return smallestWord(b);
  }
  unreachable();
  return a;
}

/** PHMINPOSUW: the smallest word and the index of its first place. */
function smallestWord(b: v128): v128 {
  let low = v128.extract_lane<u64>(b, 0), high = v128.extract_lane<u64>(b, 1), best: u64 = 0x10000, index: u64 = 0;
  for (let i: u64 = 0; i < 8; i++) {
    const word = (i < 4 ? low >> (i * 16) : high >> (i * 16 - 64)) & 0xffff;
    if (word < best) {
      best = word;
      index = i;
    }
  }
  return i64x2(best | (index << 16), 0);
}

/** MPSADBW: eight sums of absolute differences of four bytes of `b` against sliding four bytes of `a`. */
export function slidingDifferences(a: v128, b: v128, control: i32): v128 {
  const start = (control & 4) != 0 ? 4 : 0;
  const windows = shiftBytesRight(a, start);
  const block = v128.swizzle(b, v128.add<i8>(i8x16(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3), i8x16.splat(<i8>((control & 3) * 4))));
  // Window i starts at byte i: 0..3 in one vector of sixteen bytes, 4..7 in the other.
  const low = quadSums(v128.shuffle<u8>(windows, windows, 0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6), block);
  const high = quadSums(v128.shuffle<u8>(windows, windows, 4, 5, 6, 7, 5, 6, 7, 8, 6, 7, 8, 9, 7, 8, 9, 10), block);
  return v128.narrow<u32>(low, high);
}

function quadSums(a: v128, b: v128): v128 {
  const difference = v128.sub<u8>(v128.max<u8>(a, b), v128.min<u8>(a, b));
  return v128.extadd_pairwise<u16>(v128.extadd_pairwise<u8>(difference));
}

/** PCLMULQDQ: carry-less product of one half of each operand. */
export function carrylessProduct(a: v128, b: v128, control: i32): v128 {
  const x = (control & 1) != 0 ? v128.extract_lane<u64>(a, 1) : v128.extract_lane<u64>(a, 0);
  let y = (control & 16) != 0 ? v128.extract_lane<u64>(b, 1) : v128.extract_lane<u64>(b, 0);
  let low: u64 = 0, high: u64 = 0;
  while (y != 0) {
    const bit = ctz(y);
    low ^= x << bit;
    if (bit != 0) high ^= x >> (64 - bit);
    y &= y - 1;
  }
  return i64x2(low, high);
}
