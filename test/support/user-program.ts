// Runs a static 64-bit Linux program as the only user code of a Machine, with the few system calls that start-up and
// printing need. Not a Linux: no files, no threads, no signals.
import { cpuidLeaves } from '../../core/cpu/features.ts';
import type { Machine } from '../../core/machine/machine.ts';
import type { Segment } from '../../core/machine/registers.ts';
import { testMachine } from './machine.ts';

export interface ProgramResult {
  readonly stdout: string;
  readonly status: number;
}

// Guest-physical = linear addresses, below the program.
const GDT = 0x1000;
const IDT = 0x2000;
const TSS = 0x3000;
const HANDLERS = 0x4000;
const SYSTEM_CALL = 0x6000;
const KERNEL_STACK = 0x9000;
const TABLES = 0x10000;
const LARGE_PAGE = 0x200000;

const RAM = 128 << 20;
const STACK = 0x600_0000;
const MAPPINGS = 0x680_0000;

const PT_LOAD = 1;
const ENOTTY = 25n;
const ENOSYS = 38n;
const ARCH_SET_FS = 0x1002n;

const flat = (selector: number, attributes: number): Segment => ({
  selector,
  base: 0n,
  limit: 0xffff_ffff,
  attributes,
});

function writeTables(machine: Machine): void {
  machine.writeU64(TABLES, BigInt(TABLES + 0x1007));
  machine.writeU64(TABLES + 0x1000, BigInt(TABLES + 0x2007));
  for (let i = 0; i < RAM / LARGE_PAGE; i++)
    machine.writeU64(TABLES + 0x2000 + i * 8, BigInt(i * LARGE_PAGE + 0x87));
  [
    0x00af_9b00_0000_ffffn,
    0x00cf_9300_0000_ffffn,
    0n,
    0x00cf_f300_0000_ffffn,
    0x00af_fb00_0000_ffffn,
  ].forEach((descriptor, i) => {
    machine.writeU64(GDT + 8 + i * 8, descriptor);
  });
  machine.writeU64(TSS + 4, BigInt(KERNEL_STACK));
  for (let vector = 0; vector < 256; vector++) {
    const handler = HANDLERS + vector * 16;
    machine.writeU64(IDT + vector * 16, BigInt(handler) | (8n << 16n) | (0x8en << 40n));
    machine.writeU8(handler, 0xf4);
  }
  machine.write(SYSTEM_CALL, Uint8Array.of(0x0f, 0x01, 0xc1, 0x48, 0x0f, 0x07)); // vmcall; sysretq
}

/** Loads the segments; gives entry, number of program headers and the end of memory that they take. */
function loadElf(machine: Machine, elf: Buffer): { entry: bigint; end: number } {
  const start = Number(elf.readBigUInt64LE(32));
  let end = 0;
  for (let i = 0; i < elf.readUInt16LE(56); i++) {
    const at = start + i * 56;
    if (elf.readUInt32LE(at) !== PT_LOAD) continue;
    const [offset, address, fileSize, memorySize] = [8, 16, 32, 40].map((field) =>
      Number(elf.readBigUInt64LE(at + field)),
    ) as [number, number, number, number]; // four fields in, four numbers out
    machine.write(address, elf.subarray(offset, offset + fileSize));
    end = Math.max(end, address + memorySize);
  }
  return { entry: elf.readBigUInt64LE(24), end };
}

