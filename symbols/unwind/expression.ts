// DWARF expressions as call frame information has them (DWARF 5 §2.5 and §6.4.2): numbers, registers, memory. No locations of
// variables, no types. Always ends.
import { ByteReader } from '../bytes.ts';
import { sleb, uleb } from '../leb128.ts';

export interface ExpressionInput {
  readonly wordSize: 8 | 4;
  /** Value of a register by its DWARF number. */
  register(number: number): bigint;
  /** Little-endian number of `size` bytes. @throws MemoryFault */
  load(address: bigint, size: number): bigint;
}

const MAX_OPERATIONS = 1000;
const MAX_DEPTH = 64;

type Binary = (left: bigint, right: bigint, bits: number) => bigint;

const signed = (value: bigint, bits: number): bigint => BigInt.asIntN(bits, value);
const shift = (by: bigint): bigint => (by > 64n ? 64n : by);
const truth = (holds: boolean): bigint => (holds ? 1n : 0n);

/** Operations that take two numbers off the stack and put one on it. */
const BINARY: Readonly<Record<number, Binary>> = {
  26: (a, b) => a & b, // DW_OP_and
  27: (a, b, bits) => signed(a, bits) / signed(b, bits), // DW_OP_div
  28: (a, b) => a - b, // DW_OP_minus
  29: (a, b) => a % b, // DW_OP_mod
  30: (a, b) => a * b, // DW_OP_mul
  33: (a, b) => a | b, // DW_OP_or
  34: (a, b) => a + b, // DW_OP_plus
  36: (a, b) => a << shift(b), // DW_OP_shl
  37: (a, b) => a >> shift(b), // DW_OP_shr
  38: (a, b, bits) => signed(a, bits) >> shift(b), // DW_OP_shra
  39: (a, b) => a ^ b, // DW_OP_xor
  41: (a, b) => truth(a === b), // DW_OP_eq
  42: (a, b, bits) => truth(signed(a, bits) >= signed(b, bits)), // DW_OP_ge
  43: (a, b, bits) => truth(signed(a, bits) > signed(b, bits)), // DW_OP_gt
  44: (a, b, bits) => truth(signed(a, bits) <= signed(b, bits)), // DW_OP_le
  45: (a, b, bits) => truth(signed(a, bits) < signed(b, bits)), // DW_OP_lt
  46: (a, b) => truth(a !== b), // DW_OP_ne
};

class Evaluation {
  readonly #input: ExpressionInput;
  readonly #reader: ByteReader;
  readonly #bits: number;
  readonly #stack: bigint[] = [];

  constructor(bytes: Uint8Array, input: ExpressionInput, initial: bigint | undefined) {
    this.#input = input;
    this.#reader = new ByteReader('call frame expression', bytes);
    this.#bits = input.wordSize * 8;
    if (initial !== undefined) this.#push(initial);
  }

  run(): bigint {
    for (let count = 0; this.#reader.remaining > 0; count++) {
      if (count >= MAX_OPERATIONS) throw this.#reader.error('expression does not end');
      const value = this.#execute(this.#reader.u8());
      if (value !== undefined) this.#push(value);
    }
    return this.#pop();
  }

  #push(value: bigint): void {
    if (this.#stack.length >= MAX_DEPTH) throw this.#reader.error('expression stack overflow');
    this.#stack.push(BigInt.asUintN(this.#bits, value));
  }

  #pop(): bigint {
    const value = this.#stack.pop();
    if (value === undefined) throw this.#reader.error('expression stack is empty');
    return value;
  }

  #pick(depth: number): bigint {
    const value = this.#stack[this.#stack.length - 1 - depth];
    if (value === undefined) throw this.#reader.error('expression stack is empty');
    return value;
  }

  #branch(taken: boolean): void {
    const distance = this.#reader.i16();
    if (taken) this.#reader.seek(this.#reader.offset + distance);
  }

  /** One operation; what it leaves on the stack. */
  #execute(code: number): bigint | undefined {
    const reader = this.#reader;
    const binary = BINARY[code];
    if (binary) {
      const right = this.#pop();
      const left = this.#pop();
      if (right === 0n && (code === 27 || code === 29)) throw reader.error('division by zero');
      return binary(left, right, this.#bits);
    }
    if (code >= 48 && code <= 79) return BigInt(code - 48); // DW_OP_lit0..31
    if (code >= 112 && code <= 143) return this.#input.register(code - 112) + BigInt(sleb(reader)); // DW_OP_breg0..31
    switch (code) {
      case 3: // DW_OP_addr
        return this.#input.wordSize === 8 ? reader.u64() : BigInt(reader.u32());
      case 6: // DW_OP_deref
        return this.#input.load(this.#pop(), this.#input.wordSize);
      case 8: // DW_OP_const1u
        return BigInt(reader.u8());
      case 9: // DW_OP_const1s
        return BigInt.asIntN(8, BigInt(reader.u8()));
      case 10: // DW_OP_const2u
        return BigInt(reader.u16());
      case 11: // DW_OP_const2s
        return BigInt(reader.i16());
      case 12: // DW_OP_const4u
        return BigInt(reader.u32());
      case 13: // DW_OP_const4s
        return BigInt(reader.i32());
      case 14: // DW_OP_const8u
      case 15: // DW_OP_const8s
        return reader.u64();
      case 16: // DW_OP_constu
        return BigInt(uleb(reader));
      case 17: // DW_OP_consts
        return BigInt(sleb(reader));
      case 18: // DW_OP_dup
        return this.#pick(0);
      case 19: // DW_OP_drop
        this.#pop();
        return undefined;
      case 20: // DW_OP_over
        return this.#pick(1);
      case 21: // DW_OP_pick
        return this.#pick(reader.u8());
      case 22: // DW_OP_swap
        this.#rotate(2);
        return undefined;
      case 23: // DW_OP_rot
        this.#rotate(3);
        return undefined;
      case 25: {
        // DW_OP_abs
        const value = signed(this.#pop(), this.#bits);
        return value < 0n ? -value : value;
      }
      case 31: // DW_OP_neg
        return -this.#pop();
      case 32: // DW_OP_not
        return ~this.#pop();
      case 35: // DW_OP_plus_uconst
        return this.#pop() + BigInt(uleb(reader));
      case 40: // DW_OP_bra
        this.#branch(this.#pop() !== 0n);
        return undefined;
      case 47: // DW_OP_skip
        this.#branch(true);
        return undefined;
      case 146: {
        // DW_OP_bregx
        const base = this.#input.register(uleb(reader));
        return base + BigInt(sleb(reader));
      }
      case 148: {
        // DW_OP_deref_size
        const size = reader.u8();
        if (size < 1 || size > this.#input.wordSize) throw reader.error(`number of ${size} bytes`);
        return this.#input.load(this.#pop(), size);
      }
      case 150: // DW_OP_nop
        return undefined;
      default:
        throw reader.error(`expression operation 0x${code.toString(16)}`);
    }
  }

  /** The top of the stack goes below the `count - 1` numbers under it. */
  #rotate(count: number): void {
    const moved = this.#pick(0);
    this.#pick(count - 1);
    this.#stack.pop();
    this.#stack.splice(this.#stack.length - (count - 1), 0, moved);
  }
}

/**
 * @param initial what lies on the stack at the start: the CFA for rules of registers.
 * @throws FormatError for an expression that is none; what `input` throws.
 */
export function evaluate(bytes: Uint8Array, input: ExpressionInput, initial?: bigint): bigint {
  return new Evaluation(bytes, input, initial).run();
}
