// Builds native/record.c and runs cases through it on the CPU of this machine. Linux on x86-64 with gcc only.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeResult, encodeCase, type InitialState, type Outcome, type Program } from './format.ts';
import { dataVariants } from './state.ts';

const SOURCE = fileURLToPath(new URL('native/record.c', import.meta.url));
const FLAGS =
  '-O2 -std=gnu11 -static -nostdlib -ffreestanding -fno-builtin -fno-stack-protector -mgeneral-regs-only -fcf-protection=none -fPIE -no-pie -Wl,-Ttext-segment=0x5a6b7c000000';

/** Milliseconds without a result after which the case is given up. */
const MOST_SILENCE = 20_000;

export interface Recorder {
  /** Outcomes in the order of the cases; undefined where the recorder died. */
  record(cases: readonly { program: Program; state: InitialState }[]): Promise<(Outcome | undefined)[]>;
  close(): void;
}

/** @throws Error when gcc cannot build the recorder. */
export function buildRecorder(): Recorder {
  const folder = mkdtempSync(join(tmpdir(), 'pvh-report-oracle-'));
  const binary = join(folder, 'record');
  const built = spawnSync('gcc', [...FLAGS.split(' '), '-o', binary, SOURCE], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`gcc cannot build ${SOURCE}: ${built.stderr}`);
  const variants = dataVariants();
  const prologue = Buffer.concat([Buffer.from(Uint32Array.of(variants.length).buffer), ...variants]);

  const runOnce = async (records: readonly Uint8Array[]): Promise<Outcome[]> => {
    const child = spawn(binary, { stdio: ['pipe', 'pipe', 'inherit'] });
    const chunks: Buffer[] = [];
    const watchdog = setTimeout(() => child.kill('SIGKILL'), MOST_SILENCE);
    child.stdout.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      watchdog.refresh();
    });
    child.stdin.on('error', () => undefined); // EPIPE of a recorder that died: its results show where
    child.stdin.end(Buffer.concat([prologue, ...records]));
    await new Promise((resolve) => child.on('close', resolve));
    clearTimeout(watchdog);
    // Not a Buffer: its slice() would share memory.
    const bytes = new Uint8Array(Buffer.concat(chunks));
    const outcomes: Outcome[] = [];
    for (let at = 0; ; ) {
      const result = decodeResult(bytes, at);
      if (!result) return outcomes;
      outcomes.push(result.outcome);
      at = result.next;
    }
  };

  return {
    async record(cases) {
      const records = cases.map(({ program, state }) => encodeCase(program, state));
      const outcomes: (Outcome | undefined)[] = [];
      while (outcomes.length < cases.length) {
        outcomes.push(...(await runOnce(records.slice(outcomes.length))));
        if (outcomes.length < cases.length) outcomes.push(undefined);
      }
      return outcomes;
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}
