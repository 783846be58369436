// A guest under qemu-system-x86_64 (TCG, its own KASLR) that crashes and is dumped by QMP: the memory dumps of other people's tools.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const QEMU = 'qemu-system-x86_64';
const POLL_MS = 100;

/** Major and minor version; 0 where QEMU is not installed. */
export const qemuVersion: number = Number(
  /version (\d+\.\d+)/.exec(String(spawnSync(QEMU, ['--version']).stdout ?? ''))?.[1] ?? 0,
);
export const hasQemu: boolean = qemuVersion > 0;

export interface QemuGuestOptions {
  /** bzImage or PVH ELF. */
  readonly kernel: string;
  readonly initramfs?: Uint8Array;
  /** Added to `console=ttyS0`. */
  readonly commandLine?: string;
  readonly vcpus?: number;
  readonly memoryMiB?: number;
  /** QEMU's name of a CPU model; `max` has 5-level paging. */
  readonly cpu?: string;
  /** Offers a gdb stub at path('gdb'), and a console that type() types into. */
  readonly attended?: boolean;
  /** Offers the vmcoreinfo device, which the guest's qemu_fw_cfg module fills. */
  readonly vmcoreinfo?: boolean;
}

export type QemuDumpFormat = 'elf' | 'kdump-zlib' | 'kdump-lzo' | 'kdump-snappy';

interface QmpReply {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly id?: number;
}

const pause = (milliseconds: number): Promise<void> => new Promise((wake) => setTimeout(wake, milliseconds));

/** A running guest. Disposing of it ends QEMU and removes its folder. */
export class QemuGuest implements AsyncDisposable {
  /** Scratch folder of the guest's own, for dumps too. */
  readonly folder: string = mkdtempSync(join(tmpdir(), 'pvh-qemu-'));
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;
  #running = true;
  #errors = '';
  #socket: Socket | undefined;
  #received = '';
  #commands = 0;
  readonly #waiting = new Map<number, (reply: QmpReply) => void>();

  constructor(options: QemuGuestOptions) {
    const { kernel, initramfs, commandLine = '', vcpus = 2, memoryMiB = 256, cpu = 'qemu64' } = options;
    if (initramfs) writeFileSync(this.path('initrd'), initramfs);
    this.#process = spawn(
      QEMU,
      [
        ...['-accel', 'tcg', '-cpu', cpu, '-smp', `${vcpus}`, '-m', `${memoryMiB}`, '-no-reboot'],
        ...['-nodefaults', '-display', 'none', ...this.#serial(options)],
        ...['-qmp', `unix:${this.path('qmp')},server=on,wait=off`],
        ...['-kernel', kernel, '-append', `console=ttyS0 ${commandLine}`.trim()],
        ...(initramfs ? ['-initrd', this.path('initrd')] : []),
        ...(options.vmcoreinfo ? ['-device', 'vmcoreinfo'] : []),
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#process.stderr?.on('data', (text) => {
      this.#errors += String(text);
    });
    this.#ended = new Promise((resolve) => {
      const end = (): void => {
        this.#running = false;
        for (const answer of this.#waiting.values()) answer({ error: { desc: 'QEMU has ended' } });
        resolve();
      };
      this.#process.once('exit', end).once('error', end);
    });
  }

  #serial({ attended }: QemuGuestOptions): readonly string[] {
    const log = this.path('console');
    if (!attended) return ['-serial', `file:${log}`];
    const console = `socket,id=console,path=${this.path('tty')},server=on,wait=off,logfile=${log}`;
    const gdb = `unix:${this.path('gdb')},server=on,wait=off`;
    return ['-chardev', console, '-serial', 'chardev:console', '-gdb', gdb];
  }

  /** Types a line at the console of an attended guest. */
  async type(line: string): Promise<void> {
    const socket = createConnection(this.path('tty'));
    await new Promise((resolve, reject) => {
      socket.once('error', reject).end(`${line}\n`, () => resolve(undefined));
    });
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** What the guest has written to its serial port so far. */
  console(): string {
    try {
      return readFileSync(this.path('console'), 'latin1').replaceAll('\r\n', '\n');
    } catch {
      return '';
    }
  }

  /** @throws Error when the guest does not write `text` in time. */
  async untilConsole(text: string, seconds = 240): Promise<void> {
    for (const end = Date.now() + seconds * 1000; this.#running && Date.now() < end; await pause(POLL_MS))
      if (this.console().includes(text)) return;
    const tail = this.console().slice(-2000);
    throw new Error(`the guest never writes ${JSON.stringify(text)}:\n${tail}${this.#errors}`);
  }

  /** Runs a QMP command (QEMU Machine Protocol Reference). @throws Error when QEMU refuses it. */
  async qmp(execute: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    this.#socket ??= await this.#connect();
    const id = ++this.#commands;
    const reply = await new Promise<QmpReply>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#socket?.write(`${JSON.stringify({ execute, arguments: parameters, id })}\n`);
    });
    if (reply.error) throw new Error(`${execute}: ${reply.error.desc}`);
    return reply.return;
  }

  /** Formats that this QEMU was built with. */
  async formats(): Promise<readonly string[]> {
    const answer = await this.qmp('query-dump-guest-memory-capability');
    return (answer as { formats: string[] }).formats; // QMP schema: DumpGuestMemoryCapability
  }

  /** Dumps guest memory. @param paging by virtual addresses. @returns the file's path. */
  async dump(format: QemuDumpFormat, paging = false): Promise<string> {
    const path = this.path(`${format}${paging ? '-paging' : ''}.core`);
    await this.qmp('dump-guest-memory', { paging, protocol: `file:${path}`, format });
    return path;
  }

  /** The monitor's `info registers` of one vCPU. */
  async registers(vcpu: number): Promise<string> {
    const parameters = { 'command-line': 'info registers', 'cpu-index': vcpu };
    return String(await this.qmp('human-monitor-command', parameters));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket?.destroy();
    if (this.#running) this.#process.kill('SIGKILL');
    await this.#ended;
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #connect(): Promise<Socket> {
    for (const end = Date.now() + 10_000; ; await pause(POLL_MS)) {
      const socket = createConnection(this.path('qmp'));
      const connected = await new Promise<boolean>((resolve) => {
        socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      });
      if (connected) {
        socket.on('data', (text) => this.#receive(String(text)));
        this.#socket = socket;
        await this.qmp('qmp_capabilities');
        return socket;
      }
      if (!this.#running || Date.now() > end) throw new Error(`no QMP socket: ${this.#errors}`);
    }
  }

  #receive(text: string): void {
    this.#received += text;
    const lines = this.#received.split('\n');
    this.#received = lines.pop() ?? '';
    for (const line of lines) {
      const reply = JSON.parse(line) as QmpReply; // greeting and events have no id
      if (reply.id === undefined) continue;
      this.#waiting.get(reply.id)?.(reply);
      this.#waiting.delete(reply.id);
    }
  }
}
