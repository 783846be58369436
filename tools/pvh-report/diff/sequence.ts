// Which entries of two long sequences belong together, in their order: by the entries that both have equally often (patience),
// and between those again. Entries are numbers: equal numbers, equal entries.

/** Deeper than any log goes; beyond, what is left counts as different. */
const MAX_DEPTH = 64;
/** Blocks without anchors are compared cell by cell as long as they are this small, ... */
const MAX_CELLS = 1 << 20;
/** ... and as long as all of them together are. */
const MAX_ALL_CELLS = 1 << 25;

interface Block {
  readonly fromA: number;
  readonly toA: number;
  readonly fromB: number;
  readonly toB: number;
  readonly depth: number;
}

/** Longest rising run of the pairs' second numbers; the pairs come sorted by the first. */
function rising(pairs: readonly (readonly [number, number])[]): (readonly [number, number])[] {
  const tails: number[] = [];
  const before = new Int32Array(pairs.length).fill(-1);
  for (const [index, [, b]] of pairs.entries()) {
    let [low, high] = [0, tails.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((pairs[tails[middle] ?? 0]?.[1] ?? 0) < b) low = middle + 1;
      else high = middle;
    }
    before[index] = low > 0 ? (tails[low - 1] ?? -1) : -1;
    tails[low] = index;
  }
  const run: (readonly [number, number])[] = [];
  for (let at = tails.at(-1) ?? -1; at >= 0; at = before[at] ?? -1) {
    const pair = pairs[at];
    if (pair) run.push(pair);
  }
  return run.reverse();
}

/** The n-th of an entry in A and the n-th in B, for entries that both blocks have equally often. */
function anchorsOf(a: Int32Array, b: Int32Array, block: Block): (readonly [number, number])[] {
  const places = new Map<number, { readonly a: number[]; readonly b: number[] }>();
  for (let at = block.fromA; at < block.toA; at++) {
    const entry = a[at] ?? 0;
    const known = places.get(entry);
    if (known) known.a.push(at);
    else places.set(entry, { a: [at], b: [] });
  }
  for (let at = block.fromB; at < block.toB; at++) places.get(b[at] ?? 0)?.b.push(at);
  const pairs: (readonly [number, number])[] = [];
  for (const { a: inA, b: inB } of places.values())
    if (inA.length === inB.length) for (const [n, at] of inA.entries()) pairs.push([at, inB[n] ?? 0]);
  return rising(pairs.sort(([x], [y]) => x - y));
}

/** Longest common subsequence of a small block. */
function matchCells(a: Int32Array, b: Int32Array, block: Block, partner: Int32Array): void {
  const width = block.toB - block.fromB + 1;
  const length = new Uint16Array((block.toA - block.fromA + 1) * width);
  const at = (i: number, j: number) => length[(i - block.fromA) * width + (j - block.fromB)] ?? 0;
  for (let i = block.toA - 1; i >= block.fromA; i--)
    for (let j = block.toB - 1; j >= block.fromB; j--)
      length[(i - block.fromA) * width + (j - block.fromB)] =
        a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
  let [i, j] = [block.fromA, block.fromB];
  while (i < block.toA && j < block.toB) {
    if (a[i] === b[j]) partner[i++] = j++;
    else if (at(i + 1, j) >= at(i, j + 1)) i++;
    else j++;
  }
}

/** @returns for each entry of A its partner in B, or -1; partners rise. */
export function pairUp(a: Int32Array, b: Int32Array): Int32Array {
  const partner = new Int32Array(a.length).fill(-1);
  const blocks: Block[] = [{ fromA: 0, toA: a.length, fromB: 0, toB: b.length, depth: 0 }];
  let cells = 0;
  for (let block = blocks.pop(); block; block = blocks.pop()) {
    let { fromA, toA, fromB, toB } = block;
    while (fromA < toA && fromB < toB && a[fromA] === b[fromB]) partner[fromA++] = fromB++;
    while (fromA < toA && fromB < toB && a[toA - 1] === b[toB - 1]) partner[--toA] = --toB;
    if (fromA === toA || fromB === toB || block.depth >= MAX_DEPTH) continue;
    const rest = { fromA, toA, fromB, toB, depth: block.depth };
    const size = (toA - fromA) * (toB - fromB);
    if (size <= MAX_CELLS && cells + size <= MAX_ALL_CELLS) {
      cells += size;
      matchCells(a, b, rest, partner);
      continue;
    }
    let [lastA, lastB] = [fromA, fromB];
    for (const [inA, inB] of anchorsOf(a, b, rest)) {
      partner[inA] = inB;
      if (inA > lastA && inB > lastB)
        blocks.push({ fromA: lastA, toA: inA, fromB: lastB, toB: inB, depth: block.depth + 1 });
      [lastA, lastB] = [inA + 1, inB + 1];
    }
    // Without any anchor there is nothing to go on with.
    if (lastA > fromA && lastA < toA && lastB < toB)
      blocks.push({ fromA: lastA, toA, fromB: lastB, toB, depth: block.depth + 1 });
  }
  return partner;
}
