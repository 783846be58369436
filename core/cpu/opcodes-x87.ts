// Opcode rows of the x87 FPU: class `fp`, carried out by assembly/fp.ts. One row an opcode: ModRM selects inside.
import type { RowSource } from './opcodes-row.ts';

export const X87_ROWS: readonly RowSource[] = [
  ['9b', 'FWAIT', '', 'class:fp if:fpu'],
  ...['d8', 'd9', 'da', 'db', 'dc', 'dd', 'de', 'df'].flatMap((code): RowSource[] => [
    [`${code} mem`, `ESC_${code.toUpperCase()}`, 'M', 'class:fp if:fpu'],
    [`${code} reg`, `ESC_${code.toUpperCase()}`, '', 'class:fp if:fpu'],
  ]),
];
