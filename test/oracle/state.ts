// The machine state a case starts from, derived from its profile and seed alone: the corpus stores neither registers
// nor memory. Frozen with the corpus: any change here means recording anew.
import { DATA_BASE, type InitialState, READONLY_BASE, REGION_BYTES } from './format.ts';
import { Random } from './random.ts';
import { interestingFloat32, interestingFloat64, interestingFloat80, interestingInteger } from './values.ts';

/** What registers and memory are filled with. */
export const PROFILES = [
  'register', // integers everywhere
  'memory', // rbx rbp rsi rdi rsp r12 r13 r14 point into the data region
  'string', // as memory, rcx a small count
  'float32',
  'float64',
  'vector', // xmm and data as packed integers
  'x87',
  'mmx',
] as const;
export type Profile = (typeof PROFILES)[number];

/** Registers that point into the data region, in encoding order, unless the profile is `register`. */
export const POINTERS: readonly number[] = [3, 4, 5, 6, 7, 12, 13, 14];
/** A small signed index, for SIB forms. */
export const INDEX_REGISTER = 9;

const VARIANTS_EACH = 8;
const DATA_KINDS = ['integer', 'integer', 'bytes', 'float32', 'float64', 'float80', 'bcd', 'small'] as const;
type DataKind = (typeof DATA_KINDS)[number];

function fillData(kind: DataKind, random: Random): Uint8Array {
  const data = new Uint8Array(REGION_BYTES);
  const view = new DataView(data.buffer);
  for (let at = 0; at < REGION_BYTES; at += 16) {
    switch (kind) {
      case 'integer':
        view.setBigUint64(at, interestingInteger(random), true);
        view.setBigUint64(at + 8, interestingInteger(random), true);
        break;
      case 'bytes':
        for (let i = 0; i < 16; i += 2)
          view.setUint16(at + i, Number(interestingInteger(random) & 0xffffn), true);
        break;
      case 'float32':
        for (let i = 0; i < 16; i += 4) view.setUint32(at + i, interestingFloat32(random), true);
        break;
      case 'float64':
        view.setBigUint64(at, interestingFloat64(random), true);
        view.setBigUint64(at + 8, interestingFloat64(random), true);
        break;
      case 'float80': {
        const value = interestingFloat80(random);
        view.setBigUint64(at, value.significand, true);
        view.setUint16(at + 8, value.exponent, true);
        view.setUint16(at + 10, random.u32() & 0xffff, true);
        view.setUint32(at + 12, interestingFloat32(random), true);
        break;
      }
      case 'bcd':
        for (let i = 0; i < 9; i++) data[at + i] = random.below(10) * 16 + random.below(10);
        if (random.oneIn(3)) data.fill(0, at + random.below(9), at + 9);
        data[at + 9] = random.pick([0, 0x80]);
        break;
      case 'small': // strings that often match: CMPS, SCAS, PCMPISTRI
        for (let i = 0; i < 16; i++) data[at + i] = random.oneIn(12) ? random.u32() : random.below(3);
        break;
    }
  }
  return data;
}

/** The fillings of the data region, 8 of each kind; InitialState.variant is an index into it. */
export function dataVariants(): Uint8Array[] {
  return DATA_KINDS.flatMap((kind, k) =>
    Array.from({ length: VARIANTS_EACH }, (_, i) => fillData(kind, new Random(k * 100 + i))),
  );
}

function chooseVariant(profile: Profile, random: Random): number {
  const kinds: Record<Profile, readonly DataKind[]> = {
    register: ['integer'],
    memory: ['integer'],
    string: ['small', 'small', 'integer'],
    float32: ['float32'],
    float64: ['float64'],
    vector: ['bytes', 'integer', 'small'],
    x87: ['float80', 'float80', 'float64', 'float32', 'integer', 'bcd'],
    mmx: ['bytes', 'integer'],
  };
  const first = DATA_KINDS.indexOf(random.pick(kinds[profile]));
  return first * VARIANTS_EACH + random.below(VARIANTS_EACH);
}

function pointer(random: Random, aligned: boolean): bigint {
  switch (random.below(48)) {
    case 0: // across the middle page border
      return BigInt(DATA_BASE + 0x1000 - random.below(16));
    case 1: // across the end
      return BigInt(DATA_BASE + REGION_BYTES - random.below(16));
    case 2:
      return BigInt(READONLY_BASE + 0x800 + random.below(0x400) * 2);
    case 3:
      return random.pick([0x8000_0000_0000_0000n, 0x0000_8000_0000_0000n, 0xffff_7fff_ffff_fff8n, 0x1000n]);
    default: {
      const at = 0x400 + random.below(0x1800);
      return BigInt(DATA_BASE + (aligned || random.oneIn(2) ? at & ~15 : at));
    }
  }
}

