// Writes one instruction of an opcode-table row as bytes, with randomly chosen prefixes, registers, addressing and
// immediates. Knows the encoding, not what the instruction does; generate.ts adds that.
import type { OpcodeRow } from '../../core/cpu/opcodes.ts';
import { CODE_BASE, DATA_BASE, REGION_BYTES } from './format.ts';
import type { Random } from './random.ts';
import { INDEX_REGISTER, POINTERS } from './state.ts';

/** What the caller wants of an instruction; everything else is chosen at random. */
export interface Wish {
  readonly mode: 32 | 64;
  /** Offset of the first byte in the code region: for branch targets and RIP-relative addresses. */
  readonly at: number;
  readonly gpr: BigUint64Array;
  readonly fs_base: bigint;
  readonly gs_base: bigint;
  /** Memory form of ModRM, register form, or either. */
  readonly form: 'mem' | 'reg';
  readonly lock?: boolean;
  /** F2 or F3 before a row that does not need it as part of its opcode. */
  readonly repeat?: 0xf2 | 0xf3 | undefined;
  readonly immediate?: number | undefined;
  /** Only addresses that work: no faults wanted. */
  readonly tame?: boolean;
}

export interface Instruction {
  readonly bytes: Uint8Array;
  /** Linear address of the ModRM memory operand, or undefined. */
  readonly address: bigint | undefined;
  readonly operandSize: 16 | 32 | 64;
  /** Registers named by ModRM. */
  readonly reg: number;
  readonly rm: number;
}

const PREFIX_BYTE = { '66': 0x66, f3: 0xf3, f2: 0xf2 } as const;

interface Addressing {
  readonly mod: number;
  readonly rm: number;
  readonly rexX: number;
  readonly rexB: number;
  readonly tail: number[];
  /** RIP-relative addresses are relative to the end of the instruction: filled in when that is known. */
  readonly ripTarget?: number | undefined;
  readonly offset: bigint;
}

const little = (value: bigint | number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) =>
    Number((BigInt.asUintN(64, BigInt(value)) >> BigInt(i * 8)) & 0xffn),
  );

const signed32 = (value: bigint): bigint => BigInt.asIntN(32, value);

function chooseAddressing(
  random: Random,
  wish: Wish,
  addressSize: 16 | 32 | 64,
  absolute: boolean,
): Addressing {
  const register = (i: number): bigint => wish.gpr[i] ?? 0n;
  if (addressSize === 16) {
    const rm = random.below(8);
    const mod = random.below(3);
    const bytes = mod === 1 ? 1 : mod === 2 || (mod === 0 && rm === 6) ? 2 : 0;
    const tail = little(random.u32(), bytes);
    return { mod, rm, rexX: 0, rexB: 0, tail, offset: -1n };
  }
  const target = DATA_BASE + 0x400 + random.below(REGION_BYTES - 0x800);
  if (absolute || random.oneIn(24)) {
    // [disp32] without base; with FS the displacement itself is the small part
    const displacement = absolute ? 0x100 + random.below(0x1800) : target;
    const index = wish.mode === 64 ? 4 : undefined;
    const tail = little(displacement, 4);
    if (index === undefined) return { mod: 0, rm: 5, rexX: 0, rexB: 0, tail, offset: BigInt(displacement) };
    return { mod: 0, rm: 4, rexX: 0, rexB: 0, tail: [0x25, ...tail], offset: BigInt(displacement) };
  }
  if (wish.mode === 64 && random.oneIn(16))
    return { mod: 0, rm: 5, rexX: 0, rexB: 0, tail: [0, 0, 0, 0], ripTarget: target, offset: BigInt(target) };
  const wild = !wish.tame && random.oneIn(32);
  const pointers = wish.mode === 64 ? POINTERS : POINTERS.filter((i) => i < 8);
  const base = wild ? random.below(wish.mode === 64 ? 16 : 8) : random.pick(pointers);
  const displacementBytes = (base & 7) === 5 ? random.pick([1, 4]) : random.pick([0, 0, 1, 4]);
  const displacement =
    displacementBytes === 1
      ? BigInt(random.below(256) - 128)
      : displacementBytes === 4
        ? BigInt(random.below(0x600) - 0x300)
        : 0n;
  const mod = displacementBytes === 0 ? 0 : displacementBytes === 1 ? 1 : 2;
  const tail = little(displacement, displacementBytes);
  const needsSib = (base & 7) === 4;
  let offset = register(base) + displacement;
  if (!needsSib && !random.oneIn(4)) return { mod, rm: base & 7, rexX: 0, rexB: base >> 3, tail, offset };
  let index = 4; // none
  if (wild) index = random.below(wish.mode === 64 ? 16 : 8);
  else if (wish.mode === 64 && random.oneIn(2)) index = INDEX_REGISTER;
  const scale = random.below(4);
  if (index !== 4) offset += register(index) << BigInt(scale);
  const sib = (scale << 6) | ((index & 7) << 3) | (base & 7);
  return { mod, rm: 4, rexX: index >> 3, rexB: base >> 3, tail: [sib, ...tail], offset };
}

