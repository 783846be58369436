// Machine: guest RAM, vCPUs and their exits. Knows x86 through core/cpu, and nothing of Xen.

import { InternalError, MemoryFault, PvhError } from '../../symbols/errors.ts';
import type { CpuidLeaf } from '../cpu/features.ts';
import * as L from '../cpu/layout.ts';
import { type Block, readRegisters, writeRegisters } from './block.ts';
import type { Exit } from './exit.ts';
import { hiddenFeatures } from './hidden-features.ts';
import {
  GENERAL_REGISTERS,
  type GeneralRegister,
  type MachineRegisters,
  type VcpuRegisters,
} from './registers.ts';
import type { InterruptLine, MachineState, VcpuState } from './state.ts';
import type { CpuExports } from './wasm.ts';

export interface MachineOptions {
  /** core/cpu/build/cpu.wasm. */
  readonly module: WebAssembly.Module;
  /** Multiple of 4096, at most MAX_RAM_BYTES; guest RAM is gpa 0..ramBytes. */
  readonly ramBytes: number;
  /** 1..32. */
  readonly vcpus: number;
  readonly cpuid: readonly CpuidLeaf[];
  /** Local APIC id of each vCPU. */
  readonly apicIds: readonly number[];
  /** Seed of RDRAND and RDSEED. */
  readonly seed: number;
  /** Hears of the guest's calls, returns and events when `module` is a recording build (core/cpu/assembly/transfers.ts). */
  readonly onTransfer?: TransferListener;
}

/** `kind` is a TRANSFER_* of core/cpu/layout.ts; addresses are signed, which is exact for canonical ones. */
export type TransferListener = (vcpu: number, kind: number, at: number, address: number, rsp: number) => void;

export type VcpuRunState = 'running' | 'halted' | 'wait-for-sipi' | 'offline';

/** Largest guest RAM: a wasm memory ends at 4 GiB, and the caches and extra frames are in it too. */
export const MAX_RAM_BYTES: number = 0xe000_0000;
const MAX_MEMORY = 0x1_0000_0000;
const WASM_PAGE = 0x1_0000;
const RUN_STATES: readonly VcpuRunState[] = ['running', 'halted', 'wait-for-sipi', 'offline'];

/** A Machine cannot be made as asked. */
export class MachineError extends PvhError {
  constructor(message: string) {
    super('EMACHINE', message);
  }
}

export class Machine {
  readonly ramBytes: number;
  readonly vcpuCount: number;
  readonly #memory: WebAssembly.Memory;
  readonly #cpu: CpuExports;
  readonly #lines: (InterruptLine | undefined)[];
  /** Where each mapped frame handle is: gfn -> frame. */
  readonly #mapped: Map<number, number> = new Map();
  readonly #removed: Set<number> = new Set();
  #frames = 0;
  #bytes: Uint8Array;
  #view: DataView;

