// Runs real kernels through the command-line tools, as a user does, in a state directory of the test's own.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const bins = fileURLToPath(new URL('../../dist/tools/bin/', import.meta.url));

export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A state directory with the tools bound to it; close() destroys every domain made in it. */
export class Host implements Disposable {
  readonly stateDir: string = mkdtempSync(join(tmpdir(), 'pvh-state-'));

  run(tool: 'xl' | 'xenctx' | 'pvh-report', ...args: string[]): Ran {
    const env = { ...process.env, PVH_STATE_DIR: this.stateDir, NO_COLOR: '1' };
    const { status, stdout, stderr, error } = spawnSync(process.execPath, [`${bins}${tool}.js`, ...args], {
      env,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      timeout: 180_000,
    });
    if (error) throw error;
    return { status, stdout, stderr };
  }

  /** Runs a tool that must succeed; its standard output. */
  ok(tool: 'xl' | 'xenctx' | 'pvh-report', ...args: string[]): string {
    const { status, stdout, stderr } = this.run(tool, ...args);
    if (status !== 0) throw new Error(`${tool} ${args.join(' ')}: exit ${status}\n${stdout}${stderr}`);
    return stdout;
  }

  /** Writes an xl.cfg with `settings` (values in xl.cfg syntax) and creates the domain. @returns its domid. */
  create(name: string, settings: Readonly<Record<string, string>>): number {
    const path = join(this.stateDir, `${name}.cfg`);
    const lines = Object.entries({ name: `"${name}"`, type: '"pvh"', ...settings });
    writeFileSync(path, lines.map(([key, value]) => `${key} = ${value}\n`).join(''));
    this.ok('xl', 'create', '-q', path);
    return Number(this.ok('xl', 'domid', name));
  }

  /** Creates a Linux guest of two CPUs, which is preserved when it crashes. @param options `memory` in MiB. */
  createLinux(
    name: string,
    {
      kernel,
      ramdisk,
      extra,
      memory = '256',
    }: {
      readonly kernel: string;
      readonly ramdisk?: string;
      readonly extra: string;
      readonly memory?: string;
    },
  ): number {
    return this.create(name, {
      on_crash: '"preserve"',
      memory,
      vcpus: '2',
      kernel: `"${kernel}"`,
      ...(ramdisk !== undefined && { ramdisk: `"${ramdisk}"` }),
      extra: `"${extra}"`,
    });
  }

  /** Waits until `xl list` shows the domain shut down. @returns its state letters. */
  async untilShutdown(domid: number, seconds = 120): Promise<string> {
    for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
      const row = this.ok('xl', 'list', String(domid)).split('\n')[1] ?? '';
      const state = row.match(/([rbp-]{3}[s-][a-zA-Z?-][d-])/)?.[1] ?? '';
      if (state[3] === 's') return state;
      await new Promise((wake) => setTimeout(wake, 200));
    }
    throw new Error(
      `domain ${domid} still runs after ${seconds} s; console:\n${this.console(domid).slice(-2000)}`,
    );
  }

  console(domid: number): string {
    return readFileSync(join(this.stateDir, `domains/${domid}/console.log`), 'latin1').replaceAll(
      '\r\n',
      '\n',
    );
  }

  file(domid: number, name: string): string {
    return join(this.stateDir, `domains/${domid}`, name);
  }

  [Symbol.dispose](): void {
    for (const { domid } of JSON.parse(this.run('xl', 'list', '-l').stdout || '[]') as { domid: number }[])
      this.run('xl', 'destroy', String(domid));
    rmSync(this.stateDir, { recursive: true, force: true });
  }
}

export const sha256 = (path: string): string =>
  execFileSync('sha256sum', [path], { encoding: 'utf8' }).slice(0, 64);
