// The lines of `xl dmesg` that are about one domain: the ring belongs to all, and goes on while a report is made.

/** Behind the time that Xen puts there when it is told to (console_timestamps=). */
const behindPrefix = (line: string): string => line.replace(/^(\(XEN\) )\[[^\]]*\] /, '$1');

/** Lines of a register dump below its title do not name the domain. */
const DUMP_LINE = /^\(XEN\) (----\[|CPU: |RIP: |RFLAGS: |r[a-z0-9]{1,2}: |cr[0-4]: |fsb: |[cdefgs]s: |CPU\d)/;
const isDumpLine = (line: string): boolean => DUMP_LINE.test(behindPrefix(line));

/** Lines that say what other files of a report say better, or the same of every domain: creation, registers. */
const REPEATED =
  /^\(XEN\) (\*\*\* Dumping |d\d+: .* MiB, \d+ vCPUs?, kernel |HVM ?d?\d+(v\d+)? (save|restore)\b)/;
export const isRepeated = (line: string): boolean => isDumpLine(line) || REPEATED.test(behindPrefix(line));

export function linesOfDomain(lines: readonly string[], domid: number): string[] {
  const names = new RegExp(`(\\b[dD]${domid}(v\\d+)?\\b|\\b[Dd]om(ain)? ?${domid}\\b)`);
  const title = new RegExp(`Dumping Dom${domid} `);
  let inDump = false;
  return lines.filter((line) => {
    inDump = title.test(line) || (inDump && isDumpLine(line));
    return inDump || names.test(line);
  });
}

/** How our runtime and Xen name the vCPU on which a domain ended. */
const LAST_WORDS =
  /^\(XEN\) (?:d\d+v(?<vcpu>\d+) (?:shut down|Triple fault)|Domain \d+ \(vcpu#(?<crashed>\d+)\) crashed)/;

/** The vCPU that the last shutdown, triple fault or crash in these lines came from. */
export function vcpuOfShutdown(lines: readonly string[]): number | undefined {
  const found = lines
    .map((line) => LAST_WORDS.exec(behindPrefix(line))?.groups)
    .map((words) => words?.['vcpu'] ?? words?.['crashed'])
    .findLast((vcpu) => vcpu !== undefined);
  return found === undefined ? undefined : Number(found);
}
