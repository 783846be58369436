// A real Xen with a dom0 and PVH guests, under QEMU's software emulation (nested SVM): no KVM, no Xen host needed.
// Slow, and honest: what runs is Debian's hypervisor, toolstack and kernels.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type GuestDeed, type LabImages, labImages } from './images.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const POLL_MS = 200;
const START_SECONDS = 900;
const JOB_SECONDS = 900;

/**
 * QEMU 7.2 emulates SVM well enough with these: dom0 dies on iretq with SMAP, Xen panics in mwait with MONITOR, Xen kills guests
 * that use RDTSCP, and guests complain of a wrong xsave area.
 */
const CPU = 'EPYC,+svm,+npt,-smap,-monitor,-rdtscp,-xsave,-avx,-avx2,-f16c,-fma';

export interface LabAnswer {
  readonly status: number;
  readonly output: string;
}

export interface LabGuest {
  readonly deed: GuestDeed;
  readonly type?: 'pvh' | 'pv';
  readonly vcpus?: number;
  readonly memoryMiB?: number;
}

const pause = (milliseconds: number): Promise<void> => new Promise((wake) => setTimeout(wake, milliseconds));

/** The packages that our tools import at run time, with theirs. */
function packages(): string[] {
  const read = (path: string) =>
    JSON.parse(readFileSync(join(root, path, 'package.json'), 'utf8')) as { dependencies?: object }; // npm's
  const found = new Set([...Object.keys(read('.').dependencies ?? {}), 'koffi', '@koromix/koffi-linux-x64']);
  for (const name of found)
    for (const dependency of Object.keys(read(`node_modules/${name}`).dependencies ?? {}))
      found.add(dependency);
  return [...found];
}

/** dist/ and the packages it needs, as dom0 unpacks them. */
function packApplication(path: string): void {
  const modules = packages().map((name) => `node_modules/${name}`);
  execFileSync('tar', ['--dereference', '-cf', path, 'package.json', 'dist', ...modules], { cwd: root });
}