function emptyFx(): Uint8Array {
  const fx = new Uint8Array(512);
  const view = new DataView(fx.buffer);
  view.setUint16(0, 0x37f, true);
  view.setUint32(24, 0x1f80, true);
  return fx;
}

function fillXmm(fx: Uint8Array, profile: Profile, random: Random): void {
  const view = new DataView(fx.buffer);
  for (let at = 160; at < 416; at += 16) {
    switch (profile) {
      case 'float32':
        for (let i = 0; i < 16; i += 4) view.setUint32(at + i, interestingFloat32(random), true);
        break;
      case 'float64':
        view.setBigUint64(at, interestingFloat64(random), true);
        view.setBigUint64(at + 8, interestingFloat64(random), true);
        break;
      default:
        if (random.oneIn(2)) {
          view.setBigUint64(at, interestingInteger(random), true);
          view.setBigUint64(at + 8, interestingInteger(random), true);
        } else
          for (let i = 0; i < 16; i += 2)
            view.setUint16(at + i, Number(interestingInteger(random) & 0xffffn), true);
    }
  }
}

function fillStack(fx: Uint8Array, profile: Profile, random: Random): void {
  const view = new DataView(fx.buffer);
  for (let at = 32; at < 160; at += 16) {
    if (profile === 'mmx') {
      view.setBigUint64(at, interestingInteger(random), true);
      view.setUint16(at + 8, 0xffff, true);
    } else {
      const value = interestingFloat80(random);
      view.setBigUint64(at, value.significand, true);
      view.setUint16(at + 8, value.exponent, true);
    }
  }
  const control = random.oneIn(2)
    ? 0x37f
    : (random.oneIn(4) ? random.below(64) : 0x3f) |
      0x40 |
      (random.pick([0, 2, 3, 3]) << 8) |
      (random.below(4) << 10);
  const pending = random.oneIn(24) ? random.below(64) : random.below(64) & control;
  let status = (random.oneIn(3) ? pending : 0) | (random.u32() & 0x4700) | (random.below(8) << 11);
  if (status & ~control & 0x3f) status |= 0x8080;
  view.setUint16(0, control, true);
  view.setUint16(2, status, true);
  fx[4] = random.oneIn(6) ? random.below(256) : 0xff;
}

/** The state that case `seed` of a profile starts from. 32-bit cases get the same, cut to 32 bits. */
export function initialState(profile: Profile, mode: 32 | 64, seed: number): InitialState {
  const random = new Random(seed);
  const gpr = new BigUint64Array(16);
  for (let i = 0; i < 16; i++) gpr[i] = interestingInteger(random);
  const isVector = profile === 'float32' || profile === 'float64' || profile === 'vector';
  if (profile !== 'register') {
    for (const register of POINTERS) gpr[register] = pointer(random, isVector);
    gpr[INDEX_REGISTER] = BigInt.asUintN(64, BigInt(random.below(33) - 16));
  }
  if (profile === 'string') gpr[1] = random.oneIn(40) ? 300n : BigInt(random.below(20));
  if (mode === 32) for (let i = 0; i < 16; i++) gpr[i] = BigInt.asUintN(32, gpr[i] as bigint); // i < length
  let rflags = 0x202 | (random.u32() & 0x8d5);
  if (random.oneIn(4)) rflags |= 0x400;
  if (random.oneIn(64)) rflags |= 0x40000;
  const fx = emptyFx();
  if (isVector) {
    fillXmm(fx, profile, random);
    if (random.oneIn(2)) {
      const sticky = random.below(64);
      const masks = random.oneIn(4) ? random.below(64) : 0x3f;
      const mxcsr = sticky | (random.oneIn(4) ? 0x40 : 0) | (masks << 7) | (random.below(4) << 13);
      new DataView(fx.buffer).setUint32(24, mxcsr | (random.oneIn(4) ? 0x8000 : 0), true);
    }
  }
  if (profile === 'x87' || profile === 'mmx') fillStack(fx, profile, random);
  if (profile === 'mmx' || profile === 'x87') fillXmm(fx, 'vector', random);
  return {
    gpr,
    rflags,
    fs_base: BigInt(DATA_BASE + 0x10),
    gs_base: BigInt(random.below(0x200) - 0x100) & 0xffff_ffff_ffff_ffffn,
    variant: chooseVariant(profile, random),
    fx,
  };
}
