// What the guest itself said of its crash: the line that tells most, without what differs from run to run. Tables first.
import { type OnStep, type Rewriting, rewrite } from './names.ts';

/** What kind of crash a message is about. */
interface Kind {
  readonly kind: string;
  /** `text` is what is kept of the line. */
  readonly line: RegExp;
  /** Whether it ends something by itself; others count only when a panic points to them. */
  readonly fatal: boolean;
}

/** Linux: kernel/panic.c, lib/bug.c, arch/x86/kernel/{traps,dumpstack}.c, arch/x86/mm/fault.c, kernel/{watchdog,hung_task}.c. */
export const KINDS: readonly Kind[] = [
  { kind: 'panic', line: /Kernel panic - not syncing: (?<text>.*)/, fatal: true },
  { kind: 'kernel BUG', line: /\bkernel BUG at (?<text>.*)/, fatal: true },
  { kind: 'soft lockup', line: /\bBUG: soft lockup - (?<text>.*)/, fatal: false },
  {
    kind: 'hard lockup',
    line: /Watchdog detected hard (?<text>LOCKUP on cpu \d{1,5})/,
    fatal: false,
  },
  { kind: 'stack overflow', line: /\bBUG: (?<text>.{0,60}stack guard page was hit)\b/, fatal: true },
  {
    kind: 'page fault',
    line: /\bBUG: (?<text>(unable to handle|kernel NULL pointer dereference).*)/,
    fatal: true,
  },
  { kind: 'BUG', line: /\bBUG: (?<text>.*)/, fatal: true },
  { kind: 'double fault', line: /\bPANIC: (?<text>double fault)\b/, fatal: true },
  {
    kind: 'exception',
    line: /(^|\b(Oops|traps): )(?<text>(general protection fault|divide error|invalid opcode|int3|stack segment|segment not present|invalid TSS|bounds|overflow|alignment check|stack guard page|double fault|control protection)\b.*)/,
    fatal: true,
  },
  { kind: 'oops', line: /\bOops(?<text>): /, fatal: true },
  { kind: 'hung task', line: /\bINFO: (?<text>task .{1,40} blocked for more than)\b/, fatal: false },
  { kind: 'stall', line: /\brcu: INFO: (?<text>\w{1,40} (self-)?detected stalls?)\b/, fatal: false },
  { kind: 'warning', line: /\bWARNING: CPU: \d{1,5} PID: \d{1,10} at (?<text>.*)/, fatal: false },
  // samples/lib
  { kind: 'panic', line: /^Panic: (?<text>.*)/, fatal: true },
  { kind: 'BUG', line: /^BUG at (?<text>.*)/, fatal: true },
  { kind: 'exception', line: /^Unhandled exception \d{1,3} \((?<text>[^)]{1,60})\)/, fatal: true },
];

/** One of these stands in every line that any of KINDS matches: cheap to look for. */
const CANDIDATE =
  /Kernel panic - |BUG: |kernel BUG at |\bBUG at |hard LOCKUP|PANIC: double|Oops|Panic: |Unhandled exception|INFO: |WARNING: CPU|general protection|divide error|invalid opcode|traps: |stack segment|stack guard page|double fault|segment not present|alignment check|control protection|int3|invalid TSS/;

/** A panic that only says that something else had happened, and the kinds of what had. */
const FOLLOWS: readonly { readonly text: RegExp; readonly kinds: readonly string[] }[] = [
  {
    text: /^Fatal exception/,
    kinds: ['kernel BUG', 'stack overflow', 'page fault', 'BUG', 'double fault', 'exception', 'oops'],
  },
  { text: /^softlockup: /, kinds: ['soft lockup'] },
  { text: /^Hard LOCKUP/i, kinds: ['hard lockup'] },
  { text: /^hung_task: /, kinds: ['hung task'] },
  { text: /^RCU Stall/i, kinds: ['stall'] },
  { text: /panic_on_warn/, kinds: ['warning'] },
];

const ADDRESS = /\b(0x)?[0-9a-f]{8,16}\b/gi;

