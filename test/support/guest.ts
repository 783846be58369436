// A guest for tests of single instructions: descriptor tables, page tables and handlers are made here, in one of four modes.
// Every exception handler is one HLT, so that a run ends in it and the test looks at the frame on the stack.
import type { Machine } from '../../core/machine/machine.ts';
import type { MachineRegisters, VcpuRegisters } from '../../core/machine/registers.ts';
import { testMachine } from './machine.ts';

export type Mode = 'real' | 'protected' | 'pae' | 'compat' | 'long';

export const GDT = 0x1000;
export const IDT = 0x2000;
export const TSS = 0x3000;
export const HANDLERS = 0x4000; // + 16 * vector
export const CODE = 0x8000;
export const STACK = 0xa000; // top
export const RING0_STACK = 0xb000; // top, from the TSS
export const IST1_STACK = 0xc000; // top
export const TABLES = 0x10000; // page tables: 4 KiB each from here
export const DATA = 0x20000;
/** Linear address of one page that tests map as they like; its last-level entry is Guest.entry. */
export const WINDOW = 0x400000;

export const SELECTORS = {
  code64: 0x08,
  data: 0x10,
  code32: 0x18,
  userCode32: 0x2b,
  userData: 0x33,
  userCode64: 0x3b,
  tss: 0x40,
  code16: 0x50,
  ldt: 0x58,
  gate: 0x68,
  conforming: 0x78,
  readOnly: 0x80,
  notPresent: 0x88,
} as const;

/** A descriptor from base, limit (20 bits) and the attributes in VMCS layout. */
export const descriptor = (base: number, limit: number, attributes: number): bigint =>
  BigInt(limit & 0xffff) |
  (BigInt(base & 0xffffff) << 16n) |
  (BigInt(attributes & 0xff) << 40n) |
  (BigInt((limit >> 16) & 15) << 48n) |
  (BigInt((attributes >> 12) & 15) << 52n) |
  (BigInt(base >>> 24) << 56n);

const P = 1n;
const W = 2n;
const U = 4n;
export const PTE: Readonly<Record<'P' | 'W' | 'U' | 'A' | 'D' | 'PS' | 'G' | 'NX', bigint>> = {
  P,
  W,
  U,
  A: 0x20n,
  D: 0x40n,
  PS: 0x80n,
  G: 0x100n,
  NX: 1n << 63n,
};

export interface Trap {
  readonly vector: number;
  readonly error: number | undefined;
  readonly rip: bigint;
  readonly cs: number;
  readonly rflags: bigint;
  /** Undefined when the mode pushed none. */
  readonly rsp: bigint | undefined;
  readonly ss: number | undefined;
}

const WITH_ERROR = new Set([8, 10, 11, 12, 13, 14, 17]);

export class Guest {
  readonly machine: Machine;
  readonly mode: Mode;

  constructor(mode: Mode, machine: Machine = testMachine()) {
    this.mode = mode;
    this.machine = machine;
    this.#writeDescriptors();
    this.#writeTables();
    for (let vector = 0; vector < 256; vector++) machine.writeU8(HANDLERS + 16 * vector, 0xf4);
    this.reset();
  }

  get isLong(): boolean {
    return this.mode === 'long' || this.mode === 'compat';
  }