/** argc, argv, environment and auxiliary vector; gives the stack pointer. */
function buildStack(machine: Machine, elf: Buffer): number {
  const random = STACK - 64;
  machine.write(STACK - 32, Buffer.from('program\0'));
  const headers = 0x400000n + elf.readBigUInt64LE(32);
  const AT = { PHDR: 3n, PHENT: 4n, PHNUM: 5n, PAGESZ: 6n, ENTRY: 9n, SECURE: 23n, RANDOM: 25n };
  const words = [1n, BigInt(STACK - 32), 0n, 0n];
  words.push(AT.PHDR, headers, AT.PHENT, 56n, AT.PHNUM, BigInt(elf.readUInt16LE(56)), AT.PAGESZ, 4096n);
  words.push(AT.ENTRY, elf.readBigUInt64LE(24), AT.SECURE, 0n, AT.RANDOM, BigInt(random), 0n, 0n);
  const rsp = (random - words.length * 8) & ~15;
  words.forEach((word, i) => {
    machine.writeU64(rsp + i * 8, word);
  });
  return rsp;
}

/** @throws Error when the program does anything but compute, print and exit. */
export function runProgram(elf: Buffer): ProgramResult {
  const machine = testMachine({ ramBytes: RAM, cpuid: cpuidLeaves({ vendor: 'GenuineIntel', vcpus: 1 }) });
  writeTables(machine);
  const { entry, end } = loadElf(machine, elf);
  const fxsave = new Uint8Array(512);
  new DataView(fxsave.buffer).setUint16(0, 0x37f, true);
  new DataView(fxsave.buffer).setUint32(24, 0x1f80, true);
  const data = flat(0x23, 0xc0f3);
  machine.setRegisters(0, {
    rip: entry,
    rsp: BigInt(buildStack(machine, elf)),
    rdx: 0n,
    rflags: 0x202n,
    cr0: 0x8001_0033n,
    cr3: BigInt(TABLES),
    cr4: 0x620n,
    efer: 0x501n,
    lstar: BigInt(SYSTEM_CALL),
    star: (0x1bn << 48n) | (8n << 32n),
    fmask: 0x700n,
    gdtr: { base: BigInt(GDT), limit: 0x7f },
    idtr: { base: BigInt(IDT), limit: 0xfff },
    tr: { selector: 0x40, base: BigInt(TSS), limit: 0x67, attributes: 0x8b },
    cs: flat(0x2b, 0xa0fb),
    ss: data,
    ds: data,
    es: data,
    fs: flat(0, 0x10000),
    gs: flat(0, 0x10000),
    fxsave,
  });
  machine.setState(0, 'running');

  const out: Buffer[] = [];
  let heap = (end + 0xfff) & ~0xfff;
  let mapped = MAPPINGS;
  for (;;) {
    const exit = machine.run(0, 10_000_000);
    if (exit.kind === 'budget') continue;
    if (exit.kind !== 'hypercall')
      throw new Error(`the program ended with ${exit.kind} at ${machine.registers(0).rip.toString(16)}`);
    const [first, second, third] = (['rdi', 'rsi', 'rdx'] as const).map((name) => machine.reg(0, name)) as [
      bigint,
      bigint,
      bigint,
    ];
    let result = 0n;
    switch (Number(machine.reg(0, 'rax'))) {
      case 1: // write
        out.push(Buffer.from(machine.read(Number(second), Number(third))));
        result = third;
        break;
      case 9: // mmap
        result = BigInt(mapped);
        mapped += (Number(second) + 0xfff) & ~0xfff;
        break;
      case 12: // brk
        if (first !== 0n) heap = Number(first);
        result = BigInt(heap);
        break;
      case 10: // mprotect
      case 11: // munmap
      case 273: // set_robust_list
        break;
      case 5: // fstat
      case 262: // newfstatat
        result = -ENOTTY;
        break;
      case 158: // arch_prctl
        if (first === ARCH_SET_FS) machine.setRegisters(0, { fs: { ...flat(0, 0x10000), base: second } });
        break;
      case 218: // set_tid_address
        result = 1n;
        break;
      case 60: // exit
      case 231: // exit_group
        return { stdout: Buffer.concat(out).toString(), status: Number(first & 0xffn) };
      default:
        result = -ENOSYS;
    }
    machine.setReg(0, 'rax', BigInt.asUintN(64, result));
  }
}