/** What differs between runs, builds and hosts; in this order. */
export const TITLE_RULES: readonly Rewriting[] = [
  {
    rule: 'signal',
    why: 'the low seven bits are the signal that killed it (wait(2))',
    pattern: /\bexitcode=0x[0-9a-f]{6}(?!00|80)[0-9a-f]{2}\b/,
    to: 'killed by a signal',
  },
  {
    rule: 'exit code',
    why: 'no signal: it ended by itself (wait(2))',
    pattern: /\bexitcode=0x[0-9a-f]{8}\b/,
    to: 'by its own exit',
  },
  {
    rule: 'error code',
    why: 'number and configuration of the kernel stand behind the exception (linux arch/x86/kernel/dumpstack.c)',
    pattern: /:? ?[0-9a-f]{4} \[#\d{1,5}\].*$/,
    to: '',
  },
  {
    rule: 'root device by name',
    why: 'linux v6.6 and later print both (init/do_mounts.c)',
    pattern: /\bon "[^"]{0,100}" or /,
    to: 'on ',
  },
  {
    rule: 'uuid',
    why: 'every machine has its own',
    pattern: /\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi,
    to: '<uuid>',
  },
  {
    rule: 'mac',
    why: 'every machine has its own',
    pattern: /\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b/gi,
    to: '<mac>',
  },
  { rule: 'ip', why: 'every machine has its own', pattern: /\b(\d{1,3}\.){3}\d{1,3}\b/g, to: '<ip>' },
  {
    rule: 'address',
    why: 'addresses change with the layout and the build',
    pattern: ADDRESS,
    to: '<address>',
  },
  {
    rule: 'offset',
    why: 'another build, another offset',
    pattern: /\+0x[0-9a-f]{1,16}\/0x[0-9a-f]{1,16}/g,
    to: '',
  },
  {
    rule: 'source line',
    why: 'lines move from version to version, folders from build to build',
    pattern: /(?<![^\s])(?:[^\s:/]{0,80}\/){0,20}([\w.-]{1,80}\.[chS]):\d{1,7}!?/g,
    to: '$1',
  },
  { rule: 'task', why: 'name and number of whoever ran', pattern: /\s?\[[^\][]{1,40}:\d{1,10}\]/g, to: '' },
  {
    rule: 'named task',
    why: 'name and number of whoever ran',
    pattern: /\btask \S{1,40}:\d{1,10}\b/g,
    to: 'task',
  },
  { rule: 'cpu', why: 'any of them', pattern: /\bCPU ?[#:]? ?\d{1,5}\b/gi, to: 'CPU' },
  { rule: 'pid', why: 'any of them', pattern: /\bPID:? \d{1,10}\b/gi, to: 'PID' },
  {
    rule: 'duration',
    why: 'how long a watchdog waits',
    pattern: /\b\d{1,9} ?(s|ms|seconds)\b!?/g,
    to: '<time>',
  },
  { rule: 'comm', why: 'who ran when it died (linux kernel/exit.c)', pattern: / Comm: \S{1,40}/g, to: '' },
  { rule: 'end', why: 'no more than how it is written', pattern: /[\s.!:]{1,20}$/, to: '' },
];

const MAX_TITLE = 200;

/** What stands before the words: severity, printk's time and task, xenconsoled's time, a log's `(d1)`. */
const PREFIX =
  /^(?:<\d{1,3}>|\[ {0,12}\d{1,12}\.\d{1,9}\] ?|\[ {0,6}[TC]\d{1,10}\] ?|\(d\d{1,5}\) ?|\[\d{4}-\d\d-\d\d[ T][\d:.]{8,20}Z?\] ?){1,6}/;

export const withoutPrefix = (line: string): string => line.replace(PREFIX, '');

export interface Title {
  readonly kind: string;
  /** Without what differs from run to run. */
  readonly text: string;
  /** The line as it was printed, without addresses. */
  readonly said: string;
  /** Behind `CPU:` in its lines. */
  readonly cpu: number | undefined;
  /** Behind `RIP:` in its lines, as the guest's kernel names it. */
  readonly rip: string | undefined;
  /** The whole line. */
  readonly raw: string;
  /** From where to where in the console stands what it was taken from, in characters: the message, the panic that follows from it. */
  readonly places: readonly (readonly [number, number])[];
}

interface Candidate {
  readonly kind: Kind;
  readonly text: string;
  readonly line: number;
}

function candidatesOf(lines: readonly string[]): Candidate[] {
  return lines.flatMap((raw, line) => {
    if (!CANDIDATE.test(raw)) return [];
    const words = withoutPrefix(raw.slice(0, 400).trimEnd());
    for (const kind of KINDS) {
      const found = kind.line.exec(words);
      if (found) return [{ kind, text: found.groups?.['text'] ?? '', line }];
    }
    return [];
  });
}

/** Lines of one message that may lie between two that say why. */
const MOST_APART = 8;

/** The first line of the last message among these. */
function firstOfLast(candidates: readonly Candidate[]): Candidate | undefined {
  let at = candidates.length - 1;
  for (let before = candidates[at - 1]; at > 0 && before; before = candidates[at - 1]) {
    if ((candidates[at]?.line ?? 0) - before.line > MOST_APART) break;
    at--;
  }
  return candidates[at];
}

/** An oops of init itself kills init: the panic then is about the oops. */
const isOopsOfInit = (panic: Candidate, before: Candidate | undefined, lines: readonly string[]): boolean =>
  before !== undefined &&
  /^Attempted to kill init! exitcode=0x000000(0[9b]|8[9b])/.test(panic.text) &&
  lines.slice(before.line, before.line + 12).some((line) => /\bPID: 1 Comm: /.test(line));

function choose(
  candidates: readonly Candidate[],
  lines: readonly string[],
  onStep: OnStep,
): Candidate | undefined {
  const panic = candidates.find(({ kind }) => kind.kind === 'panic');
  if (panic === undefined) return firstOfLast(candidates.filter(({ kind }) => kind.fatal));
  const before = candidates.filter(({ line }) => line < panic.line);
  const fatal = firstOfLast(before.filter(({ kind }) => kind.fatal));
  const follows = FOLLOWS.find(({ text }) => text.test(panic.text));
  const cause = follows
    ? firstOfLast(before.filter(({ kind }) => follows.kinds.includes(kind.kind)))
    : isOopsOfInit(panic, fatal, lines)
      ? fatal
      : undefined;
  if (cause) onStep('cause of the panic', `"${panic.text}" follows from line ${cause.line + 1}`);
  return cause ?? panic;
}

const CPU = /\bCPU: (\d{1,5})\b/;
const RIP = /\bRIP: [0-9a-f]{4}:([\w.]{1,200}\+0x[0-9a-f]{1,16}\/0x[0-9a-f]{1,16}( \[[\w -]{1,110}\])?)/;
/** A message has its CPU and its instruction in so many lines. */
const MESSAGE_LINES = 40;

/** The vCPU that the message says it was on: the first behind its first line. */
function cpuOf(lines: readonly string[], from: number): number | undefined {
  for (const line of lines.slice(from, from + MESSAGE_LINES)) {
    const found = CPU.exec(line)?.[1] ?? /\b(?:soft lockup - CPU#|LOCKUP on cpu )(\d{1,5})/.exec(line)?.[1];
    if (found !== undefined) return Number(found);
  }
  return undefined;
}

function ripOf(lines: readonly string[], from: number): string | undefined {
  for (const line of lines.slice(from, from + MESSAGE_LINES)) {
    const found = RIP.exec(line.slice(0, 400))?.[1];
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Characters of the line before that stay with a message, and of a message. */
const PLACE = { before: 200, most: 8192 };

/** A few lines in a text whose lines these are. @param offset of the first of them. */
function placeOf(
  lines: readonly string[],
  first: number,
  count: number,
  offset: number,
): readonly [number, number] {
  const lengthOf = (some: readonly string[]): number => some.reduce((sum, line) => sum + line.length + 1, 0);
  const start = offset + lengthOf(lines.slice(0, first));
  const before = Math.min(PLACE.before, lengthOf(lines.slice(Math.max(0, first - 1), first)));
  return [start - before, start + Math.min(PLACE.most, lengthOf(lines.slice(first, first + count)))];
}

/** A crash is at the end; what lies further back than this is not looked at. */
const MOST_LOOKED_AT = 8 << 20;

/** What the guest said of its crash, or undefined when it said nothing. */
export function crashTitle(console: string, onStep: OnStep = () => undefined): Title | undefined {
  const lines = console.slice(-MOST_LOOKED_AT).split('\n');
  const candidates = candidatesOf(lines);
  const found = choose(candidates, lines, onStep);
  if (found === undefined) return undefined;
  onStep('title', `line ${found.line + 1}, ${found.kind.kind}: ${found.text.slice(0, MAX_TITLE)}`);
  const said = withoutPrefix(lines[found.line] ?? '')
    .slice(0, MAX_TITLE)
    .replace(/\p{Cc}/gu, ' ')
    .replace(ADDRESS, '<address>')
    .trim();
  const text = rewrite(found.text.replace(/\p{Cc}/gu, '?').slice(0, MAX_TITLE), TITLE_RULES, onStep);
  return {
    kind: found.kind.kind,
    text,
    said,
    cpu: cpuOf(lines, found.line),
    rip: ripOf(lines, found.line),
    raw: lines[found.line] ?? '',
    places: [
      [found.line, MESSAGE_LINES] as const,
      ...candidates
        .filter(({ kind }) => kind.kind === 'panic')
        .map(({ line }) => [line, 2] as const)
        .slice(0, 1),
    ].map(([line, count]) => placeOf(lines, line, count, Math.max(0, console.length - MOST_LOOKED_AT))),
  };
}
