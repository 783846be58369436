// A gdb stub that answers by a script, in a thread of its own: a Target blocks the thread that reads it.
import { Worker } from 'node:worker_threads';

/** What it answers: pattern of the packet, then answers as they stand in packets; `%raw` goes out as it is, without a frame. */
export type StubScript = readonly (readonly [pattern: string, ...answers: readonly string[]])[];

interface StubData {
  readonly script: StubScript;
  /** Unix socket of a stub that answers what the script does not. */
  readonly behind: string | undefined;
}

/** Registers that every stub of an x86-64 has, in gdb's order: 17 of 8 bytes, 7 of 4. */
export const CORE_DESCRIPTION: string = (() => {
  const general = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp'];
  const more = ['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip'];
  const wide = [...general, ...more].map((name) => `<reg name="${name}" bitsize="64"/>`);
  const narrow = ['eflags', 'cs', 'ss', 'ds', 'es', 'fs', 'gs'].map(
    (name) => `<reg name='${name}' bitsize='32'/>`,
  );
  return `<target>${[...wide, ...narrow].join('')}</target>`;
})();

/** Runs in the thread: its text is all that goes there. */
function serve(): void {
  const { connect, createServer } = process.getBuiltinModule('node:net');
  const { parentPort, workerData } = process.getBuiltinModule('node:worker_threads');
  const { script, behind } = workerData as StubData; // as ScriptedStub gives it
  const seen: string[] = [];
  const frame = (payload: string): string => {
    if (payload.startsWith('%raw')) return payload.slice(4);
    const sum = [...Buffer.from(payload, 'latin1')].reduce((total, byte) => (total + byte) & 0xff, 0);
    return `$${payload}#${sum.toString(16).padStart(2, '0')}`;
  };
  const server = createServer({ noDelay: true }, (socket) => {
    let received = '';
    const other = behind === undefined ? undefined : connect(behind);
    other?.on('data', (bytes) => socket.write(bytes)).on('error', () => undefined);
    socket.on('error', () => undefined).on('close', () => other?.destroy());
    socket.on('data', (bytes) => {
      received += bytes.toString('latin1');
      for (let match = /\$([^#]*)#../.exec(received); match; match = /\$([^#]*)#../.exec(received)) {
        received = received.slice(match.index + match[0].length);
        const packet = match[1] ?? '';
        seen.push(packet);
        const known = script.find(([pattern]) => new RegExp(pattern).test(packet));
        const [, ...answers] = known ?? ['', ''];
        if (!known && other) other.write(`+${frame(packet)}`);
        else socket.write(`+${answers.map(frame).join('')}`, 'latin1');
      }
    });
  });
  parentPort?.on('message', () => parentPort?.postMessage(seen));
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    parentPort?.postMessage(typeof address === 'object' ? address?.port : undefined);
  });
}

export class ScriptedStub implements AsyncDisposable {
  readonly #worker: Worker;
  /** For openGdbStub. */
  readonly place: string;

  private constructor(worker: Worker, port: number) {
    this.#worker = worker;
    this.place = `127.0.0.1:${port}`;
  }

  static async start(script: StubScript, behind?: string): Promise<ScriptedStub> {
    const workerData: StubData = { script, behind };
    const worker = new Worker(`(${serve})()`, { eval: true, workerData, execArgv: [] });
    const port = await new Promise<number>((resolve, reject) => {
      worker.once('message', resolve).once('error', reject);
    });
    return new ScriptedStub(worker, port);
  }

  /** The packets that came so far. */
  seen(): Promise<readonly string[]> {
    return new Promise((resolve) => {
      this.#worker.once('message', resolve);
      this.#worker.postMessage('seen');
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}
