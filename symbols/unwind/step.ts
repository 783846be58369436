// Executes one row: from a frame's registers to its caller's. Looks for no rows and judges nothing.
import type { MemorySource } from '../memory.ts';
import { evaluate } from './expression.ts';
import { IRET_SIZE, PT_REGS_SIZE, parseIretFrame, parsePtRegs, type SavedContext } from './pt-regs.ts';
import {
  type CfaRule,
  type Computed,
  type KnownRegisters,
  type Place,
  ROW_REGISTERS,
  type RowRegister,
  type SavedRule,
  type UnwindRow,
} from './row.ts';

export interface State {
  readonly rip: bigint;
  readonly registers: KnownRegisters;
  /** True when rip is an instruction, false when it is behind a call. */
  readonly exact: boolean;
}

/** A caller: its state, where its address was, and the registers that an exception saved on the way. */
export interface Step {
  readonly next: State;
  readonly at: bigint;
  readonly how: UnwindRow['how'];
  readonly exception?: { readonly at: bigint; readonly context: SavedContext };
}

/** A rule needs a register that an earlier step lost. */
export class UnknownRegister extends Error {
  readonly register: RowRegister;
  constructor(register: RowRegister) {
    super(register);
    this.register = register;
  }
}

/** Registers that a function gives back unchanged (System V psABI: x86-64 3.2.1, i386 2.2.1). */
const CALLEE_SAVED: Readonly<Record<8 | 4, readonly RowRegister[]>> = {
  8: ['rbx', 'rbp', 'r12', 'r13', 'r14', 'r15'],
  4: ['rbx', 'rbp', 'rsi', 'rdi'],
};

/** Memory in words of the code's width. */
export class StackMemory {
  readonly memory: MemorySource;
  readonly wordSize: 8 | 4;

  constructor(memory: MemorySource, wordSize: 8 | 4) {
    this.memory = memory;
    this.wordSize = wordSize;
  }

  wrap(value: bigint): bigint {
    return BigInt.asUintN(this.wordSize * 8, value);
  }

  /** @throws MemoryFault */
  bytes(address: bigint, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.memory.read(this.wrap(address), bytes);
    return bytes;
  }

  /** Little-endian number of 1 to 8 bytes. @throws MemoryFault */
  load(address: bigint, size: number): bigint {
    return this.bytes(address, size).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }

  /** @throws MemoryFault */
  word(address: bigint): bigint {
    const bytes = this.bytes(address, this.wordSize);
    const view = new DataView(bytes.buffer);
    return this.wordSize === 8 ? view.getBigUint64(0, true) : BigInt(view.getUint32(0, true));
  }
}

function knownValue(registers: KnownRegisters, register: RowRegister): bigint {
  const value = registers[register];
  if (value === undefined) throw new UnknownRegister(register);
  return value;
}

/** A row being executed in a frame. */
class Execution {
  readonly #memory: StackMemory;
  readonly #state: State;
  readonly #row: UnwindRow;
  readonly cfa: bigint;

  constructor(memory: StackMemory, state: State, row: UnwindRow) {
    this.#memory = memory;
    this.#state = state;
    this.#row = row;
    this.cfa = this.#frameAddress(row.cfa);
  }

  #frameAddress(rule: CfaRule | Computed): bigint {
    const memory = this.#memory;
    if ('expression' in rule) return this.#compute(rule, undefined);
    const base = knownValue(this.#state.registers, rule.base);
    const offset = BigInt(rule.offset);
    if (rule.load === 'at base') return memory.wrap(memory.word(base) + offset);
    return rule.load === 'at place' ? memory.word(base + offset) : memory.wrap(base + offset);
  }

  #compute({ expression, numbering }: Computed, initial: bigint | undefined): bigint {
    const memory = this.#memory;
    const register = (number: number): bigint => {
      const name = numbering[number];
      if (!name) throw new UnknownRegister('rax');
      return knownValue(this.#state.registers, name);
    };
    const load = (address: bigint, size: number): bigint => memory.load(address, size);
    return evaluate(expression, { wordSize: memory.wordSize, register, load }, initial);
  }

