// Runs the built xl as people do, with real domain processes, and ends whatever a test leaves behind.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';
import type { DomainRecord } from '../../core/domain/record.ts';
import { Registry } from '../../core/domain/registry.ts';
import { isAlive } from '../../core/host/process-identity.ts';
import type { TinyKernel } from './tiny-kernel.ts';
import type { XlResult } from './xl.ts';

const XL = fileURLToPath(new URL('../../dist/tools/bin/xl.js', import.meta.url));
const POLL_MS = 25;
const PATIENCE_MS = 30_000;

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A state directory with a runtime of its own. */
export class XlLab {
  readonly folder: string;
  readonly registry: Registry;
  readonly env: NodeJS.ProcessEnv;

  constructor() {
    if (!existsSync(XL)) throw new Error(`${XL} is missing: run "npm run build"`);
    this.folder = mkdtempSync(join(tmpdir(), 'pvh-xl-'));
    const stateDir = join(this.folder, 'state');
    this.registry = new Registry(stateDir);
    this.env = { ...process.env, PVH_STATE_DIR: stateDir, NO_COLOR: '1' };
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Runs xl to its end. */
  xl(...argv: readonly string[]): Promise<XlResult> {
    return new Promise((resolve) => {
      execFile(
        process.execPath,
        [XL, ...argv],
        { env: this.env, cwd: this.folder, encoding: 'utf8', timeout: PATIENCE_MS },
        (error, out, err) => {
          const code = error?.code;
          resolve({ status: error === null ? 0 : typeof code === 'number' ? code : 255, out, err });
        },
      );
    });
  }

  /** Starts xl and leaves it running. */
  start(...argv: readonly string[]): ChildProcess {
    return spawn(process.execPath, [XL, ...argv], { env: this.env, cwd: this.folder });
  }

  /** Writes a configuration and its kernel. @returns the path of the configuration. */
  guest(name: string, kernel: TinyKernel | Uint8Array, lines: readonly string[] = []): string {
    const image = this.path(`${name}.elf`);
    writeFileSync(image, kernel instanceof Uint8Array ? kernel : kernel.elf());
    const config = this.path(`${name}.cfg`);
    const text = [`name="${name}"`, 'type="pvh"', `kernel="${image}"`, 'memory=8', ...lines, ''].join('\n');
    writeFileSync(config, text);
    return config;
  }

  /** Waits until the record of a domain is as wanted. */
  async until(spec: string, wanted: (record: DomainRecord | undefined) => boolean): Promise<DomainRecord> {
    for (const start = Date.now(); ; await sleep(POLL_MS)) {
      const record = this.registry.find(spec);
      if (wanted(record)) return record as DomainRecord; // undefined only when that was wanted
      if (Date.now() - start > PATIENCE_MS) throw new Error(`waited too long: ${JSON.stringify(record)}`);
    }
  }

  /** Ends all processes of this lab, by their ids. */
  async endProcesses(): Promise<void> {
    for (let rounds = 0; rounds < 200; rounds++) {
      const owners = this.registry
        .list()
        .flatMap(({ process: owner }) => (owner === undefined ? [] : [owner]));
      const living = owners.filter((owner) => owner.pid !== process.pid && isAlive(owner));
      if (living.length === 0) break;
      for (const { pid } of living) process.kill(pid, 'SIGKILL');
      await sleep(POLL_MS);
    }
  }

  async close(): Promise<void> {
    await this.endProcesses();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A lab for each test that asks; closed after it. */
export function xlLabs(): () => XlLab {
  const made: XlLab[] = [];
  afterEach(async () => {
    for (const lab of made.splice(0)) await lab.close();
  });
  return () => {
    const lab = new XlLab();
    made.push(lab);
    return lab;
  };
}
