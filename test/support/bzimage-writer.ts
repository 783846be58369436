// Writes bzImages and LZ4 legacy frames for tests.

/** A bzImage of one setup sector around `payload` (which ends in its unpacked size). */
export function bzImage(payload: Uint8Array, options: { readonly version?: number } = {}): Uint8Array {
  const image = new Uint8Array(1024 + payload.length);
  const view = new DataView(image.buffer);
  view.setUint8(0x1f1, 1);
  view.setUint16(0x1fe, 0xaa55, true);
  image.set(new TextEncoder().encode('HdrS'), 0x202);
  view.setUint16(0x206, options.version ?? 0x20f, true);
  view.setUint32(0x248, 0, true);
  view.setUint32(0x24c, payload.length, true);
  image.set(payload, 1024);
  return image;
}

/** Literals, then a copy of `length` bytes (4 at least) from `distance` back; the last one of a block has no copy. */
export interface Lz4Sequence {
  readonly literals: Uint8Array;
  readonly distance?: number;
  readonly length?: number;
}

const lengthBytes = (n: number): number[] => {
  if (n < 15) return [];
  const bytes = new Array(Math.floor((n - 15) / 255)).fill(255);
  return [...bytes, (n - 15) % 255];
};

/** One block of the sequences in a legacy frame. */
export function lz4Legacy(sequences: readonly Lz4Sequence[]): Uint8Array {
  const block = sequences.flatMap(({ literals, distance, length = 4 }) => {
    const match = distance === undefined ? 0 : length - 4;
    const token = (Math.min(literals.length, 15) << 4) | Math.min(match, 15);
    const copy = distance === undefined ? [] : [distance & 0xff, distance >> 8, ...lengthBytes(match)];
    return [token, ...lengthBytes(literals.length), ...literals, ...copy];
  });
  const frame = new Uint8Array(8 + block.length);
  new DataView(frame.buffer).setUint32(0, 0x184c2102, true);
  new DataView(frame.buffer).setUint32(4, block.length, true);
  frame.set(block, 8);
  return frame;
}
