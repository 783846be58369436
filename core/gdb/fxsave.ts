// FPU and vector registers out of an FXSAVE image (SDM vol 1, 10.5.1; 64-bit layout), in the form in which gdb has them.

export type FpuControl = 'fctrl' | 'fstat' | 'ftag' | 'fiseg' | 'fioff' | 'foseg' | 'fooff' | 'fop';

const STACK = 32;
const STACK_STRIDE = 16;
const STACK_BYTES = 10;
const VECTORS = 160;
const VECTOR_BYTES = 16;

/** Register ST(index) of the stack, 80 bits. */
export function fpuStack(fxsave: Uint8Array, index: number): Uint8Array {
  const start = STACK + STACK_STRIDE * index;
  return fxsave.subarray(start, start + STACK_BYTES);
}

export function vectorRegister(fxsave: Uint8Array, index: number): Uint8Array {
  const start = VECTORS + VECTOR_BYTES * index;
  return fxsave.subarray(start, start + VECTOR_BYTES);
}

const viewOf = (fxsave: Uint8Array): DataView => new DataView(fxsave.buffer, fxsave.byteOffset, 512);

export const vectorControl = (fxsave: Uint8Array): number => viewOf(fxsave).getUint32(24, true);

/** Valid 0, zero 1, special 2, empty 3 (SDM vol 1, 8.1.7): the image only has which are empty. */
function tagOf(register: Uint8Array): number {
  const view = new DataView(register.buffer, register.byteOffset, STACK_BYTES);
  const exponent = view.getUint16(8, true) & 0x7fff;
  const mantissa = view.getBigUint64(0, true);
  if (exponent === 0) return mantissa === 0n ? 1 : 2;
  return exponent !== 0x7fff && mantissa >> 63n !== 0n ? 0 : 2;
}

function tagWord(fxsave: Uint8Array): number {
  const view = viewOf(fxsave);
  const used = view.getUint8(4);
  const top = (view.getUint16(2, true) >> 11) & 7;
  let word = 0;
  for (let physical = 0; physical < 8; physical++) {
    const isEmpty = ((used >> physical) & 1) === 0;
    const tag = isEmpty ? 3 : tagOf(fpuStack(fxsave, (physical - top) & 7));
    word |= tag << (2 * physical);
  }
  return word;
}

const CONTROLS: Readonly<Record<FpuControl, (view: DataView, fxsave: Uint8Array) => number>> = {
  fctrl: (view) => view.getUint16(0, true),
  fstat: (view) => view.getUint16(2, true),
  ftag: (_, fxsave) => tagWord(fxsave),
  fiseg: (view) => view.getUint16(12, true),
  fioff: (view) => view.getUint32(8, true),
  foseg: (view) => view.getUint16(20, true),
  fooff: (view) => view.getUint32(16, true),
  fop: (view) => view.getUint16(6, true) & 0x7ff,
};

export const fpuControl = (fxsave: Uint8Array, name: FpuControl): number =>
  CONTROLS[name](viewOf(fxsave), fxsave);