/** Size of an immediate in bytes; 0 = the operand is none. */
function immediateBytes(
  operand: string,
  operandSize: number,
  addressSize: number,
  mode: 32 | 64,
  f64: boolean,
): number {
  switch (operand) {
    case 'Ib':
    case 'Ibs':
    case 'Jb':
      return 1;
    case 'Iw':
      return 2;
    case 'Iz':
      return operandSize === 16 ? 2 : 4;
    case 'Jz': // Intel ignores 66 on near branches of 64-bit mode
      return operandSize === 16 && !(mode === 64 && f64) ? 2 : 4;
    case 'Iv':
      return operandSize / 8;
    case 'Ap':
      return operandSize === 16 ? 4 : 6;
    case 'Ob':
    case 'Ov':
      return addressSize / 8;
    default:
      return 0;
  }
}

/** Whether the row's operation looks at the operand size. */
function hasVariableSize(row: OpcodeRow): boolean {
  return row.prefix === 'any' || row.operands.some((o) => /[vyz]$/.test(o));
}

/** One instruction of `row`, or undefined when the wish does not fit it. */
export function encodeInstruction(row: OpcodeRow, random: Random, wish: Wish): Instruction | undefined {
  const { mode } = wish;
  if (row.modes === (mode === 64 ? 'no64' : 'only64')) return undefined;
  const form = row.form ?? wish.form;
  const isMemory = row.hasModrm && form === 'mem';
  const prefixes: number[] = [];
  if (wish.lock) prefixes.push(0xf0);
  const sized = row.prefix === 'any' || row.operands.some((o) => o.endsWith('v'));
  const narrow = sized && !row.vex && random.oneIn(4);
  if (narrow) prefixes.push(0x66);
  if (wish.repeat) prefixes.push(wish.repeat);
  const usesMemory = isMemory || row.operands.some((o) => /^[OXY]/.test(o));
  let addressSize: 16 | 32 | 64 = mode;
  let segment: number | undefined;
  if (usesMemory && !wish.tame) {
    if (random.oneIn(mode === 64 ? 16 : 48)) {
      prefixes.push(0x67);
      addressSize = mode === 64 ? 32 : 16;
    }
    if (random.oneIn(12)) {
      segment = random.pick([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]);
      prefixes.push(segment);
    }
  }
  if (prefixes.length > 1 && random.oneIn(2)) prefixes.reverse();
  const mandatory =
    row.prefix === '66' || row.prefix === 'f3' || row.prefix === 'f2' ? PREFIX_BYTE[row.prefix] : undefined;

  let w = row.rexW ?? (random.oneIn(2) ? 1 : 0);
  if (row.rexW === undefined && !hasVariableSize(row) && row.class !== 'fp') w = random.oneIn(8) ? 1 : 0;
  if (mode === 32) w = row.vex ? w : 0;
  const wide = w === 1 && mode === 64;
  let operandSize: 16 | 32 | 64 = wide ? 64 : narrow ? 16 : 32;
  if (mode === 64 && row.size64 === 'f64') operandSize = 64;
  if (mode === 64 && row.size64 === 'd64' && !narrow) operandSize = 64;

  const high = (): number => (mode === 64 ? random.below(2) : 0);
  let rexR = row.reg === undefined ? high() : random.oneIn(8) ? high() : 0;
  const fsAbsolute = segment === 0x64 && mode === 64;
  const addressing = isMemory ? chooseAddressing(random, wish, addressSize, fsAbsolute) : undefined;
  const rexX = addressing?.rexX ?? 0;
  let rexB = addressing?.rexB ?? (row.rm === undefined ? high() : 0);
  let regField = row.reg ?? random.below(8);
  let rmField = addressing?.rm ?? row.rm ?? random.below(8);
  if (row.operands.some((o) => o.startsWith('S'))) {
    rexR = 0;
    regField = random.below(wish.tame ? 6 : 8);
  }
  if (row.operands.some((o) => o.startsWith('P'))) rexR = 0;
  if (row.operands.some((o) => /^[QN]/.test(o)) && !isMemory) rexB = 0;
  const hasZ = row.operands.some((o) => /^Z[bv]$/.test(o));
  if (!row.hasModrm && !hasZ) rexR = 0;
  if (!row.hasModrm && !hasZ) rexB = 0;

  const body: number[] = [];
  if (row.vex) {
    const pp = { any: 0, np: 0, '66': 1, f3: 2, f2: 3 }[row.prefix];
    const v = random.below(mode === 64 ? 16 : 8);
    const usesV = row.operands.some((o) => /^[BH]/.test(o));
    const vField = (usesV ? ~v & 15 : 15) << 3;
    // In 32-bit mode the inverted R and X bits must be set, or C4 is LES.
    body.push(
      0xc4,
      (rexR ? 0 : 0x80) | (rexX ? 0 : 0x40) | (rexB ? 0 : 0x20) | row.map,
      (w << 7) | vField | pp,
    );
    if (mode === 32) body[1] = (body[1] ?? 0) | 0xe0;
  } else {
    if (mandatory !== undefined) prefixes.push(mandatory);
    const rex = (w << 3) | (rexR << 2) | (rexX << 1) | rexB;
    if (mode === 64 && (rex !== 0 || random.oneIn(6))) body.push(0x40 | rex);
    if (row.map >= 1) body.push(0x0f);
    if (row.map === 2) body.push(0x38);
    if (row.map === 3) body.push(0x3a);
  }
  body.push(row.opcode);
  if (row.hasModrm) {
    if (addressing) body.push((addressing.mod << 6) | (regField << 3) | rmField, ...addressing.tail);
    else body.push(0xc0 | (regField << 3) | rmField);
  } else if (hasZ) {
    regField = row.opcode & 7;
    rmField = regField;
  }
  const start = prefixes.length;
  const ripAt = addressing?.ripTarget === undefined ? -1 : start + body.length - 4;
  const immediates = row.operands.map((o) =>
    immediateBytes(o, operandSize, addressSize, mode, row.size64 === 'f64'),
  );
  const length = start + body.length + immediates.reduce((a, b) => a + b, 0);
  if (length > 15) return undefined;
  let moffset: bigint | undefined;
  row.operands.forEach((operand, i) => {
    const bytes = immediates[i] ?? 0;
    if (bytes === 0) return;
    if (operand.startsWith('O')) {
      const at = fsAbsolute
        ? 0x100 + random.below(0x1800)
        : DATA_BASE + 0x400 + random.below(REGION_BYTES - 0x800);
      moffset = BigInt(at);
      body.push(...little(at, bytes));
    } else if (operand === 'Jb' || operand === 'Jz') {
      const near = operand === 'Jb' ? random.below(256) - 128 : random.below(0x600) - 0x300;
      body.push(...little(near === -length ? 5 : near, bytes));
    } else if (operand === 'Ap') {
      body.push(...little(CODE_BASE + 0x400 + random.below(0x800), bytes - 2));
      body.push(...little(random.pick([0x33, 0x23, 0x2b, 0, 0x10, 0xfff8]), 2));
    } else if (wish.immediate !== undefined) body.push(...little(wish.immediate, bytes));
    else body.push(...little(immediateValue(random, bytes), bytes));
  });
  const bytes = Uint8Array.from([...prefixes, ...body]);
  if (ripAt >= 0 && addressing?.ripTarget !== undefined) {
    const next = CODE_BASE + wish.at + bytes.length;
    bytes.set(little(addressing.ripTarget - next, 4), ripAt);
  }
  let address = addressing?.offset ?? moffset;
  if (address !== undefined) {
    address = addressSize === 64 ? address : BigInt.asUintN(addressSize, address);
    if (mode === 64 && segment === 0x64) address += wish.fs_base;
    if (mode === 64 && segment === 0x65) address += wish.gs_base;
    address = BigInt.asUintN(mode, address);
    if (addressSize === 16) address = undefined;
  }
  return { bytes, address, operandSize, reg: regField | (rexR << 3), rm: rmField | (rexB << 3) };
}

function immediateValue(random: Random, bytes: number): bigint {
  switch (random.below(6)) {
    case 0:
      return BigInt(random.below(72));
    case 1:
      return signed32(BigInt(-1 - random.below(20)));
    case 2:
      return 1n << BigInt(random.below(bytes * 8));
    default:
      return random.u64();
  }
}
