// Counts the bytes of typed arrays and buffers that code asks for: they lie outside the heap that a worker's limits bound.
// Counted are constructors with a length (new Uint8Array(n), Uint32Array.from(...), Buffer.alloc(n)); copies of what is there
// already (slice) are not: their sum is bounded by time.

const COUNTED = [
  'ArrayBuffer',
  'Uint8Array',
  'Uint8ClampedArray',
  'Int8Array',
  'Uint16Array',
  'Int16Array',
  'Uint32Array',
  'Int32Array',
  'Float32Array',
  'Float64Array',
  'BigUint64Array',
  'BigInt64Array',
] as const;

/** Thrown in place of an allocation that would pass the bound, so that it does not happen. */
export class TooMuchMemory extends Error {}

export class Allocations {
  /** Bytes asked for between the last start() and its stop(). */
  bytes = 0;
  #limit: number | undefined;

  start(limit: number): void {
    this.bytes = 0;
    this.#limit = limit;
  }

  stop(): void {
    this.#limit = undefined;
  }

  /** Puts counting constructors in place of this thread's own, for good: only for a worker that does nothing else. */
  watch(): void {
    const table = globalThis as unknown as Record<string, new (...values: unknown[]) => object>; // constructors by name
    for (const name of COUNTED) {
      const original = table[name];
      if (!original) continue;
      const width = Number(Reflect.get(original, 'BYTES_PER_ELEMENT') ?? 1);
      table[name] = new Proxy(original, {
        construct: (target, values: unknown[], made) => {
          if (typeof values[0] === 'number') this.#count(values[0] * width);
          return Reflect.construct(target, values, made === table[name] ? target : made);
        },
      });
    }
    for (const name of ['alloc', 'allocUnsafe', 'allocUnsafeSlow'] as const) {
      const original = Buffer[name];
      Buffer[name] = (size: number, ...rest: []) => {
        this.#count(size);
        return original.call(Buffer, size, ...rest);
      };
    }
  }

  #count(size: number): void {
    if (this.#limit === undefined || !(size > 0)) return;
    this.bytes += size;
    if (this.bytes > this.#limit) throw new TooMuchMemory(`${this.bytes} bytes of arrays asked for`);
  }
}