/** A running lab. Disposing of it ends QEMU and removes its folder. */
export class XenLab implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'pvh-xenlab-'));
  readonly #share: string = join(this.folder, 'share');
  readonly #process: ChildProcess;
  #running = true;
  #errors = '';
  #jobs = 0;

  private constructor(images: LabImages) {
    for (const name of ['in', 'out', 'guest']) mkdirSync(join(this.#share, name), { recursive: true });
    const path = (name: string): string => join(this.folder, name);
    writeFileSync(path('xen'), images.xen);
    writeFileSync(path('dom0.cpio'), images.dom0Initramfs);
    copyFileSync(images.dom0Kernel, path('vmlinuz'));
    copyFileSync(images.guestKernel, join(this.#share, 'guest/vmlinuz'));
    writeFileSync(join(this.#share, 'guest/initrd'), images.guestInitramfs);
    packApplication(join(this.#share, 'app.tar'));
    this.#process = spawn(
      'qemu-system-x86_64',
      [
        ...[
          '-accel',
          'tcg,thread=multi,tb-size=512',
          '-machine',
          'q35',
          '-cpu',
          CPU,
          '-m',
          '2560',
          '-smp',
          '2',
        ],
        ...['-no-reboot', '-nodefaults', '-display', 'none', '-serial', `file:${path('serial')}`],
        ...['-fsdev', `local,id=share,path=${this.#share},security_model=none`],
        ...['-device', 'virtio-9p-pci,fsdev=share,mount_tag=share'],
        // Mitigations only cost time here: nobody attacks an emulated machine.
        ...['-kernel', path('xen')],
        ...[
          '-append',
          'console=com1 loglvl=all guest_loglvl=all dom0_mem=1280M,max:1280M noreboot spec-ctrl=no xpti=no',
        ],
        ...[
          '-initrd',
          `${path('vmlinuz')} console=hvc0 nokaslr mitigations=off random.trust_cpu=on,${path('dom0.cpio')}`,
        ],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#process.stderr?.on('data', (text) => {
      this.#errors += String(text);
    });
    const end = (): void => {
      this.#running = false;
    };
    this.#process.once('exit', end).once('error', end);
  }

  /** Boots it; our tools are those of dist/. @throws Error when something that it needs is missing, or it does not come up. */
  static async start(): Promise<XenLab> {
    const lab = new XenLab(labImages());
    try {
      await lab.#until(() => lab.serial().includes('dom0 is ready'), START_SECONDS, 'dom0 does not come up');
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What Xen and dom0 wrote so far. */
  serial(): string {
    const path = join(this.folder, 'serial');
    return existsSync(path) ? readFileSync(path, 'latin1') : '';
  }

  /** Path on this machine of /share/NAME in dom0. */
  shared(name: string): string {
    return join(this.#share, name);
  }

  /** Runs a shell script in dom0. @throws Error when it takes too long. */
  async run(script: string, seconds: number = JOB_SECONDS): Promise<LabAnswer> {
    const name = String(++this.#jobs).padStart(4, '0');
    const [job, status] = [this.shared(`in/${name}.sh`), this.shared(`out/${name}.rc`)];
    writeFileSync(`${job}.part`, script);
    renameSync(`${job}.part`, job);
    await this.#until(() => existsSync(status), seconds, `dom0 does not answer:\n${script}`);
    return {
      status: Number(readFileSync(status, 'utf8')),
      output: readFileSync(this.shared(`out/${name}.log`), 'latin1'),
    };
  }

  /** Runs a script that must succeed. @returns its output. */
  async ok(script: string, seconds?: number): Promise<string> {
    const { status, output } = await this.run(script, seconds);
    if (status !== 0) throw new Error(`exit ${status} in dom0:\n${script}\n${output}`);
    return output;
  }

  /** Creates a guest that stays after its end. @returns its domid. */
  async create(name: string, { deed, type = 'pvh', vcpus = 2, memoryMiB = 96 }: LabGuest): Promise<number> {
    const settings = [
      `name = "${name}"`,
      `type = "${type}"`,
      'kernel = "/share/guest/vmlinuz"',
      'ramdisk = "/share/guest/initrd"',
      `extra = "console=hvc0 mitigations=off how=${deed}"`,
      `memory = ${memoryMiB}`,
      `vcpus = ${vcpus}`,
      ...['poweroff', 'reboot', 'crash'].map((event) => `on_${event} = "preserve"`),
    ];
    writeFileSync(this.shared(`guest/${name}.cfg`), settings.map((line) => `${line}\n`).join(''));
    await this.ok(`xl create -q /share/guest/${name}.cfg`);
    return Number(await this.ok(`xl domid ${name}`));
  }

  /** The six state letters that xl list shows. */
  async state(domain: string | number): Promise<string> {
    const row = (await this.ok(`xl list ${domain}`)).split('\n')[1] ?? '';
    return /\s([rbpsd?wcS-]{6})\s/.exec(row)?.[1] ?? '';
  }

  /** What xenconsoled logged of a guest. */
  async console(name: string): Promise<string> {
    return (await this.run(`cat /var/log/xen/console/guest-${name}.log`)).output.replaceAll('\r\n', '\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#running) this.#process.kill('SIGKILL');
    for (let waited = 0; this.#running && waited < 50; waited++) await pause(POLL_MS);
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #until(condition: () => boolean, seconds: number, complaint: string): Promise<void> {
    for (const end = Date.now() + seconds * 1000; Date.now() < end && this.#running; await pause(POLL_MS))
      if (condition()) return;
    const cause = this.#running ? `in ${seconds} s` : `QEMU has ended: ${this.#errors}`;
    throw new Error(`${complaint} (${cause}); the end of the serial port:\n${this.serial().slice(-3000)}`);
  }
}
