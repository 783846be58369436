// The records that go to native/record.c and come back, byte for byte. Knows nothing of instructions or files.

/** Where a case's code and data stand, natively and in the replaying machine. */
export const CODE_BASE = 0x1000_0000;
export const DATA_BASE = 0x2000_0000;
export const READONLY_BASE = 0x3000_0000;
export const REGION_BYTES = 0x2000;
/** The bytes around the code: HLT, which faults in user mode. */
export const CODE_FILL = 0xf4;

export const CASE_BYTES = 1024;
export const RESULT_BYTES = 712;
const CODE_AT = 160;
const PATCHES_AT = 288;
const PATCH_BYTES = 40;
const FX_AT = 512;
const RESULT_FX_AT = 200;
const MAX_CODE_BYTES = 128;
const MAX_PATCHES = 4;

export const MAX_PATCH_BYTES = 36;

/** Registers before a case. `gpr` in encoding order; `fx` is a 512-byte FXSAVE64 image. */
export interface InitialState {
  readonly gpr: BigUint64Array;
  readonly rflags: number;
  readonly fs_base: bigint;
  readonly gs_base: bigint;
  /** Which of dataVariants() fills the data region. */
  readonly variant: number;
  readonly fx: Uint8Array;
}

/** Bytes of the data region that differ from the variant. */
export interface Patch {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface Program {
  readonly code: Uint8Array;
  /** Of the first byte, in the code region. */
  readonly offset: number;
  readonly mode: 32 | 64;
  /** At most this many single steps; a rep iteration is one. */
  readonly steps: number;
  readonly patches: readonly Patch[];
}

/** What a case left behind. */
export interface Outcome {
  readonly gpr: BigUint64Array;
  readonly rip: bigint;
  readonly rflags: number;
  /** Exception vector; 1 = all steps were done. */
  readonly vector: number;
  readonly error: number;
  readonly cr2: bigint;
  readonly fs_base: bigint;
  readonly gs_base: bigint;
  /** es cs ss ds fs gs. */
  readonly selectors: readonly number[];
  readonly fx: Uint8Array;
  readonly writes: readonly Patch[];
}

/** The 1024-byte case record, little-endian. @throws RangeError when the program does not fit. */
export function encodeCase(program: Program, state: InitialState): Uint8Array {
  if (program.code.length > MAX_CODE_BYTES || program.patches.length > MAX_PATCHES)
    throw new RangeError(`a case of ${program.code.length} bytes and ${program.patches.length} patches`);
  const record = new Uint8Array(CASE_BYTES);
  const view = new DataView(record.buffer);
  state.gpr.forEach((value, i) => {
    view.setBigUint64(i * 8, value, true);
  });
  view.setBigUint64(128, BigInt(state.rflags), true);
  view.setBigUint64(136, state.fs_base, true);
  view.setBigUint64(144, state.gs_base, true);
  view.setUint16(152, program.offset, true);
  view.setUint8(154, program.code.length);
  view.setUint8(155, program.mode);
  view.setUint16(156, program.steps, true);
  view.setUint8(158, state.variant);
  view.setUint8(159, program.patches.length);
  record.set(program.code, CODE_AT);
  program.patches.forEach((patch, i) => {
    const at = PATCHES_AT + i * PATCH_BYTES;
    view.setUint16(at, patch.offset, true);
    view.setUint8(at + 2, patch.bytes.length);
    record.set(patch.bytes, at + 4);
  });
  record.set(state.fx, FX_AT);
  return record;
}

/** Reads one result at `at`; `next` is where the following one starts, undefined when it is not whole. */
export function decodeResult(bytes: Uint8Array, at: number): { outcome: Outcome; next: number } | undefined {
  if (at + RESULT_BYTES > bytes.length) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, bytes.length - at);
  const gpr = new BigUint64Array(16);
  for (let i = 0; i < 16; i++) gpr[i] = view.getBigUint64(i * 8, true);
  const writes: Patch[] = [];
  const runs = view.getUint32(192, true);
  let position = RESULT_BYTES;
  for (let i = 0; i < runs; i++) {
    if (position + 4 > view.byteLength) return undefined;
    const length = view.getUint16(position + 2, true);
    if (position + 4 + length > view.byteLength) return undefined;
    const from = at + position + 4;
    writes.push({
      offset: view.getUint16(position, true),
      bytes: Uint8Array.from(bytes.subarray(from, from + length)),
    });
    position += 4 + length;
  }
  const outcome: Outcome = {
    gpr,
    rip: view.getBigUint64(128, true),
    rflags: Number(view.getBigUint64(136, true)),
    vector: view.getUint16(188, true),
    error: Number(view.getBigUint64(144, true)),
    cr2: view.getBigUint64(152, true),
    fs_base: view.getBigUint64(160, true),
    gs_base: view.getBigUint64(168, true),
    selectors: [0, 1, 2, 3, 4, 5].map((i) => view.getUint16(176 + i * 2, true)),
    fx: Uint8Array.from(bytes.subarray(at + RESULT_FX_AT, at + RESULT_FX_AT + 512)),
    writes,
  };
  return { outcome, next: at + position };
}
