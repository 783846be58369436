// What a function is called whatever compiler and kernel made it: rules as a table, each with its reason.
// Knows single names only; which frames count is frames.ts's.

/** One rewriting of a text. */
export interface Rewriting {
  readonly rule: string;
  /** Why, and where it was seen. */
  readonly why: string;
  readonly pattern: RegExp;
  readonly to: string;
}

/** Longer names are cut before they are looked at: a report may hold anything. */
const MAX_NAME = 256;

/** In this order. */
export const NAME_RULES: readonly Rewriting[] = [
  {
    rule: 'offset',
    why: 'another build, another offset',
    pattern: /\+0x[0-9a-f]{1,16}(\/0x[0-9a-f]{1,16})?/,
    to: '',
  },
  {
    rule: 'module',
    why: 'the module belongs to the name; linux v5.14 may add its build-id (kernel/kallsyms.c)',
    pattern: /^(\S{1,200}) \[([\w-]{1,64})( [0-9a-f]{1,40})?\]$/,
    to: '$2:$1',
  },
  {
    rule: 'compiler part',
    why: 'gcc and clang split, clone and move functions and say so behind a dot',
    pattern: /(\.(isra|constprop|part|cold|llvm|lto_priv|localalias)(\.\d{1,20})?){1,8}$/,
    to: '',
  },
  {
    rule: 'system call',
    why: 'one system call has several entries (linux arch/x86/include/asm/syscall_wrapper.h)',
    pattern: /^__(se|do|x64|ia32|x32)_(compat_)?sys_/,
    to: 'sys_',
  },
  {
    rule: 'renamed',
    why: 'mount_block_root is mount_root_generic since linux v6.6 (init/do_mounts.c)',
    pattern: /^mount_block_root$/,
    to: 'mount_root_generic',
  },
];

/** Steps that were taken, in words. */
export type OnStep = (rule: string, did: string) => void;

const ignore: OnStep = () => undefined;

/** Applies each rule once, in order; says which of them changed something. */
export function rewrite(text: string, rules: readonly Rewriting[], onStep: OnStep): string {
  let now = text;
  for (const { rule, pattern, to } of rules) {
    const next = now.replace(pattern, to);
    if (next !== now) onStep(rule, `${now} -> ${next}`);
    now = next;
  }
  return now;
}

/** `parse_term.isra.0+0x12/0x40 [expr]` is `expr:parse_term`. */
export const functionName = (symbol: string, onStep: OnStep = ignore): string =>
  rewrite(symbol.slice(0, MAX_NAME), NAME_RULES, onStep);