  #writeDescriptors(): void {
    const { machine } = this;
    const set = (selector: number, value: bigint): void => machine.writeU64(GDT + (selector & ~7), value);
    set(SELECTORS.code64, descriptor(0, 0xfffff, 0xa09b));
    set(SELECTORS.data, descriptor(0, 0xfffff, 0xc093));
    set(SELECTORS.code32, descriptor(0, 0xfffff, 0xc09b));
    set(SELECTORS.userCode32, descriptor(0, 0xfffff, 0xc0fb));
    set(SELECTORS.userData, descriptor(0, 0xfffff, 0xc0f3));
    set(SELECTORS.userCode64, descriptor(0, 0xfffff, 0xa0fb));
    set(SELECTORS.tss, descriptor(TSS, 0x2067, 0x89));
    set(SELECTORS.code16, descriptor(0, 0xffff, 0x9b));
    set(SELECTORS.ldt, descriptor(DATA, 0xff, 0x82));
    set(SELECTORS.conforming, descriptor(0, 0xfffff, (this.isLong ? 0xa000 : 0xc000) | 0x9f));
    set(SELECTORS.readOnly, descriptor(0, 0xfffff, 0xc091));
    set(SELECTORS.notPresent, descriptor(0, 0xfffff, 0xc013));
    if (this.isLong) {
      machine.writeU64(TSS + 4, BigInt(RING0_STACK));
      machine.writeU64(TSS + 36, BigInt(IST1_STACK));
    } else {
      machine.writeU32(TSS + 4, RING0_STACK);
      machine.writeU16(TSS + 8, SELECTORS.data);
    }
    machine.writeU16(TSS + 0x66, 0x68);
    for (let vector = 0; vector < 256; vector++) this.setGate(vector, 0x8e);
  }

  /** Points `vector` at its handler. `type` is the gate's access byte, 0x8e = present interrupt gate of DPL 0. */
  setGate(vector: number, type: number, ist = 0): void {
    const offset = HANDLERS + 16 * vector;
    const code = this.isLong ? SELECTORS.code64 : SELECTORS.code32;
    if (this.mode === 'real') {
      this.machine.writeU32(IDT + 4 * vector, offset);
      return;
    }
    const gate = BigInt(offset) | (BigInt(code) << 16n) | (BigInt(ist) << 32n) | (BigInt(type) << 40n);
    this.machine.writeU64(IDT + (this.isLong ? 16 : 8) * vector, gate);
    if (this.isLong) this.machine.writeU64(IDT + 16 * vector + 8, 0n);
  }

  /** Identity map of the first 4 MiB as user pages, and the window behind it. */
  #writeTables(): void {
    const { machine } = this;
    const all = P | W | U;
    const table = (i: number): bigint => BigInt(TABLES + 0x1000 * i);
    if (this.mode === 'real') return;
    if (this.mode === 'protected') {
      machine.writeU32(TABLES, Number(table(4) | all));
      machine.writeU32(TABLES + 4, Number(table(5) | all));
      for (let i = 0; i < 1024; i++) machine.writeU32(TABLES + 0x4000 + 4 * i, Number(BigInt(i << 12) | all));
    } else {
      if (this.isLong) {
        machine.writeU64(TABLES, table(1) | all);
        machine.writeU64(TABLES + 0x1000, table(2) | all);
      } else machine.writeU64(TABLES, table(2) | P);
      machine.writeU64(TABLES + 0x2000, table(3) | all);
      machine.writeU64(TABLES + 0x2008, table(4) | all);
      machine.writeU64(TABLES + 0x2010, table(5) | all);
      for (let i = 0; i < 1024; i++) machine.writeU64(TABLES + 0x3000 + 8 * i, BigInt(i << 12) | all);
    }
    this.entry = BigInt(DATA) | all;
  }

  /** Gpa of the window's last-level entry. */
  readonly entryAddress: number = TABLES + 0x5000;

  get entry(): bigint {
    return this.mode === 'protected'
      ? BigInt(this.machine.readU32(this.entryAddress))
      : this.machine.readU64(this.entryAddress);
  }

  set entry(value: bigint) {
    if (this.mode === 'protected') this.machine.writeU32(this.entryAddress, Number(value));
    else this.machine.writeU64(this.entryAddress, value);
  }

  /** Ring 0 at CODE, interrupts off, in this guest's mode. */
  reset(): void {
    const { mode } = this;
    const paged = mode !== 'real' ? 0x80000000n : 0n;
    const segment = (selector: number, attributes: number, limit = 0xffffffff) => ({
      selector,
      base: 0n,
      limit,
      attributes,
    });
    const data = mode === 'real' ? segment(0, 0x93, 0xffff) : segment(SELECTORS.data, 0xc093);
    const code = {
      real: segment(0, 0x9b, 0xffff),
      protected: segment(SELECTORS.code32, 0xc09b),
      pae: segment(SELECTORS.code32, 0xc09b),
      compat: segment(SELECTORS.code32, 0xc09b),
      long: segment(SELECTORS.code64, 0xa09b),
    }[mode];
    this.set({
      rip: BigInt(CODE),
      rsp: BigInt(STACK),
      rflags: 2n,
      cs: code,
      ss: data,
      ds: data,
      es: data,
      fs: data,
      gs: data,
      tr: { selector: SELECTORS.tss, base: BigInt(TSS), limit: 0x2067, attributes: 0x8b },
      ldtr: { selector: 0, base: 0n, limit: 0, attributes: 0x10000 },
      gdtr: { base: BigInt(GDT), limit: 0xff },
      idtr: { base: BigInt(IDT), limit: mode === 'real' ? 0x3ff : 0xfff },
      cr0: mode === 'real' ? 0x10n : paged | 0x10011n,
      cr3: BigInt(TABLES),
      cr4: mode === 'protected' ? 0x10n : mode === 'real' ? 0n : 0x20n,
      efer: this.isLong ? 0xd00n : mode === 'pae' ? 0x800n : 0n,
    });
  }

  set(registers: Partial<VcpuRegisters>): void {
    this.machine.setRegisters(0, registers);
  }

  get registers(): MachineRegisters {
    return this.machine.registers(0);
  }

  /** Ring 3, in 64-bit code in long mode. */
  enterUser(): void {
    const flat = { base: 0n, limit: 0xffffffff };
    const data = { ...flat, selector: SELECTORS.userData, attributes: 0xc0f3 };
    const code =
      this.mode === 'long'
        ? { ...flat, selector: SELECTORS.userCode64, attributes: 0xa0fb }
        : { ...flat, selector: SELECTORS.userCode32, attributes: 0xc0fb };
    this.set({ cs: code, ss: data, ds: data, es: data });
  }

  /** Writes the bytes at CODE (or elsewhere), an HLT behind them, and runs from there to the next HLT. */
  run(hex: string, at: number = CODE): Trap | undefined {
    const code = bytes(hex);
    this.machine.write(at, Uint8Array.of(...code, 0xf4));
    this.set({ rip: BigInt(at) });
    return this.resume();
  }

  /** Runs to an HLT. Gives the trap when that HLT is a handler's; throws when the guest does anything else. */
  resume(): Trap | undefined {
    for (let i = 0; i < 100; i++) {
      this.lastExit = this.machine.run(0, 10_000).kind;
      if (this.lastExit === 'budget') continue;
      if (this.lastExit === 'halt-forever' || this.lastExit === 'halt') {
        this.machine.setState(0, 'running');
        return this.#trap();
      }
      if (this.lastExit === 'shutdown') return undefined;
      throw new Error(`unexpected exit ${this.lastExit}`);
    }
    throw new Error('the guest does not end');
  }

  lastExit = '';

  #trap(): Trap | undefined {
    const { rip, rsp, cs } = this.registers;
    const at = Number(rip) - HANDLERS - 1;
    if (at < 0 || at >= 0x1000 || at % 16 !== 0) return undefined;
    const vector = at / 16;
    const width = this.isLong ? 8 : this.mode === 'real' ? 2 : 4;
    let place = Number(rsp);
    const pop = (): bigint => {
      const value =
        width === 8
          ? this.machine.readU64(place)
          : BigInt(width === 4 ? this.machine.readU32(place) : this.machine.readU16(place));
      place += width;
      return value;
    };
    const error = width > 2 && WITH_ERROR.has(vector) ? Number(pop()) : undefined;
    const frame = { vector, error, rip: pop(), cs: Number(pop()), rflags: pop() };
    const hasStack = width === 8 || (width === 4 && (frame.cs & 3) !== (cs.selector & 3));
    return {
      ...frame,
      rsp: hasStack ? pop() : undefined,
      ss: hasStack ? Number(pop()) : undefined,
    };
  }
}

/** Bytes of a hex string with blanks. */
export function bytes(hex: string): Uint8Array {
  const digits = hex.replace(/\s+/g, '');
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) =>
    Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16),
  );
}