  /** @throws MachineError when sizes or counts are out of range. */
  static create(options: MachineOptions): Machine {
    const { ramBytes, vcpus } = options;
    if (!Number.isInteger(ramBytes / L.PAGE_SIZE) || ramBytes <= 0 || ramBytes > MAX_RAM_BYTES)
      throw new MachineError(`guest RAM of ${ramBytes} bytes: must be whole pages, at most ${MAX_RAM_BYTES}`);
    if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > L.MAX_VCPUS)
      throw new MachineError(`${vcpus} vCPUs: must be 1 to ${L.MAX_VCPUS}`);
    if (options.apicIds.length < vcpus) throw new MachineError(`${vcpus} vCPUs need as many APIC ids`);
    if (options.cpuid.length > L.CPUID_ROWS_MAX)
      throw new MachineError(`${options.cpuid.length} CPUID leaves: at most ${L.CPUID_ROWS_MAX}`);
    return new Machine(options);
  }

  private constructor(options: MachineOptions) {
    this.ramBytes = options.ramBytes;
    this.vcpuCount = options.vcpus;
    this.#lines = new Array(options.vcpus).fill(undefined);
    this.#memory = new WebAssembly.Memory({
      initial: Math.ceil((L.RAM_OFFSET + options.ramBytes) / WASM_PAGE),
      maximum: MAX_MEMORY / WASM_PAGE,
    });
    const instance = new WebAssembly.Instance(options.module, {
      env: {
        memory: this.#memory,
        abort: (_message: number, _file: number, line: number, column: number) => {
          throw new InternalError(`cpu.wasm aborted at ${line}:${column}`);
        },
      },
      record: { transfer: options.onTransfer ?? (() => {}) },
    });
    this.#cpu = instance.exports as unknown as CpuExports; // the module is ours; wasm.ts lists what it exports
    this.#bytes = new Uint8Array(this.#memory.buffer);
    this.#view = new DataView(this.#memory.buffer);
    this.#view.setBigUint64(L.RAM_BYTES, BigInt(options.ramBytes), true);
    this.#view.setUint32(L.RAM_BASE, L.RAM_OFFSET, true);
    this.#view.setUint32(L.VCPU_COUNT, options.vcpus, true);
    this.#seedRandom(options.seed);
    this.#writeCpuid(options.cpuid);
    for (let vcpu = 0; vcpu < options.vcpus; vcpu++)
      this.#view.setUint32(L.VCPUS + vcpu * L.CPU_SIZE + L.APIC_ID - L.CPU, options.apicIds[vcpu] ?? 0, true);
    this.#cpu.initialise();
  }

  #seedRandom(seed: number): void {
    // splitmix64: four words that are never all zero.
    let state = BigInt.asUintN(64, BigInt(Math.trunc(seed)));
    for (let i = 0; i < 4; i++) {
      state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
      let z = state;
      z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
      z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
      this.#view.setBigUint64(L.RANDOM_STATE + 8 * i, z ^ (z >> 31n), true);
    }
  }

  #writeCpuid(rows: readonly CpuidLeaf[]): void {
    this.#view.setBigUint64(L.FEATURES_OFF, hiddenFeatures(rows), true);
    this.#view.setUint32(L.CPUID_COUNT, rows.length, true);
    rows.forEach((row, i) => {
      const place = L.CPUID_TABLE + 32 * i;
      const words = [row.leaf, row.subleaf, row.eax, row.ebx, row.ecx, row.edx, rowFlags(row)];
      words.forEach((word, k) => {
        this.#view.setUint32(place + 4 * k, word >>> 0, true);
      });
    });
  }

  // --- vCPUs ---------------------------------------------------------------------------------------------------------

  /** Runs `vcpu` for about `budget` instructions (at least one when it can run). */
  run(vcpu: number, budget: number): Exit {
    this.#checkVcpu(vcpu);
    return this.#exit(this.#cpu.run(vcpu, budget));
  }

  #exit(kind: number): Exit {
    const view = this.#view;
    const size = view.getUint32(L.EXIT_SIZE, true);
    const address = Number(view.getBigUint64(L.EXIT_ADDRESS, true));
    const value = view.getBigUint64(L.EXIT_VALUE, true);
    switch (kind) {
      case L.EXIT_BUDGET:
        return { kind: 'budget' };
      case L.EXIT_HALT:
        return { kind: 'halt' };
      case L.EXIT_HALT_FOREVER:
        return { kind: 'halt-forever' };
      case L.EXIT_HYPERCALL:
        return { kind: 'hypercall' };
      case L.EXIT_MSR_READ:
        return { kind: 'msr-read', index: address };
      case L.EXIT_MSR_WRITE:
        return { kind: 'msr-write', index: address, value };
      case L.EXIT_PORT_IN:
        return { kind: 'port-in', port: address, size };
      case L.EXIT_PORT_OUT:
        return { kind: 'port-out', port: address, size, value: Number(value) };
      case L.EXIT_SHUTDOWN:
        return { kind: 'shutdown' };
      default:
        throw new InternalError(`cpu.wasm: unknown exit ${kind}`);
    }
  }

  /** Gives the IN, INS or RDMSR that `vcpu` left run() with its value; unanswered ones read as 0. */
  answer(vcpu: number, value: bigint): void {
    this.#checkVcpu(vcpu);
    this.#cpu.answer(vcpu, value);
  }

  /**
   * Raises an exception in `vcpu`. After an msr-read, msr-write or port exit the instruction that left counts as not
   * executed: rip is put back onto it.
   */
  injectFault(vcpu: number, vector: number, error = 0): void {
    this.#checkVcpu(vcpu);
    this.#cpu.injectException(vcpu, vector, error);
  }

  /** Virtual time in ns: retired instructions of all vCPUs + skipped idle; the TSC counts it too. */
  now(): number {
    return Number(this.#view.getBigUint64(L.VIRTUAL_TIME, true));
  }

  /** Moves virtual time forward to `ns` when that is later than now. */
  skipTo(ns: number): void {
    if (ns > this.now()) this.#view.setBigUint64(L.VIRTUAL_TIME, BigInt(Math.trunc(ns)), true);
    this.#cpu.fireTimers();
  }

  /** Virtual time at which the earliest LAPIC timer fires. */
  nextTimer(): number | undefined {
    const ns = this.#cpu.nextTimer();
    return ns < 0 ? undefined : ns;
  }

  /** Instructions that `vcpu` retired. */
  retired(vcpu: number): number {
    return Number(this.#view.getBigUint64(this.#place(vcpu, L.RETIRED), true));
  }

  registers(vcpu: number): MachineRegisters {
    return readRegisters(this.#block(vcpu));
  }

  /** Changes the registers that are given, CR3 as MOV CR3 does. A segment's undefined fields stay; ss.attributes sets the CPL. */
  setRegisters(vcpu: number, registers: Partial<VcpuRegisters>): void {
    this.#cpu.switchTo(this.#checkVcpu(vcpu));
    writeRegisters(this.#block(vcpu), registers);
    const { cr0, cr3, cr4, efer } = registers;
    this.#cpu.registersChanged([cr0, cr3, cr4, efer].every((value) => value === undefined) ? 0 : 1);
    if (registers.cr3 !== undefined) this.#cpu.loadPagePointers();
  }

  reg(vcpu: number, name: GeneralRegister): bigint {
    return this.#view.getBigUint64(this.#place(vcpu, L.REGS) + 8 * GENERAL_REGISTERS.indexOf(name), true);
  }

  setReg(vcpu: number, name: GeneralRegister, value: bigint): void {
    this.#view.setBigUint64(this.#place(vcpu, L.REGS) + 8 * GENERAL_REGISTERS.indexOf(name), value, true);
  }

  /** Current privilege level, 0..3. */
  cpl(vcpu: number): number {
    return this.#view.getUint8(this.#place(vcpu, L.CPL));
  }

  /** Width of the code that runs: 16, 32 or 64, and 0 in real and virtual-8086 mode. */
  codeBits(vcpu: number): 0 | 16 | 32 | 64 {
    const u64 = (offset: number): bigint => this.#view.getBigUint64(this.#place(vcpu, offset), true);
    if ((u64(L.CR0) & 1n) === 0n || (u64(L.RFLAGS) & (1n << 17n)) !== 0n) return 0;
    const attributes = this.#view.getUint32(this.#place(vcpu, L.CS + L.SEG_ATTRIBUTES), true);
    if ((u64(L.EFER) & (1n << 10n)) !== 0n && (attributes & 0x2000) !== 0) return 64;
    return (attributes & 0x4000) !== 0 ? 32 : 16;
  }

  /** True when the LAPIC takes interrupts: enabled by APIC_BASE and by its spurious-interrupt register. */
  isLapicEnabled(vcpu: number): boolean {
    const SVR = 0xf0 / 4;
    const base = this.#view.getUint32(this.#place(vcpu, L.APIC_BASE), true);
    return (
      (base & 0x800) !== 0 && (this.#view.getUint32(this.#place(vcpu, L.APIC + SVR), true) & 0x100) !== 0
    );
  }

  /** The LAPIC's request register, vector v as bit v, and a pending NMI as bit 256: changes when something arrives. */
  interruptRequests(vcpu: number): bigint {
    const IRR = 0x200 / 4;
    let requests = BigInt(this.#view.getUint8(this.#place(vcpu, L.NMI_PENDING)));
    for (let i = 7; i >= 0; i--)
      requests =
        (requests << 32n) | BigInt(this.#view.getUint32(this.#place(vcpu, L.APIC + IRR) + 4 * i, true));
    return requests;
  }

  state(vcpu: number): VcpuRunState {
    return RUN_STATES[this.#view.getUint8(this.#place(vcpu, L.RUN_STATE))] ?? 'offline';
  }

  /** Starts, stops or halts a vCPU from outside (VCPUOP_up and _down); its registers stay. */
  setState(vcpu: number, state: VcpuRunState): void {
    this.#view.setUint8(this.#place(vcpu, L.RUN_STATE), RUN_STATES.indexOf(state));
  }

  /** Puts `vcpu` into the state that INIT leaves: registers at reset, waiting for SIPI. */
  resetVcpu(vcpu: number): void {
    this.#cpu.resetVcpu(this.#checkVcpu(vcpu));
  }

  // --- events --------------------------------------------------------------------------------------------------------

  raiseNmi(vcpu: number): void {
    this.#cpu.raiseNmi(this.#checkVcpu(vcpu));
  }

  /** Sets `vector` in the LAPIC's request register, as an edge-triggered interrupt. */
  lapicInterrupt(vcpu: number, vector: number): void {
    this.#cpu.raiseInterrupt(this.#checkVcpu(vcpu), vector);
  }

  setInterruptLine(vcpu: number, line: InterruptLine | undefined): void {
    this.#view.setUint8(this.#place(vcpu, L.LINE_ENABLED), line === undefined ? 0 : 1);
    this.#view.setUint8(this.#place(vcpu, L.LINE_VECTOR), line?.vector ?? 0);
    this.#view.setBigUint64(this.#place(vcpu, L.LINE_ADDRESS), BigInt(line?.flagGpa ?? 0), true);
    this.#lines[vcpu] = line;
  }

  interruptLine(vcpu: number): InterruptLine | undefined {
    return this.#lines[vcpu];
  }

  /** True when run() would come back at once: halted or stopped, and nothing deliverable. */
  isIdle(vcpu: number): boolean {
    return this.#cpu.isRunnable(this.#checkVcpu(vcpu)) === 0;
  }

  // --- physical memory -----------------------------------------------------------------------------------------------

  isBacked(gfn: number): boolean {
    return this.#cpu.hostAt(gfn * L.PAGE_SIZE) !== 0;
  }

  /** A copy. @throws MemoryFault when a byte is not backed. */
  read(gpa: number, length: number): Uint8Array {
    // Whoever asks for more than there is gets a fault, not an allocation.
    if (length > MAX_MEMORY) throw new MemoryFault('physical', BigInt(Math.trunc(gpa)), 'not present');
    const bytes = new Uint8Array(length);
    this.#eachPart(gpa, length, (host, offset, size) => {
      bytes.set(this.#bytes.subarray(host, host + size), offset);
    });
    return bytes;
  }

  /** @throws MemoryFault when a byte is not backed; nothing is written then. */
  write(gpa: number, bytes: Uint8Array): void {
    this.#eachPart(gpa, bytes.length, () => {});
    this.#eachPart(gpa, bytes.length, (host, offset, size) => {
      this.#bytes.set(bytes.subarray(offset, offset + size), host);
      this.#cpu.hostWrote(host, size);
    });
  }

  #eachPart(gpa: number, length: number, visit: (host: number, offset: number, size: number) => void): void {
    for (let offset = 0; offset < length; ) {
      const address = gpa + offset;
      const size = Math.min(length - offset, L.PAGE_SIZE - (address % L.PAGE_SIZE));
      visit(this.#hostOf(address), offset, size);
      offset += size;
    }
  }

  #hostOf(gpa: number): number {
    const host = this.#cpu.hostAt(gpa);
    if (host === 0 || !(gpa >= 0)) throw new MemoryFault('physical', BigInt(Math.trunc(gpa)), 'not present');
    return host >>> 0;
  }

  /** Place of `size` bytes inside one page, or undefined when they cross into the next. */
  #single(gpa: number, size: number): number | undefined {
    return (gpa % L.PAGE_SIZE) + size <= L.PAGE_SIZE ? this.#hostOf(gpa) : undefined;
  }

  readU8(gpa: number): number {
    return this.#view.getUint8(this.#hostOf(gpa));
  }

  readU16(gpa: number): number {
    const host = this.#single(gpa, 2);
    return host === undefined
      ? viewOf(this.read(gpa, 2)).getUint16(0, true)
      : this.#view.getUint16(host, true);
  }

  readU32(gpa: number): number {
    const host = this.#single(gpa, 4);
    return host === undefined
      ? viewOf(this.read(gpa, 4)).getUint32(0, true)
      : this.#view.getUint32(host, true);
  }

  readU64(gpa: number): bigint {
    const host = this.#single(gpa, 8);
    return host === undefined
      ? viewOf(this.read(gpa, 8)).getBigUint64(0, true)
      : this.#view.getBigUint64(host, true);
  }

  writeU8(gpa: number, value: number): void {
    const host = this.#hostOf(gpa);
    this.#view.setUint8(host, value);
    this.#cpu.hostWrote(host, 1);
  }

  writeU16(gpa: number, value: number): void {
    const bytes = new Uint8Array(2);
    viewOf(bytes).setUint16(0, value, true);
    this.write(gpa, bytes);
  }

  writeU32(gpa: number, value: number): void {
    const bytes = new Uint8Array(4);
    viewOf(bytes).setUint32(0, value, true);
    this.write(gpa, bytes);
  }

  writeU64(gpa: number, value: bigint): void {
    const bytes = new Uint8Array(8);
    viewOf(bytes).setBigUint64(0, value, true);
    this.write(gpa, bytes);
  }

  // --- frames beside RAM ---------------------------------------------------------------------------------------------

  /** A zeroed frame that is not RAM (shared_info, rings, ACPI); the handle is for the other frame methods. */
  allocateFrame(): number {
    const frame = this.#frames;
    const end = this.#frameHost(frame) + L.PAGE_SIZE;
    if (end > MAX_MEMORY) throw new MachineError('no memory left for another frame');
    if (end > this.#memory.buffer.byteLength) {
      const left = (MAX_MEMORY - this.#memory.buffer.byteLength) / WASM_PAGE;
      this.#memory.grow(Math.min(16, left));
      this.#bytes = new Uint8Array(this.#memory.buffer);
      this.#view = new DataView(this.#memory.buffer);
    }
    this.#frames++;
    return frame;
  }

  #frameHost(frame: number): number {
    return L.RAM_OFFSET + this.ramBytes + frame * L.PAGE_SIZE;
  }

  #checkFrame(frame: number): number {
    if (!Number.isInteger(frame) || frame < 0 || frame >= this.#frames)
      throw new InternalError(`frame ${frame} was not allocated`);
    return frame;
  }

  /** Live view of a frame's 4096 bytes; obtain it again after allocateFrame, which may move memory. */
  frameView(frame: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, this.#frameHost(this.#checkFrame(frame)), L.PAGE_SIZE);
  }

  /** As frameView. */
  frameDataView(frame: number): DataView {
    return new DataView(this.#memory.buffer, this.#frameHost(this.#checkFrame(frame)), L.PAGE_SIZE);
  }

  /** Puts `frame` at `gfn`, in place of RAM or of another frame. */
  mapFrame(gfn: number, frame: number): void {
    if (this.#cpu.mapFrameAt(gfn, this.#frameHost(this.#checkFrame(frame))) === 0)
      throw new MachineError('too many frames are mapped');
    this.#mapped.set(gfn, frame);
    this.#removed.delete(gfn);
    this.#cpu.flushEveryTlb();
  }

  /** Takes the frame away; RAM is back when the gfn lies in it. */
  unmapFrame(gfn: number): void {
    if (!this.#mapped.delete(gfn)) return;
    this.#cpu.unmapFrameAt(gfn);
    this.#cpu.flushEveryTlb();
  }

  /** The frame handle at `gfn`, if one is mapped there. */
  mappedFrame(gfn: number): number | undefined {
    return this.#mapped.get(gfn);
  }

  /** Ballooning: nothing backs `gfn` any more, and its content is lost. */
  removePage(gfn: number): void {
    this.unmapFrame(gfn);
    if (gfn >= this.ramBytes / L.PAGE_SIZE || this.#removed.has(gfn)) return;
    const host = L.RAM_OFFSET + gfn * L.PAGE_SIZE;
    const flags = L.PAGE_FLAGS + host / L.PAGE_SIZE;
    // A page that nobody wrote stays uncommitted.
    if ((this.#view.getUint8(flags) & L.PAGE_TOUCHED) !== 0) this.#bytes.fill(0, host, host + L.PAGE_SIZE);
    this.#cpu.hostWrote(host, L.PAGE_SIZE);
    this.#view.setUint8(flags, 0);
    this.#view.setUint8(L.GFN_FLAGS + gfn, L.GFN_REMOVED);
    this.#removed.add(gfn);
    this.#cpu.flushEveryTlb();
  }

  /** Undoes removePage: a zeroed page is at `gfn` again. */
  restorePage(gfn: number): void {
    if (!this.#removed.delete(gfn)) return;
    this.#view.setUint8(L.GFN_FLAGS + gfn, 0);
    this.#cpu.flushEveryTlb();
  }

  // --- translation ---------------------------------------------------------------------------------------------------

  /** gpa of a linear address under the vCPU's paging state, with supervisor rights; accessed and dirty bits stay. */
  translate(vcpu: number, linear: bigint): number | undefined {
    this.#checkVcpu(vcpu);
    const gpa = this.#cpu.translateLinear(vcpu, linear);
    return gpa < 0 ? undefined : gpa;
  }

  /** A copy, or undefined when a byte is not mapped or not backed. */
  readVirtual(vcpu: number, linear: bigint, length: number): Uint8Array | undefined {
    const bytes = new Uint8Array(length);
    const done = this.#eachVirtualPart(vcpu, linear, length, (host, offset, size) => {
      bytes.set(this.#bytes.subarray(host, host + size), offset);
    });
    return done ? bytes : undefined;
  }

  /** False when a byte is not mapped or not backed; nothing is written then. */
  writeVirtual(vcpu: number, linear: bigint, bytes: Uint8Array): boolean {
    if (!this.#eachVirtualPart(vcpu, linear, bytes.length, () => {})) return false;
    return this.#eachVirtualPart(vcpu, linear, bytes.length, (host, offset, size) => {
      this.#bytes.set(bytes.subarray(offset, offset + size), host);
      this.#cpu.hostWrote(host, size);
    });
  }

  #eachVirtualPart(
    vcpu: number,
    linear: bigint,
    length: number,
    visit: (host: number, offset: number, size: number) => void,
  ): boolean {
    for (let offset = 0; offset < length; ) {
      const address = BigInt.asUintN(64, linear + BigInt(offset));
      const size = Math.min(length - offset, L.PAGE_SIZE - Number(address & 0xfffn));
      const gpa = this.translate(vcpu, address);
      const host = gpa === undefined ? 0 : this.#cpu.hostAt(gpa) >>> 0;
      if (host === 0) return false;
      visit(host, offset, size);
      offset += size;
    }
    return true;
  }

  // --- a machine is a value ------------------------------------------------------------------------------------------

  /** Ascending gfns of backed frames that may hold something: RAM that was ever written, and mapped frames. */
  *touchedFrames(): Generator<number> {
    const ramFrames = this.ramBytes / L.PAGE_SIZE;
    const beyond = [...this.#mapped.keys()].filter((gfn) => gfn >= ramFrames).sort((a, b) => a - b);
    const flags = L.PAGE_FLAGS + L.RAM_OFFSET / L.PAGE_SIZE;
    for (let gfn = 0; gfn < ramFrames; gfn++) {
      const touched = this.#view.getUint8(flags + gfn) & L.PAGE_TOUCHED;
      const place = this.#view.getUint8(L.GFN_FLAGS + gfn);
      if (place === L.GFN_OVERRIDDEN || (place === 0 && touched !== 0)) yield gfn;
    }
    yield* beyond;
  }

  /** The whole state as a value that structuredClone and restore understand. */
  snapshot(): MachineState {
    const pages = new Map<number, Uint8Array>();
    const first = L.RAM_OFFSET / L.PAGE_SIZE;
    for (let page = 0; page < this.ramBytes / L.PAGE_SIZE; page++) {
      if ((this.#view.getUint8(L.PAGE_FLAGS + first + page) & L.PAGE_TOUCHED) === 0) continue;
      const host = (first + page) * L.PAGE_SIZE;
      if (!this.#isZero(host)) pages.set(page, this.#bytes.slice(host, host + L.PAGE_SIZE));
    }
    const vcpus: VcpuState[] = [];
    for (let vcpu = 0; vcpu < this.vcpuCount; vcpu++) {
      const place = this.#place(vcpu, L.CPU);
      const block = this.#bytes.slice(place, place + L.CPU_SIZE);
      // The TLB is no state: a restored machine starts with an empty one.
      new DataView(block.buffer).setUint32(L.TLB_LOG_COUNT - L.CPU, 0, true);
      vcpus.push({ block, line: this.#lines[vcpu] });
    }
    return {
      ramBytes: this.ramBytes,
      virtualTime: this.now(),
      random: this.#bytes.slice(L.RANDOM_STATE, L.RANDOM_STATE + 32),
      vcpus,
      pages,
      frames: Array.from({ length: this.#frames }, (_, frame) => this.frameView(frame).slice()),
      mapped: [...this.#mapped].sort((a, b) => a[0] - b[0]),
      removed: [...this.#removed].sort((a, b) => a - b),
    };
  }

  #isZero(host: number): boolean {
    for (const word of new BigUint64Array(this.#memory.buffer, host, L.PAGE_SIZE / 8))
      if (word !== 0n) return false;
    return true;
  }

  /**
   * Makes this machine what the snapshot was. CPUID stays that of this machine.
   * @throws MachineError when RAM size or vCPU count differ.
   */
  restore(state: MachineState): void {
    if (state.ramBytes !== this.ramBytes || state.vcpus.length !== this.vcpuCount)
      throw new MachineError('the snapshot is of a machine with other RAM or vCPUs');
    for (const gfn of [...this.#mapped.keys()]) this.unmapFrame(gfn);
    for (const gfn of [...this.#removed]) this.restorePage(gfn);
    this.#restoreRam(state.pages);
    while (this.#frames < state.frames.length) this.allocateFrame();
    state.frames.forEach((bytes, frame) => {
      this.frameView(frame).set(bytes);
    });
    this.#cpu.hostWrote(this.#frameHost(0), this.#frames * L.PAGE_SIZE);
    for (const [gfn, frame] of state.mapped) this.mapFrame(gfn, frame);
    for (const gfn of state.removed) this.removePage(gfn);
    this.#view.setBigUint64(L.VIRTUAL_TIME, BigInt(state.virtualTime), true);
    this.#bytes.set(state.random, L.RANDOM_STATE);
    state.vcpus.forEach((saved, vcpu) => {
      this.#bytes.set(saved.block, this.#place(vcpu, L.CPU));
      this.#lines[vcpu] = saved.line;
    });
    this.#cpu.flushEveryTlb();
    this.#cpu.registersChanged(1);
  }

  #restoreRam(pages: ReadonlyMap<number, Uint8Array>): void {
    const first = L.RAM_OFFSET / L.PAGE_SIZE;
    for (let page = 0; page < this.ramBytes / L.PAGE_SIZE; page++) {
      const flag = L.PAGE_FLAGS + first + page;
      const wanted = pages.get(page);
      if (wanted === undefined && (this.#view.getUint8(flag) & L.PAGE_TOUCHED) === 0) continue;
      const host = (first + page) * L.PAGE_SIZE;
      if (wanted === undefined) this.#bytes.fill(0, host, host + L.PAGE_SIZE);
      else this.#bytes.set(wanted, host);
      this.#cpu.hostWrote(host, L.PAGE_SIZE);
    }
  }

  #checkVcpu(vcpu: number): number {
    if (!Number.isInteger(vcpu) || vcpu < 0 || vcpu >= this.vcpuCount)
      throw new InternalError(`there is no vCPU ${vcpu}`);
    return vcpu;
  }

  /** Where a field of the vCPU's block is now: the current vCPU lives in the CPU block. */
  #place(vcpu: number, field: number): number {
    this.#checkVcpu(vcpu);
    const current = this.#view.getUint32(L.CURRENT_VCPU, true);
    return (vcpu === current ? L.CPU : L.VCPUS + vcpu * L.CPU_SIZE) + field - L.CPU;
  }

  #block(vcpu: number): Block {
    return { view: this.#view, base: this.#place(vcpu, L.CPU) };
  }
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Which words of a leaf carry the APIC id of the vCPU that asks (SDM vol 2A, CPUID). */
function rowFlags({ leaf, vcpuInEbx }: CpuidLeaf): number {
  if (vcpuInEbx) return L.CPUID_ROW_VCPU_EBX;
  if (leaf === 1) return L.CPUID_ROW_APIC_ID_EBX;
  return leaf === 0xb || leaf === 0x1f ? L.CPUID_ROW_APIC_ID_EDX : 0;
}
