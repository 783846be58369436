// The lines of `xl dmesg` that are about one domain: the ring belongs to all, and goes on while a report is made.

/** Lines of a register dump below its title do not name the domain. */
const DUMP_LINE = /^\(XEN\) (----\[|CPU: |RIP: |RFLAGS: |r[a-z0-9]{1,2}: |cr[0-4]: |fsb: |[cdefgs]s: |CPU\d)/;

/** Lines that say what other files of a report say better: creation, registers. */
const REPEATED = /^\(XEN\) (\*\*\* Dumping |d\d+: .* MiB, \d+ vCPUs?, kernel )/;
export const isRepeated = (line: string): boolean => DUMP_LINE.test(line) || REPEATED.test(line);

export function linesOfDomain(lines: readonly string[], domid: number): string[] {
  const names = new RegExp(`(\\b[dD]${domid}(v\\d+)?\\b|\\b[Dd]om(ain)? ?${domid}\\b)`);
  const title = new RegExp(`Dumping Dom${domid} `);
  let inDump = false;
  return lines.filter((line) => {
    inDump = title.test(line) || (inDump && DUMP_LINE.test(line));
    return inDump || names.test(line);
  });
}

/** The vCPU that the last shutdown or triple fault in these lines came from. */
export function vcpuOfShutdown(lines: readonly string[]): number | undefined {
  const found = lines
    .map((line) => /^\(XEN\) d\d+v(\d+) (shut down|Triple fault)/.exec(line)?.[1])
    .findLast((vcpu) => vcpu !== undefined);
  return found === undefined ? undefined : Number(found);
}
