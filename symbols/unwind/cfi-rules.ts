// Executes call frame instructions (DWARF 5 §6.4.2) up to an address: the rules that hold there. Knows no sections.
import { ByteReader } from '../bytes.ts';
import { FormatError } from '../errors.ts';
import { sleb, uleb } from '../leb128.ts';
import type { CommonEntry, FunctionEntry } from './cfi-section.ts';

/** Where the caller's value of a register is; without a rule it is unchanged. */
export type RegisterRule =
  | { readonly rule: 'offset' | 'value offset'; readonly offset: number }
  | { readonly rule: 'register'; readonly register: number }
  | { readonly rule: 'expression' | 'value expression'; readonly expression: Uint8Array }
  | { readonly rule: 'undefined' };

export type CfaDefinition =
  | { readonly register: number; readonly offset: number }
  | { readonly expression: Uint8Array };

export interface CfiRules {
  readonly cfa: CfaDefinition | undefined;
  readonly registers: ReadonlyMap<number, RegisterRule>;
}

const MAX_STATES = 64;
/** GCC's longest function of a kernel has some thousand. */
const MAX_INSTRUCTIONS = 1 << 17;
/** The psABI's highest is 130; each remembered state is a copy of the rules of all. */
const MAX_REGISTER = 255;

function registerAt(reader: ByteReader): number {
  const register = uleb(reader);
  if (register > MAX_REGISTER) throw reader.error(`register ${register}`);
  return register;
}

class Interpreter {
  readonly #name: string;
  readonly #common: CommonEntry;
  readonly #stack: CfiRules[] = [];
  #initial: ReadonlyMap<number, RegisterRule> = new Map();
  #registers = new Map<number, RegisterRule>();
  #cfa: CfaDefinition | undefined;
  #count = 0;

  constructor(name: string, common: CommonEntry) {
    this.#name = name;
    this.#common = common;
  }

