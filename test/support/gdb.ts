// gdb as people run it, over our gdbserver: one batch session, what each command printed.
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const PVH_REPORT = fileURLToPath(new URL('../../dist/tools/bin/pvh-report.js', import.meta.url));
const PATIENCE_MS = 240_000;

/** True where there is a gdb; CI counts as such, so that a missing one fails there. */
export const hasGdb: boolean = process.env['CI'] === 'true' || spawnSync('gdb', ['--version']).status === 0;

/** `pvh-report gdbserver` in a process of its own. */
export class GdbServer implements AsyncDisposable {
  readonly #process: ChildProcess;
  /** What it printed before it served. */
  readonly greeting: readonly string[];
  readonly #stderr: string[];

  private constructor(process: ChildProcess, greeting: readonly string[], stderr: string[]) {
    this.#process = process;
    this.greeting = greeting;
    this.#stderr = stderr;
  }

  /** @throws Error with its stderr when it does not begin to listen. */
  static async start(stateDir: string, ...args: string[]): Promise<GdbServer> {
    const child = spawn(process.execPath, [PVH_REPORT, 'gdbserver', ...args], {
      env: { ...process.env, PVH_STATE_DIR: stateDir, DEBUGINFOD_URLS: '', NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const stderr: string[] = [];
    child.stderr.setEncoding('utf8').on('data', (text: string) => stderr.push(text));
    const greeting: string[] = [];
    for await (const line of createInterface(child.stdout)) {
      greeting.push(line);
      if (line.startsWith('Ctrl-C')) return new GdbServer(child, greeting, stderr);
    }
    throw new Error(`pvh-report gdbserver ${args.join(' ')}: ${greeting.join('\n')}${stderr.join('')}`);
  }

  /** What stands behind `target remote`. */
  get address(): string {
    return this.greeting[0]?.replace('Listening on ', '') ?? '';
  }

  get stderr(): string {
    return this.#stderr.join('');
  }

  /** @returns the exit status. */
  async ended(): Promise<number | null> {
    if (this.#process.exitCode === null && this.#process.signalCode === null)
      await once(this.#process, 'exit');
    return this.#process.exitCode;
  }

  interrupt(): void {
    this.#process.kill('SIGINT');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGINT');
    await this.ended();
  }
}

const MARK = '----8<----';

/**
 * One gdb session with the server, and what each of the commands printed.
 * @param file the program whose symbols gdb has when it connects, if any.
 */
export async function gdb(
  server: GdbServer,
  file: string | undefined,
  commands: readonly string[],
): Promise<string[]> {
  const settings = [
    'set pagination off',
    'set width 0',
    'set style enabled off',
    'set print frame-arguments none',
  ];
  const all = [...settings, `target remote ${server.address}`, ...commands];
  const mark = ['-ex', `echo ${MARK}\\n`];
  // gdb says goodbye behind the last mark.
  const words = [...all.flatMap((command) => [...mark, '-ex', command]), ...mark];
  const output = await new Promise<string>((resolve, reject) => {
    execFile(
      'sh',
      // Complaints stand where they belong.
      [
        '-c',
        'exec gdb "$@" 2>&1',
        'gdb',
        '-nx',
        '-q',
        '-batch',
        ...(file === undefined ? [] : [file]),
        ...words,
      ],
      { encoding: 'utf8', maxBuffer: 1 << 27, timeout: PATIENCE_MS },
      // gdb's status is that of its last command.
      (error, stdout) => (error?.killed ? reject(error) : resolve(stdout)),
    );
  });
  return output.split(`${MARK}\n`).slice(2 + settings.length, -1);
}

/** How gdb names a frame in which the next one was interrupted. */
export const INTERRUPTED = '<signal handler called>';

/**
 * Functions of one backtrace, innermost first, without those that were inlined: gdb shows the address at the first of those that
 * stand for one frame, and the function itself last.
 */
export function gdbFunctions(backtrace: string): string[] {
  const functions: string[] = [];
  for (const [, number, address, name = ''] of backtrace.matchAll(
    /^#(\d+) +(0x[0-9a-f]+ in )?(<signal handler called>|[\w.]+|\?\?)/gm,
  )) {
    const isNew = number === '0' || address !== undefined || name === INTERRUPTED;
    // What stands where an exception or a signal came in has no address before it either.
    if (isNew || functions.at(-1) === INTERRUPTED) functions.push(name);
    else functions[functions.length - 1] = name;
  }
  return functions;
}

/** Backtraces of `thread apply all bt` by thread number. */
export const backtraces = (text: string): Map<number, string> =>
  new Map(
    text
      .split(/^(?=Thread \d+ \()/m)
      .slice(1)
      .map((part) => [Number(/\d+/.exec(part)?.[0]), part]),
  );

/** Functions of xenctx's trace of a vCPU, innermost first. */
export const xenctxFunctions = (trace: string): string[] =>
  [...trace.slice(trace.indexOf('Call Trace:\n')).matchAll(/^(?: |RIP: 0010:)([\w.]+)\+0x/gm)].map(
    ([, name = '']) => name,
  );
