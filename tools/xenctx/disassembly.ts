// Instructions around the instruction pointer, in AT&T syntax as kernel people read them; where branches and data lie, by name.
import { hex16 } from '../../symbols/address.ts';
import { formatSymbol, type SymbolHit } from '../../symbols/symbolizer.ts';
import type { GuestKernel } from '../shared/guest-kernel.ts';
import type { VcpuView } from './view.ts';

/** One decoded instruction; `target` is where it branches to, or the memory that it names by its distance. */
export interface Instruction {
  readonly address: bigint;
  readonly length: number;
  readonly text: string;
  readonly target: bigint | undefined;
}

export type Disassemble = (code: Uint8Array, address: bigint, bits: 16 | 32 | 64) => Instruction[];

/** The decoder is large: it is loaded when it is wanted. */
export async function loadDisassembler(): Promise<Disassemble> {
  const { Decoder, DecoderOptions, FlowControl, Formatter, FormatterSyntax } = await import('iced-x86');
  const branches: readonly number[] = [
    FlowControl.UnconditionalBranch,
    FlowControl.ConditionalBranch,
    FlowControl.Call,
  ];
  return (code, address, bits) => {
    const decoder = new Decoder(bits, code, DecoderOptions.None);
    const formatter = new Formatter(FormatterSyntax.Gas);
    formatter.uppercaseHex = false;
    formatter.ripRelativeAddresses = true;
    formatter.spaceAfterOperandSeparator = false;
    decoder.ip = address;
    const instructions: Instruction[] = [];
    while (decoder.canDecode) {
      const one = decoder.decode();
      const near = branches.includes(one.flowControl) ? one.nearBranchTarget : 0n;
      const target = near !== 0n ? near : one.isIpRelMemoryOperand ? one.ipRelMemoryAddress : undefined;
      instructions.push({ address: one.ip, length: one.length, text: formatter.format(one), target });
      one.free();
    }
    formatter.free();
    decoder.free();
    return instructions;
  };
}

/** How far back a function's beginning is looked for; without it decoding starts at the instruction itself. */
const MAX_BACK = 1n << 14n;
const LONGEST = 15;
const SHOWN = 8;

/** Bytes from an address on, as far as they can be read. */
function codeFrom({ words }: VcpuView, start: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index++) {
    const byte = words.byte(start + BigInt(index));
    if (byte === undefined) return bytes.subarray(0, index);
    bytes[index] = byte;
  }
  return bytes;
}

/** Instructions before and behind the instruction pointer; undefined where the code cannot be read. */
export function instructionsAround(
  view: VcpuView,
  kernel: GuestKernel,
  disassemble: Disassemble,
): Instruction[] | undefined {
  const { instruction, wordSize } = view;
  const bits = wordSize === 8 ? 64 : wordSize === 4 ? 32 : 16;
  const hit = kernel.symbolizer.symbolize(instruction);
  const back = hit && !hit.padding && hit.offset < MAX_BACK ? hit.offset : 0n;
  const decode = (start: bigint): Instruction[] => {
    const length = Number(instruction - start) + SHOWN * LONGEST;
    return disassemble(codeFrom(view, start, length), start, bits);
  };
  const fromStart = decode(instruction - back);
  const index = fromStart.findIndex(({ address }) => address === instruction);
  // Data in the code, or a jump into the middle of an instruction: then only what follows is sure.
  const [all, at] = index >= 0 ? [fromStart, index] : [decode(instruction), 0];
  return all.length === 0 ? undefined : all.slice(Math.max(0, at - SHOWN), at + SHOWN + 1);
}

const offsetIn = ({ offset }: SymbolHit): string => `<+0x${offset.toString(16)}>`;

/** A title and a line an instruction, `=>` before the one at the instruction pointer. */
export function* disassemblyLines(
  view: VcpuView,
  kernel: GuestKernel,
  disassemble: Disassemble,
): Generator<string> {
  const instructions = instructionsAround(view, kernel, disassemble);
  yield 'Disassembly:';
  if (!instructions) yield ' (the code cannot be read)';
  for (const { address, text, target } of instructions ?? []) {
    const hit = kernel.symbolizer.symbolize(address);
    const named = target === undefined ? undefined : kernel.symbolizer.symbolize(target);
    const place = hit && !hit.padding ? ` ${offsetIn(hit)}` : '';
    const mark = address === view.instruction ? '=>' : '  ';
    yield `${mark} ${hex16(address)}${place}: ${text}${named ? `  # ${formatSymbol(named)}` : ''}`;
  }
  yield '';
}
