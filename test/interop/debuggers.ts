// The debuggers of kernel people, run on a dump as they run them, and what they print as lists of functions.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasProgram } from '../support/compile.ts';
import { INTERRUPTED } from '../support/gdb.ts';

/** True where all three are installed, and in CI, where they have to be. */
export const hasDebuggers: boolean =
  process.env['CI'] === 'true' || ['gdb', 'crash', 'drgn'].every((program) => hasProgram(program));

/** crash waits for a terminal when it goes wrong: it gets no input, and so much time. */
const PATIENCE_MS = 240_000;

function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): string {
  const { stdout, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    timeout: PATIENCE_MS,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DEBUGINFOD_URLS: '', LC_ALL: 'C.UTF-8', ...env },
  });
  if (error) throw error;
  return `${stdout}\n${stderr}`;
}

/** A label within a function is not its name: gdb and drgn say the name, the kernel's symbols the label. */
const LABELS: Readonly<Record<string, string>> = {
  entry_SYSCALL_64_after_hwframe: 'entry_SYSCALL_64',
  secondary_startup_64_no_verify: 'secondary_startup_64',
  common_startup_64: 'secondary_startup_64',
};

/** The function of a symbol: without the part that the compiler moved away. */
export const functionOf = (symbol: string): string => {
  const name = symbol.replace(/\.(?:cold|part|constprop|isra)\b.*$/, '');
  return LABELS[name] ?? name;
};

export interface Trace {
  /** Functions with those that are inlined into them, innermost first, until the stack of interrupts is left. */
  readonly inner: string[];
  /** All the rest. */
  readonly outer: string[];
}

/** What xenctx --lines shows of each vCPU. */
export function xenctxTraces(text: string): Trace[] {
  return text
    .split(/^(?=vcpu\d+:$)/m)
    .slice(1)
    .map((vcpu) => {
      const trace: Trace = { inner: [], outer: [] };
      const lines = (vcpu.split('Call Trace:\n')[1] ?? '').split('\n');
      let list = trace.inner;
      for (const line of lines) {
        if (line === ' </IRQ>') list = trace.outer;
        const frame = /^(?: |RIP: 0010:)([\w.]+)\+0x[0-9a-f]+\/0x[0-9a-f]+(?: \((\w+) at )?/.exec(line);
        const inlined = /^ {3}\(inlined by\) (\w+) at /.exec(line);
        const name = inlined?.[1] ?? frame?.[2] ?? frame?.[1];
        if (name !== undefined) list.push(functionOf(name));
      }
      return trace;
    });
}

/** What to type, out of the line for gdb that `pvh-report export` prints. */
export function gdbSteps(commands: string): string[] {
  const line = commands.split('\n').find((text) => text.startsWith('gdb ')) ?? '';
  return [...line.matchAll(/-ex (?:'([^']*)'|(\S+))/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
}

/** The functions of a backtrace of gdb, by thread; it counts them from 1. @param steps as gdbSteps, of which the last shows stacks. */
export function gdbTraces(steps: readonly string[]): string[][] {
  const shown = 'thread apply all -ascending bt -frame-arguments none';
  const text = run('gdb', [
    ...['-nx', '-batch'],
    ...[...steps.slice(0, -1), shown].flatMap((step) => ['-ex', step]),
  ]);
  return text
    .split(/^Thread \d+ .*$/m)
    .slice(1)
    .map((thread) =>
      [...thread.matchAll(/^#\d+ +(?:(?:0x[0-9a-f]+ in )?([\w?.]+) \(|<)/gm)].map(([, name]) =>
        name === undefined ? INTERRUPTED : functionOf(name),
      ),
    );
}

/** What crash prints for some commands. */
export function crash(options: readonly string[], commands: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'pvh-crash-'));
  try {
    const script = join(folder, 'commands');
    writeFileSync(script, `${[...commands, 'quit'].join('\n')}\n`);
    return run('crash', ['-s', '-i', script, ...options]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The functions of the frames that crash prints. */
export const crashFrames = (text: string): string[] =>
  [...text.matchAll(/^ *#\d+ \[[0-9a-f]+\] ([\w.]+) at /gm)].map(([, name = '']) => functionOf(name));

/** What drgn tells when it runs a script with `prog`. Debian's drgn is for the system's own Python. */
export function drgn(vmlinux: string, dump: string, script: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'pvh-drgn-'));
  try {
    const path = join(folder, 'script.py');
    writeFileSync(path, script);
    return run('drgn', ['-q', '-c', dump, '-s', vmlinux, path]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The functions of the frames that drgn prints. */
export const drgnFrames = (text: string): string[] =>
  [...text.matchAll(/^#\d+ +([\w?.]+)/gm)].map(([, name = '']) => functionOf(name));
