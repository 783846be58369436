// One direction of a shared ring: free-running 32-bit indices over a power-of-two buffer in a page that the guest
// can scribble on. Knows no console and no xenstore.

/** Offsets of a ring inside its page; `size` in bytes is a power of two. */
export interface RingLayout {
  readonly buffer: number;
  readonly size: number;
  readonly cons: number;
  readonly prod: number;
}

/** Bytes waiting, or undefined when the indices cannot be true. */
export function ringUsed(page: DataView, ring: RingLayout): number | undefined {
  const used = (page.getUint32(ring.prod, true) - page.getUint32(ring.cons, true)) >>> 0;
  return used > ring.size ? undefined : used;
}

/** Takes up to `limit` of the waiting bytes. The indices must have passed ringUsed. */
export function ringTake(page: DataView, ring: RingLayout, limit: number): Uint8Array {
  const cons = page.getUint32(ring.cons, true);
  const bytes = new Uint8Array(Math.min(ringUsed(page, ring) ?? 0, limit));
  for (let i = 0; i < bytes.length; i++)
    bytes[i] = page.getUint8(ring.buffer + ((cons + i) & (ring.size - 1)));
  page.setUint32(ring.cons, cons + bytes.length, true);
  return bytes;
}

/** Puts as many of the bytes as there is room for; returns how many. */
export function ringPut(page: DataView, ring: RingLayout, bytes: Uint8Array): number {
  const used = ringUsed(page, ring);
  if (used === undefined) return 0;
  const prod = page.getUint32(ring.prod, true);
  const count = Math.min(bytes.length, ring.size - used);
  for (let i = 0; i < count; i++) page.setUint8(ring.buffer + ((prod + i) & (ring.size - 1)), bytes[i] ?? 0);
  page.setUint32(ring.prod, prod + count, true);
  return count;
}
