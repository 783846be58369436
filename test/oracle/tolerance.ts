// Where floating-point state may differ from the recorded CPU.
//
// Transcendental x87 instructions: one unit in the last place, and C1, which says how the last place was rounded. Intel
// promises less than one unit for its own (SDM vol 1, 8.3.10); ours round correctly.
// MMX stores that fault: the recorded CPU has TOP = 0 in the handler, MASKMOVQ all tags full as well, as if it had become an MMX
// instruction before it faulted; the SDM has a faulting instruction change nothing, and so have we.
import type { OpcodeRow } from '../../core/cpu/opcodes.ts';
import type { RecordedCase } from './corpus.ts';

const TRANSCENDENTAL = /^(F2XM1|FYL2X|FYL2XP1|FPTAN|FPATAN|FSIN|FCOS|FSINCOS)$/;
const MMX_STORE = /^(MOVQ|MOVD|MOVNTQ|MASKMOVQ)$/;
const C1_IN_HIGH_BYTE = 0x02;
const TOP_IN_HIGH_BYTE = 0x38;

/** The 10 bytes of a register as an integer whose neighbours are the neighbouring numbers. */
function ordinal(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const head = BigInt(view.getUint16(8, true));
  const magnitude = ((head & 0x7fffn) << 63n) + BigInt.asUintN(63, view.getBigUint64(0, true));
  return head & 0x8000n ? -magnitude : magnitude;
}

/** Whether unit `name` of the FXSAVE image may differ like that. */
export function isCloseEnough(
  row: OpcodeRow | undefined,
  name: string,
  expected: Uint8Array,
  got: Uint8Array,
  faulted: boolean,
): boolean {
  if (!row) return false;
  const sameStatusBut = (bits: number): boolean =>
    expected[0] === got[0] && (((expected[1] ?? 0) ^ (got[1] ?? 0)) & ~bits) === 0;
  if (faulted && MMX_STORE.test(row.mnemonic))
    return name === 'ftw' || (name === 'fsw' && sameStatusBut(TOP_IN_HIGH_BYTE)) || /^r\d$/.test(name);
  if (!TRANSCENDENTAL.test(row.mnemonic)) return false;
  if (name === 'fsw') return sameStatusBut(C1_IN_HIGH_BYTE);
  if (!/^r\d$/.test(name)) return false;
  const distance = ordinal(expected) - ordinal(got);
  return distance >= -1n && distance <= 1n;
}

const QUARTER = 0x3ffd;

/** FYL2XP1 is defined for |x| below 1 - sqrt(2)/2 only; taken here as below 1/4. */
export function isOutsideDomain(row: OpcodeRow, { state }: RecordedCase): boolean {
  const exponent = ((state.fx[41] ?? 0) & 0x7f) * 256 + (state.fx[40] ?? 0); // of ST(0)
  return row.mnemonic === 'FYL2XP1' && exponent >= QUARTER && exponent < 0x7fff;
}
