// A Machine that runs oracle cases as user code: the same addresses, selectors and gates as the recording process had
// under Linux. Every exception ends in a HLT of its own, so that the vector is read from where the CPU stands.
import type { Machine } from '../../core/machine/machine.ts';
import { GENERAL_REGISTERS, type Segment, type VcpuRegisters } from '../../core/machine/registers.ts';
import { initialSelectors } from './corpus.ts';
import {
  CODE_BASE,
  CODE_FILL,
  DATA_BASE,
  type InitialState,
  type Outcome,
  type Patch,
  type Program,
  READONLY_BASE,
  REGION_BYTES,
} from './format.ts';
import { dataVariants } from './state.ts';

export const USER_MACHINE_RAM = 0x40_0000;

// Guest-physical places. Regions of two pages are not contiguous, so that a page crossing shows when it is not split.
const GDT = 0x1000;
const IDT = 0x2000;
const TSS = 0x3000;
const STUBS = 0x4000;
const STUB_BYTES = 16;
const STACK_TOP = 0x7000;
const PML4 = 0x1_0000;
const CODE_PAGES = [0x10_0000, 0x10_4000] as const;
const DATA_PAGES = [0x10_8000, 0x10_c000] as const;
const READONLY_PAGE = 0x11_0000;

/** Supervisor view of all RAM: user code cannot reach it by accident. */
const SYSTEM = 0xffff_8000_0000_0000n;

const PAGE = 0x1000;
const PTE_PRESENT = 1n;
const PTE_WRITE = 2n;
const PTE_USER = 4n;
const PTE_LARGE = 0x80n;
const PTE_NX = 1n << 63n;

// The descriptors of Linux's GDT, whose rights LAR and LSL show: accessed bits are set.
const DESCRIPTORS: Readonly<Record<number, bigint>> = {
  8: 0x00cf_9b00_0000_ffffn,
  16: 0x00af_9b00_0000_ffffn,
  24: 0x00cf_9300_0000_ffffn,
  32: 0x00cf_fb00_0000_ffffn,
  40: 0x00cf_f300_0000_ffffn,
  48: 0x00af_fb00_0000_ffffn,
  64: 0x0000_8b00_0000_0067n | (BigInt(TSS & 0xffff) << 16n),
  72: 0xffff_8000n,
};
const GDT_LIMIT = 0x7f;
const TSS_LIMIT = 0x67;
/** INT3 and INTO may be used by user code. */
const USER_VECTORS: readonly number[] = [3, 4];

const KERNEL_CR0 = 0x8005_0033n; // PG AM WP NE ET MP PE
const KERNEL_CR4 = 0x1_0620n; // FSGSBASE OSXMMEXCPT OSFXSR PAE
const LONG_MODE = 0xd01n; // NXE LMA LME SCE

const USER_DATA: Segment = { selector: 0x2b, base: 0n, limit: 0xffff_ffff, attributes: 0xc0f3 };
const USER_CODE = {
  32: { selector: 0x23, base: 0n, limit: 0xffff_ffff, attributes: 0xc0fb },
  64: { selector: 0x33, base: 0n, limit: 0xffff_ffff, attributes: 0xa0fb },
} as const;
const NO_CODE: Uint8Array = new Uint8Array(PAGE).fill(CODE_FILL);
const UNUSABLE = 0x1_0000;
const RFLAGS_TF = 0x100;
/** Programs of more steps may turn a pointer into one to code and write there. */
const SEVERAL_STEPS = 2;
const MOST_INSTRUCTIONS = 100_000;

/** How a case ended in the machine: an outcome, or an exit that user code should not cause. */
export type Ending = { readonly before: Uint8Array; readonly outcome: Outcome } | { readonly stuck: string };

export class UserMachine {
  readonly #machine: Machine;
  readonly #variants: readonly Uint8Array[] = dataVariants();
  readonly #fixed: Partial<VcpuRegisters>;

