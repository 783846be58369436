// Opcode rows of MMX, SSE to SSE4.2 and FXSAVE: class `fp`, carried out by assembly/fp.ts.
import type { RowSource } from './opcodes-row.ts';

const row = (code: string, mnemonic: string, operands: string, feature: string): RowSource => [
  code,
  mnemonic,
  operands,
  `class:fp if:${feature}`,
];

// Operands: V = xmm of ModRM.reg, W = xmm or memory, U = xmm only, P/Q/N the same for mm, sizes x = 16 bytes.
export const SSE_ROWS: readonly RowSource[] = [
  row('np 0f ae /0 mem', 'FXSAVE', 'M', 'fxsr'),
  row('np 0f ae /1 mem', 'FXRSTOR', 'M', 'fxsr'),
  row('np 0f ae /2 mem', 'LDMXCSR', 'Md', 'sse'),
  row('np 0f ae /3 mem', 'STMXCSR', 'Md', 'sse'),
  row('np 0f 77', 'EMMS', '', 'mmx'),
];
