// Bytes of unknown length in bounded memory: the first quarter of the bound and what comes last.

export interface Bounded {
  readonly bytes: Uint8Array;
  /** Set when something was left out: how much. */
  readonly note?: string;
}

const mark = (left: number): Uint8Array => new TextEncoder().encode(`\n[... ${left} bytes left out ...]\n`);

export class BoundedOutput {
  readonly #headRoom: number;
  readonly #tailRoom: number;
  readonly #head: Uint8Array[] = [];
  #headLength = 0;
  #tail: Uint8Array[] = [];
  #tailLength = 0;
  /** Bytes that came, kept or not. */
  total = 0;

  /** @param bound bytes to keep, at least 4. */
  constructor(bound: number) {
    this.#headRoom = Math.floor(bound / 4);
    this.#tailRoom = bound - this.#headRoom;
  }

  push(bytes: Uint8Array): void {
    this.total += bytes.length;
    const first = bytes.subarray(0, this.#headRoom - this.#headLength);
    if (first.length > 0) this.#head.push(first);
    this.#headLength += first.length;
    const rest = bytes.subarray(first.length);
    if (rest.length === 0) return;
    this.#tail.push(rest);
    this.#tailLength += rest.length;
    // Cut now and then, not for every piece: twice the room at most.
    if (this.#tailLength > 2 * this.#tailRoom) this.#tail = [this.#lastBytes()];
  }

  #lastBytes(): Uint8Array {
    const all = Buffer.concat(this.#tail);
    const last = Buffer.from(all.subarray(Math.max(0, all.length - this.#tailRoom)));
    this.#tailLength = last.length;
    return last;
  }

  end(): Bounded {
    const tail = this.#lastBytes();
    const left = this.total - this.#headLength - tail.length;
    if (left === 0) return { bytes: Buffer.concat([...this.#head, tail]) };
    return {
      bytes: Buffer.concat([...this.#head, mark(left), tail]),
      note: `${left} of ${this.total} bytes left out after the first ${this.#headLength}`,
    };
  }
}

/**
 * What of `bytes` fits into `bound`.
 * @param telling parts that stay wherever they are, from where to where; together shorter than half of the bound.
 */
export function boundTo(
  bytes: Uint8Array,
  bound: number,
  telling: readonly (readonly [number, number])[] = [],
): Bounded {
  if (bytes.length <= bound) return { bytes };
  const head = Math.floor(bound / 4);
  const middle: (readonly [number, number])[] = [];
  let tail = bytes.length - bound + head;
  const isOutside = (part: readonly [number, number]): boolean =>
    !middle.includes(part) && part[0] < tail && part[1] > head;
  // Each that stays moves the beginning of the end, and may leave another one outside.
  for (let part = telling.find(isOutside); part; part = telling.find(isOutside)) {
    middle.push(part);
    tail += part[1] - part[0];
  }
  const parts: Uint8Array[] = [];
  let [at, left] = [0, 0];
  for (const [start, end] of [
    [0, head],
    ...middle.sort(([a], [b]) => a - b),
    [tail, bytes.length],
  ] as const) {
    if (end <= at) continue;
    if (start > at) parts.push(mark(start - at));
    left += Math.max(0, start - at);
    parts.push(bytes.subarray(Math.max(start, at), end));
    at = end;
  }
  return {
    bytes: Buffer.concat(parts),
    note: `${left} of ${bytes.length} bytes left out after the first ${head}`,
  };
}
