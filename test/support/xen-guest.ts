// A machine with its Xen side and no kernel: 64-bit code at CPL 0 with memory mapped one to one, so that tests can make
// hypercalls by setting registers.
import type { ShutdownReason } from '../../core/domain/record.ts';
import type { Machine } from '../../core/machine/machine.ts';
import type { Segment } from '../../core/machine/registers.ts';
import type { Effect } from '../../core/xen/effect.ts';
import type { XenOptions } from '../../core/xen/guest.ts';
import { XenSide } from '../../core/xen/xen-side.ts';
import { testMachine } from './machine.ts';

/** Page tables: PML4 at 0x1000, one PDPT at 0x2000 with four 1 GiB pages. */
const PML4 = 0x1000;
const PDPT = 0x2000;
/** Where call() puts its argument struct. */
export const ARGUMENT = 0x10_0000;

const segment = (attributes: number): Segment => ({ selector: 0, base: 0n, limit: 0xffff_ffff, attributes });

/** Field of a struct: offset, bytes, value. */
export type Field = readonly [offset: number, bytes: 1 | 2 | 4 | 8, value: number | bigint];

export class XenTestGuest {
  readonly machine: Machine;
  readonly xen: XenSide;
  readonly lines: string[] = [];
  console = '';
  effect: Effect = { kind: 'continue' };
  bits: 32 | 64 = 64;

  constructor(options: Partial<XenOptions> & { vcpus?: number; ramBytes?: number } = {}) {
    const { vcpus = 1, ramBytes = 16 << 20, ...xen } = options;
    this.machine = testMachine({ vcpus, ramBytes });
    this.xen = new XenSide(this.machine, {
      domid: 1,
      uuid: '01234567-89ab-cdef-0123-456789abcdef',
      name: 'test',
      wallclockSeconds: 1_700_000_000,
      maxMemKiB: ramBytes / 1024,
      version: { major: 4, minor: 17, extra: '.0-pvh-report' },
      vendor: 'GenuineIntel',
      onConsole: (bytes) => {
        this.console += new TextDecoder('latin1').decode(bytes);
      },
      onLog: (line) => this.lines.push(line),
      ...xen,
    });
    this.machine.writeU64(PML4, BigInt(PDPT | 3));
    for (let i = 0; i < 4; i++) this.machine.writeU64(PDPT + 8 * i, BigInt(i * 2 ** 30) | 0x83n);
    for (let vcpu = 0; vcpu < vcpus; vcpu++) this.enter64(vcpu);
  }

  enter64(vcpu: number): void {
    const data = segment(0xc093);
    this.machine.setRegisters(vcpu, {
      ...{ cs: segment(0xa09b), ds: data, es: data, ss: data },
      ...{ cr0: 0x8000_0011n, cr3: BigInt(PML4), cr4: 0x20n, efer: 0x500n, rip: 0x20_0000n, rflags: 2n },
    });
    this.machine.setState(vcpu, 'running');
    this.bits = 64;
  }

  /** 32-bit protected mode without paging. */
  enter32(vcpu = 0): void {
    const data = segment(0xc093);
    this.machine.setRegisters(vcpu, {
      ...{ cs: segment(0xc09b), ds: data, es: data, ss: data, cr0: 0x11n, efer: 0n, cr4: 0n },
    });
    this.bits = 32;
  }

  enterUserMode(vcpu = 0): void {
    this.machine.setRegisters(vcpu, { ss: segment(0xc0f3), cs: segment(0xa0fb) });
  }

  /** Writes fields at ARGUMENT, zeros elsewhere in its page, and returns the address. */
  struct(...fields: Field[]): number {
    this.machine.write(ARGUMENT, new Uint8Array(4096));
    for (const [offset, bytes, value] of fields) {
      const buffer = new Uint8Array(8);
      new DataView(buffer.buffer).setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true);
      this.machine.write(ARGUMENT + offset, buffer.subarray(0, bytes));
    }
    return ARGUMENT;
  }

  /** Makes hypercall `number` as `vcpu`; the result as a signed number. */
  call(number: number, args: readonly (number | bigint)[], vcpu = 0): number {
    const names =
      this.bits === 64
        ? (['rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'] as const)
        : (['rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp'] as const);
    this.machine.setReg(vcpu, 'rax', BigInt(number));
    args.forEach((value, i) => {
      this.machine.setReg(vcpu, names[i] ?? 'rdi', BigInt.asUintN(this.bits, BigInt(value)));
    });
    this.effect = this.xen.handle(vcpu, { kind: 'hypercall' });
    return Number(BigInt.asIntN(this.bits, this.machine.reg(vcpu, 'rax')));
  }

  /** As call(), with a struct for argument `at`. */
  op(number: number, command: number, fields: readonly Field[], vcpu = 0): number {
    return this.call(number, [command, this.struct(...fields)], vcpu);
  }

  u32(offset: number): number {
    return this.machine.readU32(ARGUMENT + offset);
  }

  get shutdown(): ShutdownReason | undefined {
    return this.effect.kind === 'shutdown' ? this.effect.reason : undefined;
  }
}
