// PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM on two vectors in memory (SDM vol 2B, 4.1).

let firstLength: i32 = 0;
let secondLength: i32 = 0;
/** The last comparison: its bits, one a lane, and the flags it sets in their RFLAGS places. */
export let stringBits: u32 = 0;
export let stringFlags: u32 = 0;

/** Lane i of the vector at p: bytes or words, signed or not, by the control's low two bits. */
function lane(p: usize, i: i32, control: i32): i32 {
  switch (control & 3) {
    case 0: return <i32>load<u8>(p + i);
    case 1: return <i32>load<u16>(p + (i << 1));
    case 2: return <i32>load<i8>(p + i);
    default: return <i32>load<i16>(p + (i << 1));
  }
}

/** Lanes before the first zero. */
function implicitLength(p: usize, control: i32): i32 {
  const lanes = (control & 1) != 0 ? 8 : 16;
  let n = 0;
  while (n < lanes && lane(p, n, control) != 0) n++;
  return n;
}

function explicitLength(register: i64, control: i32): i32 {
  const lanes: i64 = (control & 1) != 0 ? 8 : 16;
  // The most negative number has no absolute value: it is unsigned here, and saturates as well.
  const magnitude = <u64>(register < 0 ? -register : register);
  return <i32>(magnitude > <u64>lanes ? lanes : <i64>magnitude);
}

export function compareImplicit(a: usize, b: usize, control: i32): void {
  firstLength = implicitLength(a, control);
  secondLength = implicitLength(b, control);
  compareStrings(a, b, control);
}

/** Lengths as in EAX/RAX and EDX/RDX, sign-extended. */
export function compareExplicit(a: usize, b: usize, control: i32, lengthA: i64, lengthB: i64): void {
  firstLength = explicitLength(lengthA, control);
  secondLength = explicitLength(lengthB, control);
  compareStrings(a, b, control);
}

function compareStrings(a: usize, b: usize, control: i32): void {
  const lanes = (control & 1) != 0 ? 8 : 16;
  let bits: u32 = 0;
  for (let j = 0; j < lanes; j++) {
    let holds = false;
    switch ((control >> 2) & 3) {
      case 0: // equal any: lane j of b is one of a's
        if (j < secondLength) {
          for (let i = 0; i < firstLength && !holds; i++) holds = lane(a, i, control) == lane(b, j, control);
        }
        break;
      case 1: // ranges: pairs of a
        if (j < secondLength) {
          const value = lane(b, j, control);
          for (let i = 0; i + 1 < firstLength && !holds; i += 2) holds = value >= lane(a, i, control) && value <= lane(a, i + 1, control);
        }
        break;
      case 2: // equal each: ends are equal to ends
        if (j < firstLength && j < secondLength) holds = lane(a, j, control) == lane(b, j, control);
        else holds = j >= firstLength && j >= secondLength;
        break;
      default: // equal ordered: a begins at lane j of b
        holds = true;
        for (let i = 0; i < firstLength && i + j < lanes && holds; i++) {
          holds = i + j < secondLength && lane(a, i, control) == lane(b, i + j, control);
        }
    }
    if (holds) bits |= 1 << j;
  }
  const polarity = (control >> 4) & 3;
  const all: u32 = (1 << lanes) - 1;
  if (polarity == 1) bits ^= all;
  else if (polarity == 3) bits ^= secondLength >= lanes ? all : (1 << secondLength) - 1;
  stringBits = bits;
  stringFlags = u32(bits != 0) | (u32(secondLength < lanes) << 6) | (u32(firstLength < lanes) << 7) | ((bits & 1) << 11);
}

/** The index forms' ECX. */
export function stringIndex(control: i32): u32 {
  const lanes: u32 = (control & 1) != 0 ? 8 : 16;
  if (stringBits == 0) return lanes;
  return (control & 0x40) != 0 ? 31 - clz(stringBits) : ctz(stringBits);
}

/** The mask forms' XMM0. */
export function stringMask(control: i32): v128 {
  if ((control & 0x40) == 0) return i64x2(stringBits, 0);
  let low: u64 = 0, high: u64 = 0;
  const words = (control & 1) != 0;
  for (let i = 0; i < 8; i++) {
    if (words) {
      const ones: u64 = ((stringBits >> i) & 1) != 0 ? 0xffff : 0;
      if (i < 4) low |= ones << (i << 4);
      else high |= ones << ((i - 4) << 4);
    } else {
      if (((stringBits >> i) & 1) != 0) low |= <u64>0xff << (i << 3);
      if (((stringBits >> (i + 8)) & 1) != 0) high |= <u64>0xff << (i << 3);
    }
  }
  return i64x2(low, high);
}
