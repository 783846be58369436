// A Xen host that is not there: its programs as scripts that print what the real ones printed about domain sysrq1, its logs as
// files, and the domain's memory from its dump. Stands in for Xen, not for a module of ours.
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { FileSource } from '../../core/host/file-source.ts';
import { openDumpFile } from '../../core/target/dump-file.ts';
import type { Target } from '../../core/target/target.ts';
import type { NamedDomain } from '../../core/target/xen.ts';
import { PvhError } from '../../symbols/errors.ts';
import { runCollect } from '../../tools/pvh-report/collect-command.ts';
import type { FoundSubject, Surroundings } from '../../tools/pvh-report/evidence.ts';
import { hostSubject, subjectOfXl } from '../../tools/pvh-report/host-subject.ts';

const GOLDEN = fileURLToPath(new URL('../golden/xen-4.17', import.meta.url));
const capture = (name: string): string => `cat '${join(GOLDEN, name)}'`;

/** What each command line prints; the first that fits. */
const XL = `case "$*" in
  dmesg) ${capture('tf-dmesg/xl-dmesg.out')};;
  info) ${capture('dom0/xl-info.out')};;
  list) ${capture('dom0/xl-list.out')};;
  'list -v 1' | 'list -v sysrq1') grep -v Domain-0 '${join(GOLDEN, 'dom0/xl-list-v.out')}';;
  'list -l 1') ${capture('sysrq1/xl-list-l-crashed.out')};;
  'vcpu-list 1') ${capture('dom0/xl-vcpu-list.out')};;
  *) echo "Error: Domain '$3' does not exist." >&2; exit 1;;
esac`;
const XENSTORE_LS = `case "$*" in
  '-f /local/domain/1') ${capture('dom0/xenstore-ls.out')};;
  '-f /libxl/1') ${capture('dom0/xenstore-ls-libxl.out')};;
  '-f /vm/'*) ${capture('dom0/xenstore-ls-vm.out')};;
  *) echo 'xenstore-ls: xs_directory: No such file or directory' >&2; exit 1;;
esac`;

/** The dump of sysrq1 as the host's Target would give it. */
function sysrq1(core: string, identity: NamedDomain): Target {
  const source = new FileSource(core);
  const dump = openDumpFile(source, () => source.close());
  return {
    kind: 'xen',
    description: 'domain 1 (sysrq1) of this host',
    identity: { ...dump.identity, ...identity },
    vcpus: dump.vcpus,
    lacks: [],
    frames: dump.frames,
    readPhysical: (address, into) => dump.readPhysical(address, into),
    close: () => dump.close(),
  };
}

export interface CollectResult {
  readonly status: number;
  readonly out: string;
  readonly err: string;
  readonly report: string;
}

export class XenHost implements Disposable {
  readonly folder: string;
  readonly logFolder: string;
  readonly #programs: string;
  #reports = 0;

  /** @param folder of a host that another process made. */
  constructor(folder?: string) {
    this.folder = folder ?? mkdtempSync(join(tmpdir(), 'pvh-xen-host-'));
    this.logFolder = join(this.folder, 'log');
    this.#programs = join(this.folder, 'bin');
    if (folder === undefined) this.#setUp();
  }

  #setUp(): void {
    writeFileSync(this.path('core.sysrq1'), gunzipSync(readFileSync(join(GOLDEN, 'core.sysrq1.reduced.gz'))));
    this.program('xl', XL);
    this.program('xenstore-ls', XENSTORE_LS);
    this.program('uname', 'echo Linux dom0 6.1.0-56-amd64 x86_64 GNU/Linux');
    this.program('dmesg', "echo '[    0.000000] Linux version 6.1.0-56-amd64'");
    this.log('console/guest-sysrq1.log', readFileSync(join(GOLDEN, 'dom0/guest-sysrq1.log')));
    this.log('xl-sysrq1.log', readFileSync(join(GOLDEN, 'dom0/xl-sysrq1.log')));
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Puts a shell script into the folder that PATH names. */
  program(name: string, script: string): void {
    const path = join(this.#programs, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `#!/bin/sh\nPATH=/usr/bin:/bin\n${script}\n`);
    chmodSync(path, 0o755);
  }

  /** Makes a program print `to` where it printed `from`. */
  edit(name: string, from: string, to: string): void {
    renameSync(join(this.#programs, name), join(this.#programs, `.${name}`));
    this.program(name, `'${join(this.#programs, `.${name}`)}' "$@" | sed 's/${from}/${to}/'`);
  }

  removeProgram(name: string): void {
    rmSync(join(this.#programs, name));
  }

  log(name: string, content: string | Uint8Array): void {
    const path = join(this.logFolder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }

  get env(): Record<string, string> {
    return { PATH: this.#programs, PVH_STATE_DIR: this.path('state') };
  }

  /** `pvh-report collect 1` as it runs on the host. */
  async collect(
    options: Parameters<typeof runCollect>[1] = {},
    more: {
      readonly isRoot?: boolean;
      readonly domain?: Partial<NamedDomain>;
      readonly openFails?: string;
      /** Xen is closed to us: this is asked of xl. */
      readonly closed?: string;
    } = {},
  ): Promise<CollectResult> {
    const report = this.path(`${++this.#reports}.tar.gz`);
    const [out, err]: [string[], string[]] = [[], []];
    const domain = {
      domid: 1,
      name: 'sysrq1',
      uuid: 'd31fd777-6930-4506-a150-7718bb5770d7',
      ...more.domain,
    };
    const openDomain = async (): Promise<Target> => {
      if (more.openFails) throw new PvhError('ENOLIB', more.openFails);
      return sysrq1(this.path('core.sysrq1'), domain);
    };
    const find = async (_: string, env: Surroundings['env']): Promise<FoundSubject> => {
      const around = {
        env,
        isRoot: more.isRoot ?? true,
        logFolder: this.logFolder,
        now: () => new Date('2026-11-22T12:00:00Z'),
      };
      if (more.closed === undefined) return hostSubject(domain, openDomain, around);
      const found = await subjectOfXl(
        more.closed,
        new PvhError('ENOKOFFI', 'koffi cannot be loaded'),
        around,
      );
      if (found === undefined) throw new Error('xl does not know it');
      return found;
    };
    const streams = { out: (text: string) => out.push(text), err: (text: string) => err.push(text) };
    const status = await runCollect(
      '1',
      { quiet: true, output: report, ...options },
      this.env,
      streams,
      find,
    );
    return { status, out: out.join(''), err: err.join(''), report };
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
