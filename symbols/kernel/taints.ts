// What taints a Linux kernel, as the letters it prints (linux Documentation/admin-guide/tainted-kernels.rst).

interface Taint {
  readonly letter: string;
  /** For people. */
  readonly meaning: string;
}

/** By bit number. `P` has a letter of its own while it is clear: `G`. */
export const TAINTS: readonly Taint[] = [
  { letter: 'P', meaning: 'proprietary module was loaded' },
  { letter: 'F', meaning: 'module was force loaded' },
  { letter: 'S', meaning: 'kernel running on an out of specification system' },
  { letter: 'R', meaning: 'module was force unloaded' },
  { letter: 'M', meaning: 'processor reported a machine check' },
  { letter: 'B', meaning: 'bad page referenced' },
  { letter: 'U', meaning: 'taint requested by a program in user space' },
  { letter: 'D', meaning: 'kernel died recently: there was an OOPS or BUG' },
  { letter: 'A', meaning: 'ACPI table overridden by user' },
  { letter: 'W', meaning: 'kernel issued a warning' },
  { letter: 'C', meaning: 'staging driver was loaded' },
  { letter: 'I', meaning: 'workaround for a firmware bug' },
  { letter: 'O', meaning: 'module from outside the tree was loaded' },
  { letter: 'E', meaning: 'unsigned module was loaded' },
  { letter: 'L', meaning: 'soft lockup occurred' },
  { letter: 'K', meaning: 'kernel was live patched' },
  { letter: 'X', meaning: 'auxiliary taint of the distribution' },
  { letter: 'T', meaning: 'kernel was built with the struct randomization plugin' },
  { letter: 'N', meaning: 'an in-kernel test was run' },
  { letter: 'J', meaning: 'user space used a mutating debug operation of fwctl' },
];

const isSet = (mask: bigint, bit: number): boolean => ((mask >> BigInt(bit)) & 1n) !== 0n;

/** `Not tainted` is the empty text; else as in a panic, without the spaces: `G        W  O` is `GWO`. */
export function taintLetters(mask: bigint): string {
  if (mask === 0n) return '';
  const letters = TAINTS.flatMap(({ letter }, bit) => (isSet(mask, bit) ? [letter] : bit === 0 ? ['G'] : []));
  return letters.join('') + (mask >> BigInt(TAINTS.length) ? '?' : '');
}

/** Letters of a module's own taints, as /proc/modules shows them in brackets: of those that it can have, and no `G`. */
export const moduleTaintLetters = (mask: bigint): string =>
  TAINTS.flatMap(({ letter }, bit) => (isSet(mask, bit) ? [letter] : [])).join('');
