// Opcode rows of the x87 FPU: class `fp`, carried out by assembly/fp.ts. Encodings without a row raise #UD.
import type { RowSource } from './opcodes-row.ts';

const row = (code: string, mnemonic: string, operands: string): RowSource => [
  code,
  mnemonic,
  operands,
  'class:fp if:fpu',
];

const ARITHMETIC = ['FADD', 'FMUL', 'FCOM', 'FCOMP', 'FSUB', 'FSUBR', 'FDIV', 'FDIVR'];

const group = (
  opcode: string,
  form: 'mem' | 'reg',
  names: readonly string[],
  operands: string,
): RowSource[] =>
  names.flatMap((name, reg) => (name === '' ? [] : [row(`${opcode} /${reg} ${form}`, name, operands)]));

/** Rows of one /reg with mod = 3 that ModRM.rm tells apart. */
const byRm = (code: string, names: readonly string[]): RowSource[] =>
  names.flatMap((name, rm) => (name === '' ? [] : [row(`${code} rm${rm}`, name, '')]));

// Memory operands: d q t = 4, 8 and 10 bytes of float, w d q of integer; bare M = an environment or state image.
export const X87_ROWS: readonly RowSource[] = [
  row('9b', 'FWAIT', ''),
  ...group('d8', 'mem', ARITHMETIC, 'Md'),
  ...group('d8', 'reg', ARITHMETIC, ''),
  row('d9 /0 mem', 'FLD', 'Md'),
  row('d9 /2 mem', 'FST', 'Md'),
  row('d9 /3 mem', 'FSTP', 'Md'),
  row('d9 /4 mem', 'FLDENV', 'M'),
  row('d9 /5 mem', 'FLDCW', 'Mw'),
  row('d9 /6 mem', 'FNSTENV', 'M'),
  row('d9 /7 mem', 'FNSTCW', 'Mw'),
  row('d9 /0 reg', 'FLD', ''),
  row('d9 /1 reg', 'FXCH', ''),
  ...byRm('d9 /2', ['FNOP']),
  row('d9 /3 reg', 'FSTPNCE', ''),
  ...byRm('d9 /4', ['FCHS', 'FABS', '', '', 'FTST', 'FXAM']),
  ...byRm('d9 /5', ['FLD1', 'FLDL2T', 'FLDL2E', 'FLDPI', 'FLDLG2', 'FLDLN2', 'FLDZ']),
  ...byRm('d9 /6', ['F2XM1', 'FYL2X', 'FPTAN', 'FPATAN', 'FXTRACT', 'FPREM1', 'FDECSTP', 'FINCSTP']),
  ...byRm('d9 /7', ['FPREM', 'FYL2XP1', 'FSQRT', 'FSINCOS', 'FRNDINT', 'FSCALE', 'FSIN', 'FCOS']),
  ...group(
    'da',
    'mem',
    ARITHMETIC.map((name) => name.replace('F', 'FI')),
    'Md',
  ),
  ...group('da', 'reg', ['FCMOVB', 'FCMOVE', 'FCMOVBE', 'FCMOVU'], ''),
  row('da /5 rm1', 'FUCOMPP', ''),
  ...group('db', 'mem', ['FILD', 'FISTTP', 'FIST', 'FISTP'], 'Md'),
  row('db /5 mem', 'FLD', 'Mt'),
  row('db /7 mem', 'FSTP', 'Mt'),
  ...group('db', 'reg', ['FCMOVNB', 'FCMOVNE', 'FCMOVNBE', 'FCMOVNU', '', 'FUCOMI', 'FCOMI'], ''),
  ...byRm('db /4', ['FNENI', 'FNDISI', 'FNCLEX', 'FNINIT', 'FNSETPM']),
  ...group('dc', 'mem', ARITHMETIC, 'Mq'),
  ...group('dc', 'reg', ['FADD', 'FMUL', 'FCOM2', 'FCOMP3', 'FSUBR', 'FSUB', 'FDIVR', 'FDIV'], ''),
  ...group('dd', 'mem', ['FLD', 'FISTTP', 'FST', 'FSTP'], 'Mq'),
  row('dd /4 mem', 'FRSTOR', 'M'),
  row('dd /6 mem', 'FNSAVE', 'M'),
  row('dd /7 mem', 'FNSTSW', 'Mw'),
  ...group('dd', 'reg', ['FFREE', 'FXCH4', 'FST', 'FSTP', 'FUCOM', 'FUCOMP'], ''),
  ...group(
    'de',
    'mem',
    ARITHMETIC.map((name) => name.replace('F', 'FI')),
    'Mw',
  ),
  ...group('de', 'reg', ['FADDP', 'FMULP', 'FCOMP5', '', 'FSUBRP', 'FSUBP', 'FDIVRP', 'FDIVP'], ''),
  row('de /3 rm1', 'FCOMPP', ''),
  ...group('df', 'mem', ['FILD', 'FISTTP', 'FIST', 'FISTP'], 'Mw'),
  row('df /4 mem', 'FBLD', 'Mt'),
  row('df /5 mem', 'FILD', 'Mq'),
  row('df /6 mem', 'FBSTP', 'Mt'),
  row('df /7 mem', 'FISTP', 'Mq'),
  ...group('df', 'reg', ['FFREEP', 'FXCH7', 'FSTP8', 'FSTP9', '', 'FUCOMIP', 'FCOMIP'], ''),
  row('df /4 rm0', 'FNSTSW', 'AX'),
];