  /** @param machine with one vCPU and USER_MACHINE_RAM bytes of memory, not used before. */
  constructor(machine: Machine) {
    this.#machine = machine;
    this.#writeTables();
    this.#cleanCode();
    this.#fixed = {
      cr0: KERNEL_CR0,
      cr2: 0n,
      cr3: BigInt(PML4),
      cr4: KERNEL_CR4,
      efer: LONG_MODE,
      gdtr: { base: SYSTEM + BigInt(GDT), limit: GDT_LIMIT },
      idtr: { base: SYSTEM + BigInt(IDT), limit: 0xfff },
      tr: { selector: 0x40, base: SYSTEM + BigInt(TSS), limit: TSS_LIMIT, attributes: 0x8b },
      ldtr: { selector: 0, base: 0n, limit: 0, attributes: UNUSABLE },
      ss: USER_DATA,
      ds: USER_DATA,
      es: USER_DATA,
    };
  }

  #writeTables(): void {
    const machine = this.#machine;
    for (const [offset, value] of Object.entries(DESCRIPTORS)) machine.writeU64(GDT + Number(offset), value);
    machine.writeU64(TSS + 0x24, SYSTEM + BigInt(STACK_TOP)); // IST1
    machine.writeU16(TSS + 102, TSS_LIMIT + 1); // no I/O permission bitmap
    machine.writeU64(TSS + 4, SYSTEM + BigInt(STACK_TOP)); // RSP0
    for (let vector = 0; vector < 256; vector++) {
      const stub = SYSTEM + BigInt(STUBS + vector * STUB_BYTES);
      const rights = USER_VECTORS.includes(vector) ? 0xeen : 0x8en;
      const low =
        (stub & 0xffffn) |
        (0x10n << 16n) |
        (1n << 32n) |
        (rights << 40n) |
        (((stub >> 16n) & 0xffffn) << 48n);
      machine.writeU64(IDT + vector * 16, low);
      machine.writeU64(IDT + vector * 16 + 8, stub >> 32n);
      machine.writeU8(STUBS + vector * STUB_BYTES, 0xf4);
    }
    const table = (index: number): number => PML4 + index * PAGE;
    const link = (at: number, entry: number, target: number, bits: bigint): void =>
      machine.writeU64(at + entry * 8, BigInt(target) | bits);
    const all = PTE_PRESENT | PTE_WRITE | PTE_USER;
    link(table(0), 256, table(1), PTE_PRESENT | PTE_WRITE);
    link(table(1), 0, table(2), PTE_PRESENT | PTE_WRITE);
    for (let i = 0; i < USER_MACHINE_RAM / 0x20_0000; i++)
      link(table(2), i, i * 0x20_0000, PTE_PRESENT | PTE_WRITE | PTE_LARGE);
    link(table(0), 0, table(3), all);
    link(table(3), 0, table(4), all);
    [CODE_BASE, DATA_BASE, READONLY_BASE].forEach((base, i) => {
      link(table(4), base / 0x20_0000, table(5 + i), all);
    });
    CODE_PAGES.forEach((page, i) => {
      link(table(5), i, page, all);
    });
    DATA_PAGES.forEach((page, i) => {
      link(table(6), i, page, all | PTE_NX);
    });
    link(table(7), 0, READONLY_PAGE, PTE_PRESENT | PTE_USER | PTE_NX);
  }

  /** The data region before a case. */
  #dataOf(program: Program, state: InitialState): Uint8Array {
    const data = (this.#variants[state.variant] ?? new Uint8Array(REGION_BYTES)).slice();
    for (const { offset, bytes } of program.patches) data.set(bytes, offset);
    return data;
  }

  #writeCode(offset: number, bytes: Uint8Array): void {
    const inFirst = Math.max(0, Math.min(bytes.length, PAGE - offset));
    if (inFirst > 0) this.#machine.write(CODE_PAGES[0] + offset, bytes.subarray(0, inFirst));
    if (inFirst < bytes.length)
      this.#machine.write(CODE_PAGES[1] + Math.max(0, offset - PAGE), bytes.subarray(inFirst));
  }

  /** Removes a case's code, and what it wrote into the code region through pointers that it shifted or rotated. */
  #cleanCode(): void {
    for (const page of CODE_PAGES)
      if (Buffer.compare(this.#machine.read(page, PAGE), NO_CODE) !== 0) this.#machine.write(page, NO_CODE);
  }

  /** Runs one case from its initial state. `trap` sets TF, as the recorder does. */
  run(program: Program, state: InitialState, trap = false): Ending {
    const machine = this.#machine;
    const before = this.#dataOf(program, state);
    machine.write(DATA_PAGES[0], before.subarray(0, PAGE));
    machine.write(DATA_PAGES[1], before.subarray(PAGE));
    this.#writeCode(program.offset, program.code);
    const [, , , , fsSelector = 0] = initialSelectors(program.mode);
    const attributes = UNUSABLE;
    machine.setState(0, 'running');
    machine.setRegisters(0, {
      ...this.#fixed,
      ...Object.fromEntries(GENERAL_REGISTERS.map((name, i) => [name, state.gpr[i] ?? 0n])),
      rip: BigInt(CODE_BASE + program.offset),
      rflags: BigInt(state.rflags | (trap ? RFLAGS_TF : 0)),
      cs: USER_CODE[program.mode],
      fs: { selector: fsSelector, base: state.fs_base, limit: 0, attributes },
      gs: { selector: 0, base: state.gs_base, limit: 0, attributes },
      fxsave: state.fx,
    });
    let exit = machine.run(0, MOST_INSTRUCTIONS);
    for (let again = 0; exit.kind === 'budget' && again < 2; again++)
      exit = machine.run(0, MOST_INSTRUCTIONS);
    if (program.steps > SEVERAL_STEPS) this.#cleanCode();
    else this.#writeCode(program.offset, NO_CODE.subarray(0, program.code.length));
    if (exit.kind !== 'halt-forever') return { stuck: JSON.stringify(exit, jsonBigint) };
    return { before, outcome: this.#outcome(before) };
  }

  #outcome(before: Uint8Array): Outcome {
    const machine = this.#machine;
    const registers = machine.registers(0);
    const vector = Number((registers.rip - SYSTEM - BigInt(STUBS)) / BigInt(STUB_BYTES));
    const gpr = BigUint64Array.from(GENERAL_REGISTERS, (name) => registers[name]);
    const frame = STACK_TOP - 40; // rip cs rflags rsp ss, and below it an error code
    gpr[4] = machine.readU64(frame + 24);
    const hasError = registers.rsp === SYSTEM + BigInt(frame - 8);
    const writes: Patch[] = [];
    DATA_PAGES.forEach((page, i) => {
      const now = machine.read(page, PAGE);
      writes.push(...differences(before.subarray(i * PAGE, (i + 1) * PAGE), now, i * PAGE));
    });
    return {
      gpr,
      rip: machine.readU64(frame),
      rflags: Number(machine.readU64(frame + 16)),
      vector,
      error: hasError ? Number(machine.readU64(frame - 8)) : 0,
      cr2: registers.cr2,
      fs_base: registers.fs.base ?? 0n,
      gs_base: registers.gs.base ?? 0n,
      selectors: [
        registers.es.selector,
        Number(machine.readU64(frame + 8)),
        Number(machine.readU64(frame + 32)),
        registers.ds.selector,
        registers.fs.selector,
        registers.gs.selector,
      ],
      fx: registers.fxsave ?? new Uint8Array(512),
      writes,
    };
  }
}

const jsonBigint = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? value.toString(16) : value;

/** Runs of bytes that changed, as the recorder reports them: joined only inside one page here. */
function differences(before: Uint8Array, now: Uint8Array, base: number): Patch[] {
  if (Buffer.compare(before, now) === 0) return [];
  const patches: Patch[] = [];
  for (let i = 0; i < before.length; i++) {
    if (before[i] === now[i]) continue;
    let end = i + 1;
    while (end < before.length && before[end] !== now[end]) end++;
    patches.push({ offset: base + i, bytes: now.slice(i, end) });
    i = end;
  }
  return patches;
}
