// Patterns of names: `*` for any characters, `?` for one. Knows nothing of files.

/**
 * Whether items fit a pattern in which `star` stands for any number of them. Looks back to the last star only, so its time is bounded
 * by the product of the lengths.
 */
export function matches(
  pattern: ArrayLike<string>,
  items: ArrayLike<string>,
  star: string,
  fits: (wanted: string, item: string) => boolean,
): boolean {
  let [at, in_] = [0, 0];
  let last: { readonly at: number; in_: number } | undefined;
  while (in_ < items.length) {
    const wanted = pattern[at];
    if (wanted === star) last = { at: at++, in_ };
    else if (wanted !== undefined && fits(wanted, items[in_] ?? '')) {
      at++;
      in_++;
    } else if (last) {
      last.in_++;
      [at, in_] = [last.at + 1, last.in_];
    } else return false;
  }
  while (pattern[at] === star) at++;
  return at === pattern.length;
}

/** A whole name, or one part of a path. */
export const matchesName = (pattern: string, name: string): boolean =>
  matches(pattern, name, '*', (wanted, character) => wanted === '?' || wanted === character);
