// How bad a line of a log is, by the words of kernels. Says nothing about what caused what.

export type Severity = 'fatal' | 'warning';

/**
 * First match decides. Linux v6.1 kernel/panic.c, lib/bug.c, arch/x86/mm/fault.c, arch/x86/kernel/{traps,dumpstack}.c,
 * kernel/{hung_task,watchdog}.c, kernel/rcu/tree_stall.h; samples/lib/panic.c; xen/arch/x86/hvm/hvm.c, xen/common/domain.c.
 */
const PATTERNS: readonly (readonly [Severity, RegExp])[] = [
  ['fatal', /Kernel panic|\bPanic: |\bBUG: |\bBUG at |\bOops\b|general protection fault|double fault/],
  [
    'fatal',
    /Unhandled exception|unable to handle|Triple fault|invalid opcode: |divide error: |stack guard page/,
  ],
  ['fatal', /\bshut down, reason code [1-9]|Domain \d+ \(vcpu#\d+\) crashed|domain_crash/],
  [
    'warning',
    /\bWARNING: |\bWARN\b|\bwarn(ing)?\b|INFO: task .{1,80} blocked|\bstalls?\b|hung_task|soft lockup/i,
  ],
  ['warning', /\berror\b|\bfail(ed|ure)?\b|\bcannot\b|\bunable to\b|\bdenied\b|\bout of memory\b/i],
];

/** Where the level of a line stands before it (`<3>[    1.0] text`): KERN_EMERG to KERN_WARNING. */
const LEVEL = /^<([0-7])>/;

/** What is looked at of a line. */
const LOOKED_AT = 1000;

export function severityOf(line: string): Severity | undefined {
  const start = line.slice(0, LOOKED_AT);
  for (const [severity, pattern] of PATTERNS) if (pattern.test(start)) return severity;
  const level = LEVEL.exec(start)?.[1];
  return level === undefined ? undefined : level <= '2' ? 'fatal' : level <= '4' ? 'warning' : undefined;
}
