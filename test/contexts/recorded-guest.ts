// A guest that runs in this process on the CPU that records calls. Can be set back to where it was.
import { apicId } from '../../core/boot/layout.ts';
import { buildPvhGuest } from '../../core/boot/pvh.ts';
import { Domain, type DomainEnd, type DomainState } from '../../core/domain/domain.ts';
import type { HostInput } from '../../core/domain/host-input.ts';
import { writeDumpCore } from '../../core/dump/dump-core.ts';
import { hostCodecs } from '../../core/host/codecs.ts';
import { FileSource } from '../../core/host/file-source.ts';
import { createFile } from '../../core/host/files.ts';
import { Machine } from '../../core/machine/machine.ts';
import { guestCpuid } from '../../core/xen/cpuid.ts';
import { XenSide } from '../../core/xen/xen-side.ts';
import { memorySource } from '../../symbols/bytes.ts';
import { type CallChain, CallRecorder, type RecorderState } from '../oracle/call-recorder.ts';
import { recordingCpuModule } from '../support/machine.ts';

const MIB = 1 << 20;
const VERSION = { major: 4, minor: 17, extra: '.0-test' };
/** Instructions between two looks at the console. */
const STRETCH = 5_000_000;
/** No guest here needs more. */
const MOST_INSTRUCTIONS = 8e9;

interface GuestOptions {
  readonly kernel: string;
  readonly ramdisk?: Uint8Array;
  readonly cmdline: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
}

export interface Moment {
  readonly domain: DomainState;
  readonly recorder: RecorderState;
  readonly console: string;
}

export class RecordedGuest {
  console = '';
  readonly #recorder = new CallRecorder();
  readonly #machine: Machine;
  readonly #domain: Domain;

  constructor({ kernel, ramdisk, cmdline, vcpus, memoryMiB }: GuestOptions) {
    this.#machine = Machine.create({
      module: recordingCpuModule(),
      ramBytes: memoryMiB * MIB,
      vcpus,
      cpuid: guestCpuid({ vendor: 'GenuineIntel', vcpus, domid: 1, version: VERSION }),
      apicIds: Array.from({ length: vcpus }, (_, vcpu) => apicId(vcpu)),
      seed: 1,
      onTransfer: this.#recorder.listener,
    });
    const xen = new XenSide(this.#machine, {
      domid: 1,
      uuid: 'd31fd777-6930-4506-a150-7718bb5770d7',
      name: 'recorded',
      wallclockSeconds: 1_700_000_000,
      maxMemKiB: memoryMiB * 1024,
      version: VERSION,
      vendor: 'GenuineIntel',
      onConsole: (bytes) => {
        this.console += Buffer.from(bytes).toString('latin1');
      },
      onLog: () => {},
    });
    const source = new FileSource(kernel);
    try {
      buildPvhGuest(this.#machine, {
        kernel: source,
        ramdisk: ramdisk && memorySource('ramdisk', ramdisk),
        cmdline,
        codecs: hostCodecs,
      });
    } finally {
      source.close();
    }
    this.#domain = new Domain(this.#machine, xen, VERSION);
  }

  /** Runs until the console has `text` behind offset `from`. @throws Error when it ends before. */
  until(text: string, from = 0): void {
    const end = this.run(MOST_INSTRUCTIONS, () => this.console.includes(text, from));
    if (end)
      throw new Error(`the guest ended (${end.reason}) before '${text}':\n${this.console.slice(-3000)}`);
  }

  /** Runs until the guest has stopped for good. */
  finish(): DomainEnd {
    const end = this.run(MOST_INSTRUCTIONS);
    if (!end) throw new Error(`the guest does not end:\n${this.console.slice(-3000)}`);
    return end;
  }

  /** Runs about `instructions` (time that is slept through counts), or until it is enough, or to the end. */
  run(instructions: number, enough: () => boolean = () => false): DomainEnd | undefined {
    for (let left = instructions; left > 0 && !enough(); left -= STRETCH) {
      const event = this.#domain.run(Math.min(left, STRETCH));
      if (event.kind === 'shutdown') return event;
      if (event.kind !== 'idle') continue;
      if (event.until === undefined) throw new Error(`the guest sleeps:\n${this.console.slice(-3000)}`);
      this.#domain.skipTo(event.until);
    }
    return undefined;
  }

  input(input: HostInput): void {
    this.#domain.input(input);
  }

  type(line: string): void {
    this.input({ kind: 'console', bytes: Buffer.from(`${line}\n`) });
  }

  /** The recorded call chain of each vCPU. */
  chains(): CallChain[] {
    return Array.from({ length: this.#machine.vcpuCount }, (_, vcpu) => {
      const { rip, rsp } = this.#machine.registers(vcpu);
      return this.#recorder.chain(vcpu, rip, rsp, (address) => {
        const bytes = this.#machine.readVirtual(vcpu, address, 8);
        return bytes && Buffer.from(bytes).readBigUInt64LE();
      });
    });
  }

  inUserMode(vcpu: number): boolean {
    return this.#machine.cpl(vcpu) === 3;
  }

  dump(path: string): void {
    createFile(path, (file) => writeDumpCore(file, this.#domain.dumpImage()));
  }

  now(): Moment {
    return {
      domain: this.#domain.snapshot(),
      recorder: this.#recorder.snapshot(),
      console: this.console,
    };
  }

  backTo(moment: Moment): void {
    this.#domain.restore(moment.domain);
    this.#recorder.restore(moment.recorder);
    this.console = moment.console;
  }
}