  #placeAddress({ base, offset }: Place): bigint {
    const start = base === 'cfa' ? this.cfa : knownValue(this.#state.registers, base);
    return this.#memory.wrap(start + BigInt(offset));
  }

  /** Where the return address lies. */
  returnSlot(): bigint {
    const rule = this.#row.returnAddress ?? { base: 'cfa', offset: -this.#memory.wordSize };
    return 'expression' in rule ? this.#compute(rule, this.cfa) : this.#placeAddress(rule);
  }

  #savedValue(rule: SavedRule): bigint | undefined {
    if (rule === 'lost') return undefined;
    const isValue = 'value' in rule && rule.value;
    const result = 'expression' in rule ? this.#compute(rule, this.cfa) : this.#placeAddress(rule);
    return isValue ? result : this.#memory.word(result);
  }

  /** `known`, with what the row says that was saved. */
  withSaved(known: KnownRegisters): KnownRegisters {
    const registers: Partial<Record<RowRegister, bigint>> = { ...known };
    for (const name of ROW_REGISTERS) {
      const rule = this.#row.saved[name];
      if (rule === undefined) continue;
      const value = this.#savedValue(rule);
      if (value === undefined) delete registers[name];
      else registers[name] = value;
    }
    return registers;
  }

  /** What a function leaves unchanged, and the stack pointer behind its return. */
  unchanged(): KnownRegisters {
    // ORC and frame pointers tell of rbp only: the others are right no more once a function was left.
    const tellsAll = this.#row.how !== 'orc' && this.#row.how !== 'fp';
    const names = tellsAll ? CALLEE_SAVED[this.#memory.wordSize] : (['rbp'] as const);
    const kept = names.flatMap((name) => {
      const value = this.#state.registers[name];
      return value === undefined ? [] : [[name, value] as const];
    });
    return { ...Object.fromEntries(kept), rsp: this.cfa };
  }

  /** A signal frame whose return address and stack pointer lie as the CPU pushes them at an exception. */
  isIretFrame(): boolean {
    const { signal, returnAddress, saved } = this.#row;
    const { rsp } = saved;
    if (!signal || this.#memory.wordSize !== 8 || !returnAddress || 'expression' in returnAddress)
      return false;
    if (rsp === undefined || rsp === 'lost' || 'expression' in rsp || 'value' in rsp) return false;
    return rsp.base === returnAddress.base && rsp.offset === returnAddress.offset + 24;
  }
}

/** The registers that an exception left at `at`: a whole pt_regs, or the iret frame alone. */
export function savedContext(memory: StackMemory, at: bigint, whole: boolean): SavedContext {
  const bytes = memory.bytes(at, whole ? PT_REGS_SIZE : IRET_SIZE);
  return whole ? parsePtRegs(bytes) : parseIretFrame(bytes);
}

/**
 * One row executed; the row is none of those that end a trace.
 * @throws MemoryFault, UnknownRegister, and FormatError for an expression that is none.
 */
export function executeRow(memory: StackMemory, state: State, row: UnwindRow): Step {
  const execution = new Execution(memory, state, row);
  const { how } = row;
  if (row.kind === 'call') {
    const at = execution.returnSlot();
    const rip = memory.word(at);
    const registers = execution.withSaved(execution.unchanged());
    const next: State = { rip, registers, exact: row.signal };
    if (!execution.isIretFrame()) return { next, at, how };
    const pushed = savedContext(memory, at, false);
    return { next, at, how, exception: { at, context: { ...pushed, registers } } };
  }
  const at = execution.cfa;
  const whole = row.kind === 'registers';
  const context = savedContext(memory, at, whole);
  const kept = whole ? {} : execution.withSaved(state.registers);
  return {
    next: { rip: context.rip, registers: { ...kept, ...context.registers }, exact: true },
    at,
    how,
    exception: { at, context },
  };
}
