// Overlapping spans to a map without overlaps: at each place the span of the highest rank wins. Knows nothing of DWARF.

/** Spans as columns; the rank of a span is its `values` element. */
export interface Spans {
  readonly starts: number[];
  /** Exclusive. */
  readonly ends: number[];
  readonly values: number[];
}

/** From each of the ascending `starts` on, up to the next, the value of the same index holds; NOTHING where no span is. */
export interface Cover {
  readonly starts: number[];
  readonly values: number[];
}

export const NOTHING = -1;

/** The spans that have begun, the highest value on top; ended ones stay until they come up. */
class Heap {
  readonly #spans: Spans;
  readonly #items: number[] = [];

  constructor(spans: Spans) {
    this.#spans = spans;
  }

  get top(): number | undefined {
    return this.#items[0];
  }

  push(span: number): void {
    const items = this.#items;
    let at = items.length;
    items.push(span);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (this.#rank(parent) >= this.#rank(at)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  pop(): void {
    const items = this.#items;
    const last = items.pop();
    if (items.length === 0 || last === undefined) return;
    items[0] = last;
    for (let at = 0; ; ) {
      let largest = at;
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < items.length && this.#rank(child) > this.#rank(largest)) largest = child;
      if (largest === at) return;
      this.#swap(at, largest);
      at = largest;
    }
  }

  #rank(at: number): number {
    return this.#spans.values[this.#items[at] ?? 0] ?? 0;
  }
  #swap(a: number, b: number): void {
    const items = this.#items;
    const held = items[a] ?? 0;
    items[a] = items[b] ?? 0;
    items[b] = held;
  }
}

/** Indices in ascending order of start. */
function orderOf(starts: readonly number[]): ArrayLike<number> {
  const count = starts.length;
  const room = 2 ** 21;
  // Typed arrays are sorted several times faster without a comparison of ours: start and index as one number.
  if (count <= room && starts.every((start) => start >= 0 && start < 2 ** 32))
    return Float64Array.from(starts, (start, index) => start * room + index)
      .sort()
      .map((key) => key % room);
  return Array.from(starts.keys()).sort((a, b) => (starts[a] ?? 0) - (starts[b] ?? 0));
}

export function coverOf(spans: Spans): Cover {
  const { starts, ends, values } = spans;
  const order = orderOf(starts);
  const cover: Cover = { starts: [], values: [] };
  const heap = new Heap(spans);
  for (let next = 0; next < order.length || heap.top !== undefined; ) {
    const begins = starts[order[next] ?? -1] ?? Number.POSITIVE_INFINITY;
    const topEnds = heap.top === undefined ? Number.POSITIVE_INFINITY : (ends[heap.top] ?? 0);
    const at = Math.min(begins, topEnds);
    for (; next < order.length && starts[order[next] ?? 0] === at; next++) heap.push(order[next] ?? 0);
    while (heap.top !== undefined && (ends[heap.top] ?? 0) <= at) heap.pop();
    extend(cover, at, heap.top === undefined ? NOTHING : (values[heap.top] ?? NOTHING));
  }
  return cover;
}

function extend({ starts, values }: Cover, at: number, value: number): void {
  if (starts.at(-1) === at) {
    starts.pop();
    values.pop();
  }
  if ((values.at(-1) ?? NOTHING) === value) return;
  starts.push(at);
  values.push(value);
}
