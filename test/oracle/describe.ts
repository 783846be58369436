// A mismatch as text for a person: the code, the operands that went in, and every difference.
import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from 'iced-x86';
import { GENERAL_REGISTERS } from '../../core/machine/registers.ts';
import type { RecordedCase } from './corpus.ts';
import { CODE_BASE } from './format.ts';
import type { Mismatch } from './replay.ts';

const hex = (value: bigint | number): string => value.toString(16);

/** The instructions of a case, one a line. */
export function disassemble({ program }: RecordedCase): string[] {
  const decoder = new Decoder(program.mode, program.code, DecoderOptions.MPX);
  const formatter = new Formatter(FormatterSyntax.Intel);
  const lines: string[] = [];
  decoder.ip = BigInt(CODE_BASE + program.offset);
  while (decoder.canDecode) {
    const at = decoder.position;
    const instruction = decoder.decode();
    const bytes = Buffer.from(program.code.subarray(at, decoder.position)).toString('hex');
    lines.push(`${hex(instruction.ip)}  ${bytes.padEnd(22)} ${formatter.format(instruction)}`);
    instruction.free();
  }
  formatter.free();
  decoder.free();
  return lines;
}

function registersIn({ state }: RecordedCase): string[] {
  const names = [...GENERAL_REGISTERS];
  const lines = [];
  for (let i = 0; i < 16; i += 4)
    lines.push(
      names
        .slice(i, i + 4)
        .map((name, k) => `${name}=${hex(state.gpr[i + k] ?? 0n).padStart(16, '0')}`)
        .join(' '),
    );
  const view = new DataView(state.fx.buffer, state.fx.byteOffset);
  lines.push(
    `rflags=${hex(state.rflags)} fcw=${hex(view.getUint16(0, true))} fsw=${hex(view.getUint16(2, true))} ftw=${hex(view.getUint8(4))} mxcsr=${hex(view.getUint32(24, true))} fs=${hex(state.fs_base)} gs=${hex(state.gs_base)}`,
  );
  return lines;
}

/** Several lines. */
export function describeMismatch({ recorded, differences }: Mismatch): string {
  const { row, index, program, profile } = recorded;
  return [
    `${row} #${index} (${program.mode}-bit, ${profile})`,
    ...disassemble(recorded).map((line) => `  ${line}`),
    ...registersIn(recorded).map((line) => `    in  ${line}`),
    ...program.patches.map(
      (patch) => `    in  [${hex(0x2000_0000 + patch.offset)}]=${Buffer.from(patch.bytes).toString('hex')}`,
    ),
    ...differences.map((line) => `    !!  ${line}`),
  ].join('\n');
}
