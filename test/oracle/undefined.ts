// Which results of a case the SDM leaves undefined: they are not compared. The opcode table says it per row; counts of
// shifts and a few operands decide the rest.
import { AF, CF, OF, type OpcodeRow, PF, SF, ZF } from '../../core/cpu/opcodes.ts';
import { PROGRAM_ROW } from './case.ts';
import type { RecordedCase } from './corpus.ts';
import { isOutsideDomain } from './tolerance.ts';

const ALL_FLAGS = CF | PF | AF | ZF | SF | OF;

export interface Undefined {
  /** RFLAGS bits. */
  readonly flags: number;
  /** The destination too: registers and memory are not compared. */
  readonly results: boolean;
  /** Of a fault: at which of its several accesses the instruction stopped. */
  readonly access?: boolean;
}

const NOTHING: Undefined = { flags: 0, results: false };

const PREFIXES: readonly number[] = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3];

/** Operand size of an integer instruction with a word form, from its prefixes. */
function operandBits(code: Uint8Array, mode: 32 | 64): number {
  let i = 0;
  let narrow = false;
  for (; PREFIXES.includes(code[i] ?? 0); i++) narrow ||= code[i] === 0x66;
  const rex = mode === 64 && ((code[i] ?? 0) & 0xf0) === 0x40 ? (code[i] ?? 0) : 0;
  return rex & 8 ? 64 : narrow ? 16 : 32;
}

/** SDM vol 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD. */
function shiftCase(row: OpcodeRow, recorded: RecordedCase): Undefined {
  const { code, mode } = recorded.program;
  const last = row.operands[row.operands.length - 1];
  const isByte = row.operands[0] === 'Eb';
  const bits = isByte ? 8 : operandBits(code, mode);
  const raw =
    last === '1'
      ? 1
      : last === 'CL'
        ? Number((recorded.state.gpr[1] ?? 0n) & 0xffn)
        : (code[code.length - 1] ?? 0);
  const count = raw & (bits === 64 ? 63 : 31);
  if (count === 0) return NOTHING;
  if (/^(RC|RO)/.test(row.mnemonic)) return { flags: count === 1 ? 0 : OF, results: false };
  const flags = AF | (count === 1 ? 0 : OF);
  if (/D$/.test(row.mnemonic))
    return count > bits ? { flags: ALL_FLAGS, results: true } : { flags, results: false };
  return { flags: flags | (row.mnemonic !== 'SAR' && count >= bits ? CF : 0), results: false };
}

/** Instructions that read several places: the order, and so which fault is met first, is the CPU's own. */
const SEVERAL_READS = /^(IRET|RETF|FLDENV|FRSTOR|FXRSTOR|CMPS)$/;

/** What not to compare of a case that ended in a fault. */
export function undefinedInFault(row: OpcodeRow | undefined): Undefined {
  if (!row) return NOTHING;
  if (SEVERAL_READS.test(row.mnemonic))
    return { ...NOTHING, access: true, flags: row.repeat === 'repz' ? ALL_FLAGS : 0 };
  // Registers popped before the fault may or may not hold their new values: the instruction is started again.
  if (row.mnemonic === 'POPA') return { ...NOTHING, results: true };
  // The recorder steps each iteration, which makes the flags of the one before it visible; running freely they are restored.
  if (row.mnemonic === 'SCAS') return { ...NOTHING, flags: ALL_FLAGS };
  return NOTHING;
}

/** What not to compare of a case that ran to its end. */
export function undefinedIn(row: OpcodeRow | undefined, recorded: RecordedCase): Undefined {
  if (recorded.row === PROGRAM_ROW) return { flags: AF, results: false };
  if (!row) return NOTHING;
  if (/^(SHL|SHR|SAR|ROL|ROR|RCL|RCR|SHLD|SHRD)$/.test(row.mnemonic)) return shiftCase(row, recorded);
  return { flags: row.undefinedFlags, results: isOutsideDomain(row, recorded) };
}
