// Two lists side by side. Pure; what the lists mean is the caller's business.

/** One row of an alignment: in both lists, or in one of them only. */
export interface AlignedRow {
  readonly in: 'both' | 'a' | 'b';
  readonly text: string;
}

/** Longest common subsequence, at most `limit` entries of each list (time and room grow with its square). */
export function align(a: readonly string[], b: readonly string[], limit: number): AlignedRow[] {
  const left = a.slice(0, limit);
  const right = b.slice(0, limit);
  const width = right.length + 1;
  const length = new Uint16Array((left.length + 1) * width);
  const at = (i: number, j: number) => length[i * width + j] ?? 0;
  for (let i = left.length - 1; i >= 0; i--)
    for (let j = right.length - 1; j >= 0; j--)
      length[i * width + j] =
        left[i] === right[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
  const rows: AlignedRow[] = [];
  let i = 0;
  let j = 0;
  while (i < left.length || j < right.length) {
    const inA = left[i];
    const inB = right[j];
    if (inA !== undefined && inA === inB) {
      rows.push({ in: 'both', text: inA });
      i++;
      j++;
    } else if (inA !== undefined && (inB === undefined || at(i + 1, j) >= at(i, j + 1))) {
      rows.push({ in: 'a', text: inA });
      i++;
    } else if (inB !== undefined) {
      rows.push({ in: 'b', text: inB });
      j++;
    }
  }
  return rows;
}

/** Entries that one list has more often than the other, in the order of that list. */
export function surplus(a: readonly string[], b: readonly string[]): { a: string[]; b: string[] } {
  const more = (these: readonly string[], those: readonly string[]) => {
    const left = new Map<string, number>();
    for (const entry of those) left.set(entry, (left.get(entry) ?? 0) + 1);
    return these.filter((entry) => {
      const count = left.get(entry) ?? 0;
      if (count > 0) left.set(entry, count - 1);
      return count === 0;
    });
  };
  return { a: more(a, b), b: more(b, a) };
}