  run(entry: FunctionEntry, target: bigint): CfiRules {
    this.#execute(this.#common.instructions, entry.start, target);
    this.#initial = new Map(this.#registers);
    this.#execute(entry.instructions, entry.start, target);
    return { cfa: this.#cfa, registers: this.#registers };
  }

  /** Stops where the location passes `target`. */
  #execute(bytes: Uint8Array, start: bigint, target: bigint): void {
    const reader = new ByteReader(this.#name, bytes);
    let location = start;
    while (reader.remaining > 0) {
      if (++this.#count > MAX_INSTRUCTIONS) throw reader.error('too many call frame instructions');
      const code = reader.u8();
      if (code === 0x01) {
        location = this.#common.bits === 64 ? reader.u64() : BigInt(reader.u32()); // DW_CFA_set_loc
      } else {
        const advance = this.#advance(code, reader);
        if (advance === undefined) {
          this.#instruction(code, reader);
          continue;
        }
        location += BigInt(advance * this.#common.codeAlign);
      }
      if (location > target) return;
    }
  }

  #advance(code: number, reader: ByteReader): number | undefined {
    if (code >>> 6 === 1) return code & 0x3f; // DW_CFA_advance_loc
    if (code === 0x02) return reader.u8(); // DW_CFA_advance_loc1
    if (code === 0x03) return reader.u16(); // DW_CFA_advance_loc2
    return code === 0x04 ? reader.u32() : undefined; // DW_CFA_advance_loc4
  }

  #instruction(code: number, reader: ByteReader): void {
    const { dataAlign } = this.#common;
    const at = (register: number, offset: number): void => {
      this.#registers.set(register, { rule: 'offset', offset: offset * dataAlign });
    };
    // DW_CFA_offset
    if (code >>> 6 === 2) {
      at(code & 0x3f, uleb(reader));
      return;
    }
    // DW_CFA_restore
    if (code >>> 6 === 3) {
      this.#restore(code & 0x3f);
      return;
    }
    switch (code) {
      case 0x00: // DW_CFA_nop
        return;
      case 0x05: // DW_CFA_offset_extended
        at(registerAt(reader), uleb(reader));
        return;
      case 0x06: // DW_CFA_restore_extended
        this.#restore(registerAt(reader));
        return;
      case 0x07: // DW_CFA_undefined
        this.#registers.set(registerAt(reader), { rule: 'undefined' });
        return;
      case 0x08: // DW_CFA_same_value
        this.#registers.delete(registerAt(reader));
        return;
      case 0x09: // DW_CFA_register
        this.#registers.set(registerAt(reader), { rule: 'register', register: registerAt(reader) });
        return;
      case 0x0a: // DW_CFA_remember_state
        if (this.#stack.length >= MAX_STATES) throw reader.error('too many remembered states');
        this.#stack.push({ cfa: this.#cfa, registers: new Map(this.#registers) });
        return;
      case 0x0b: // DW_CFA_restore_state
        this.#restoreState(reader);
        return;
      case 0x0c: // DW_CFA_def_cfa
        this.#cfa = { register: registerAt(reader), offset: uleb(reader) };
        return;
      case 0x0d: // DW_CFA_def_cfa_register
        this.#cfa = { register: registerAt(reader), offset: this.#byRegister(reader).offset };
        return;
      case 0x0e: // DW_CFA_def_cfa_offset
        this.#cfa = { register: this.#byRegister(reader).register, offset: uleb(reader) };
        return;
      case 0x0f: // DW_CFA_def_cfa_expression
        this.#cfa = { expression: reader.take(uleb(reader)) };
        return;
      case 0x10: // DW_CFA_expression
        this.#registers.set(registerAt(reader), {
          rule: 'expression',
          expression: reader.take(uleb(reader)),
        });
        return;
      case 0x11: // DW_CFA_offset_extended_sf
        at(registerAt(reader), sleb(reader));
        return;
      case 0x12: // DW_CFA_def_cfa_sf
        this.#cfa = { register: registerAt(reader), offset: sleb(reader) * dataAlign };
        return;
      case 0x13: // DW_CFA_def_cfa_offset_sf
        this.#cfa = { register: this.#byRegister(reader).register, offset: sleb(reader) * dataAlign };
        return;
      case 0x14: // DW_CFA_val_offset
        this.#registers.set(registerAt(reader), { rule: 'value offset', offset: uleb(reader) * dataAlign });
        return;
      case 0x15: // DW_CFA_val_offset_sf
        this.#registers.set(registerAt(reader), { rule: 'value offset', offset: sleb(reader) * dataAlign });
        return;
      case 0x16: // DW_CFA_val_expression
        this.#registers.set(registerAt(reader), {
          rule: 'value expression',
          expression: reader.take(uleb(reader)),
        });
        return;
      case 0x2e: // DW_CFA_GNU_args_size
        uleb(reader);
        return;
      case 0x2f: // DW_CFA_GNU_negative_offset_extended
        at(registerAt(reader), -uleb(reader));
        return;
      default:
        throw reader.error(`call frame instruction 0x${code.toString(16)}`);
    }
  }

  /** The CFA's definition, which has to be by a register where an instruction changes a part of it. */
  #byRegister(reader: ByteReader): { register: number; offset: number } {
    if (this.#cfa && 'register' in this.#cfa) return this.#cfa;
    throw reader.error('frame address is not defined by a register');
  }

  #restoreState(reader: ByteReader): void {
    const state = this.#stack.pop();
    if (!state) throw reader.error('no remembered state');
    this.#cfa = state.cfa;
    this.#registers = new Map(state.registers);
  }

  #restore(register: number): void {
    const initial = this.#initial.get(register);
    if (initial === undefined) this.#registers.delete(register);
    else this.#registers.set(register, initial);
  }
}

/**
 * Rules that hold at an address of the function.
 * @param name of the section, for messages.
 * @throws FormatError
 */
export function rulesAt(name: string, entry: FunctionEntry, address: bigint): CfiRules {
  if (entry.common.codeAlign > 64) throw new FormatError('code alignment too large', { source: name });
  return new Interpreter(name, entry.common).run(entry, address);
}
