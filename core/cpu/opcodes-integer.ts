// Opcode rows of the general-purpose instructions (SDM vol 2, chapters 3-5; opcode maps vol 2D, appendix A).
// System instructions stand in opcodes-system.ts.
import type { RowSource } from './opcodes-row.ts';

const hex = (n: number): string => n.toString(16).padStart(2, '0');
const CONDITIONS = [
  'O',
  'NO',
  'B',
  'AE',
  'Z',
  'NZ',
  'BE',
  'A',
  'S',
  'NS',
  'P',
  'NP',
  'L',
  'GE',
  'LE',
  'G',
] as const;
const EIGHT = [0, 1, 2, 3, 4, 5, 6, 7] as const;

const ARITHMETIC = ['ADD', 'OR', 'ADC', 'SBB', 'AND', 'SUB', 'XOR', 'CMP'] as const;
const arithmetic = (name: string): string => {
  const undef = name === 'OR' || name === 'AND' || name === 'XOR' ? ' undef:a' : '';
  return (name === 'CMP' ? '' : 'lock') + undef;
};

const SHIFTS = ['ROL', 'ROR', 'RCL', 'RCR', 'SHL', 'SHR', 'SHL', 'SAR'] as const;

function arithmeticRows(): RowSource[] {
  const rows: RowSource[] = [];
  for (const [i, name] of ARITHMETIC.entries()) {
    const base = i * 8;
    const plain = arithmetic(name).replace('lock', '').trim();
    rows.push(
      [hex(base), name, 'Eb Gb', arithmetic(name)],
      [hex(base + 1), name, 'Ev Gv', arithmetic(name)],
      [hex(base + 2), name, 'Gb Eb', plain],
      [hex(base + 3), name, 'Gv Ev', plain],
      [hex(base + 4), name, 'AL Ib', plain],
      [hex(base + 5), name, 'rAX Iz', plain],
      [`80 /${i}`, name, 'Eb Ib', arithmetic(name)],
      [`81 /${i}`, name, 'Ev Iz', arithmetic(name)],
      [`82 /${i}`, name, 'Eb Ib', `${arithmetic(name)} no64`],
      [`83 /${i}`, name, 'Ev Ibs', arithmetic(name)],
    );
  }
  return rows;
}

function shiftRows(): RowSource[] {
  const rows: RowSource[] = [];
  for (const [i, name] of SHIFTS.entries()) {
    const rotate = i < 4;
    const once = rotate ? '' : 'undef:a';
    const many = rotate ? 'undef:o' : 'undef:ao';
    rows.push(
      [`c0 /${i}`, name, 'Eb Ib', many],
      [`c1 /${i}`, name, 'Ev Ib', many],
      [`d0 /${i}`, name, 'Eb 1', once],
      [`d1 /${i}`, name, 'Ev 1', once],
      [`d2 /${i}`, name, 'Eb CL', many],
      [`d3 /${i}`, name, 'Ev CL', many],
    );
  }
  return rows;
}

const conditional = (make: (condition: string, i: number) => RowSource): RowSource[] => CONDITIONS.map(make);
const registers = (make: (i: number) => RowSource): RowSource[] => EIGHT.map(make);

/** BCD and segment pushes of the legacy modes, POPs of segments are system rows. */
const LEGACY: readonly RowSource[] = [
  ['27', 'DAA', '', 'no64 undef:o'],
  ['2f', 'DAS', '', 'no64 undef:o'],
  ['37', 'AAA', '', 'no64 undef:oszp'],
  ['3f', 'AAS', '', 'no64 undef:oszp'],
  ['d4', 'AAM', 'Ib', 'no64 undef:oac'],
  ['d5', 'AAD', 'Ib', 'no64 undef:oac'],
  ['d6', 'SALC', '', 'no64'],
  ['60', 'PUSHA', '', 'no64'],
  ['61', 'POPA', '', 'no64'],
  ['62', 'BOUND', 'Gv Mv', 'no64'],
  ['63', 'ARPL', 'Ew Gw', 'no64'],
  ['06', 'PUSH', 'ES', 'no64'],
  ['0e', 'PUSH', 'CS', 'no64'],
  ['16', 'PUSH', 'SS', 'no64'],
  ['1e', 'PUSH', 'DS', 'no64'],
  ['0f a0', 'PUSH', 'FS', 'd64'],
  ['0f a8', 'PUSH', 'GS', 'd64'],
];

const MOVES: readonly RowSource[] = [
  ['63', 'MOVSXD', 'Gv Ez', 'only64'],
  ['84', 'TEST', 'Eb Gb', 'undef:a'],
  ['85', 'TEST', 'Ev Gv', 'undef:a'],
  ['86', 'XCHG', 'Eb Gb', 'lock'],
  ['87', 'XCHG', 'Ev Gv', 'lock'],
  ['88', 'MOV', 'Eb Gb'],
  ['89', 'MOV', 'Ev Gv'],
  ['8a', 'MOV', 'Gb Eb'],
  ['8b', 'MOV', 'Gv Ev'],
  ['8c', 'MOV', 'Ev Sw'],
  ['8d', 'LEA', 'Gv M'],
  ['8f /0', 'POP', 'Ev', 'd64'],
  ['f3 90', 'PAUSE'],
  ...registers((i) => [hex(0x90 + i), 'XCHG', 'Zv rAX']),
  ['98', 'CBW'],
  ['99', 'CWD'],
  ['9e', 'SAHF'],
  ['9f', 'LAHF'],
  ['a0', 'MOV', 'AL Ob'],
  ['a1', 'MOV', 'rAX Ov'],
  ['a2', 'MOV', 'Ob AL'],
  ['a3', 'MOV', 'Ov rAX'],
  ['a8', 'TEST', 'AL Ib', 'undef:a'],
  ['a9', 'TEST', 'rAX Iz', 'undef:a'],
  ...registers((i) => [hex(0xb0 + i), 'MOV', 'Zb Ib']),
  ...registers((i) => [hex(0xb8 + i), 'MOV', 'Zv Iv']),
  ['c6 /0', 'MOV', 'Eb Ib'],
  ['c7 /0', 'MOV', 'Ev Iz'],
  ['c8', 'ENTER', 'Iw Ib', 'd64'],
  ['c9', 'LEAVE', '', 'd64'],
  ['d7', 'XLAT'],
  ['0f b6', 'MOVZX', 'Gv Eb'],
  ['0f b7', 'MOVZX', 'Gv Ew'],
  ['0f be', 'MOVSX', 'Gv Eb'],
  ['0f bf', 'MOVSX', 'Gv Ew'],
  ...registers((i) => [`0f ${hex(0xc8 + i)}`, 'BSWAP', 'Zv']),
  ['np 0f c3 mem', 'MOVNTI', 'My Gy', 'if:sse2'],
  ['0f c0', 'XADD', 'Eb Gb', 'lock'],
  ['0f c1', 'XADD', 'Ev Gv', 'lock'],
  ['0f b0', 'CMPXCHG', 'Eb Gb', 'lock'],
  ['0f b1', 'CMPXCHG', 'Ev Gv', 'lock'],
  ['0f c7 /1 mem w1', 'CMPXCHG16B', 'M', 'lock only64 if:cx16'],
  ['0f c7 /1 mem', 'CMPXCHG8B', 'M', 'lock if:cx8'],
  ...conditional((c, i) => [`0f ${hex(0x40 + i)}`, `CMOV${c}`, 'Gv Ev', 'if:cmov']),
  ...conditional((c, i) => [`0f ${hex(0x90 + i)}`, `SET${c}`, 'Eb', 'modrm']),
];

const STACK: readonly RowSource[] = [
  ...registers((i) => [hex(0x50 + i), 'PUSH', 'Zv', 'd64']),
  ...registers((i) => [hex(0x58 + i), 'POP', 'Zv', 'd64']),
  ['68', 'PUSH', 'Iz', 'd64'],
  ['6a', 'PUSH', 'Ibs', 'd64'],
  ['ff /6', 'PUSH', 'Ev', 'd64'],
];

const ARITHMETIC_MORE: readonly RowSource[] = [
  ...registers((i) => [hex(0x40 + i), 'INC', 'Zv', 'no64']),
  ...registers((i) => [hex(0x48 + i), 'DEC', 'Zv', 'no64']),
  ['fe /0', 'INC', 'Eb', 'lock'],
  ['fe /1', 'DEC', 'Eb', 'lock'],
  ['ff /0', 'INC', 'Ev', 'lock'],
  ['ff /1', 'DEC', 'Ev', 'lock'],
  ['69', 'IMUL', 'Gv Ev Iz', 'undef:szap'],
  ['6b', 'IMUL', 'Gv Ev Ibs', 'undef:szap'],
  ['0f af', 'IMUL', 'Gv Ev', 'undef:szap'],
  ['f6 /0', 'TEST', 'Eb Ib', 'undef:a'],
  ['f6 /1', 'TEST', 'Eb Ib', 'undef:a'],
  ['f6 /2', 'NOT', 'Eb', 'lock'],
  ['f6 /3', 'NEG', 'Eb', 'lock'],
  ['f6 /4', 'MUL', 'Eb', 'undef:szap'],
  ['f6 /5', 'IMUL', 'Eb', 'undef:szap'],
  ['f6 /6', 'DIV', 'Eb', 'undef:cpazso'],
  ['f6 /7', 'IDIV', 'Eb', 'undef:cpazso'],
  ['f7 /0', 'TEST', 'Ev Iz', 'undef:a'],
  ['f7 /1', 'TEST', 'Ev Iz', 'undef:a'],
  ['f7 /2', 'NOT', 'Ev', 'lock'],
  ['f7 /3', 'NEG', 'Ev', 'lock'],
  ['f7 /4', 'MUL', 'Ev', 'undef:szap'],
  ['f7 /5', 'IMUL', 'Ev', 'undef:szap'],
  ['f7 /6', 'DIV', 'Ev', 'undef:cpazso'],
  ['f7 /7', 'IDIV', 'Ev', 'undef:cpazso'],
  ['f5', 'CMC'],
  ['f8', 'CLC'],
  ['f9', 'STC'],
  ['fc', 'CLD'],
  ['fd', 'STD'],
];

const BITS: readonly RowSource[] = [
  ['0f a3', 'BT', 'Ev Gv', 'undef:osap'],
  ['0f ab', 'BTS', 'Ev Gv', 'undef:osap lock'],
  ['0f b3', 'BTR', 'Ev Gv', 'undef:osap lock'],
  ['0f bb', 'BTC', 'Ev Gv', 'undef:osap lock'],
  ['0f ba /4', 'BT', 'Ev Ib', 'undef:osap'],
  ['0f ba /5', 'BTS', 'Ev Ib', 'undef:osap lock'],
  ['0f ba /6', 'BTR', 'Ev Ib', 'undef:osap lock'],
  ['0f ba /7', 'BTC', 'Ev Ib', 'undef:osap lock'],
  ['0f a4', 'SHLD', 'Ev Gv Ib', 'undef:ao'],
  ['0f a5', 'SHLD', 'Ev Gv CL', 'undef:ao'],
  ['0f ac', 'SHRD', 'Ev Gv Ib', 'undef:ao'],
  ['0f ad', 'SHRD', 'Ev Gv CL', 'undef:ao'],
  ['f3 0f b8', 'POPCNT', 'Gv Ev', 'if:popcnt'],
  ['f3 0f bc', 'TZCNT', 'Gv Ev', 'if:bmi1 undef:osap'],
  ['0f bc', 'BSF', 'Gv Ev', 'undef:cosap'],
  ['f3 0f bd', 'LZCNT', 'Gv Ev', 'if:lzcnt undef:osap'],
  ['0f bd', 'BSR', 'Gv Ev', 'undef:cosap'],
  ['f2 0f 38 f0', 'CRC32', 'Gy Eb', 'if:sse42'],
  ['f2 0f 38 f1', 'CRC32', 'Gy Ev', 'if:sse42'],
  ['0f 38 f0 mem', 'MOVBE', 'Gv Mv', 'if:movbe'],
  ['0f 38 f1 mem', 'MOVBE', 'Mv Gv', 'if:movbe'],
  ['66 0f 38 f6', 'ADCX', 'Gy Ey', 'if:adx'],
  ['f3 0f 38 f6', 'ADOX', 'Gy Ey', 'if:adx'],
  ['vex np 0f 38 f2', 'ANDN', 'Gy By Ey', 'if:bmi1 undef:ap'],
  ['vex np 0f 38 f3 /1', 'BLSR', 'By Ey', 'if:bmi1 undef:ap'],
  ['vex np 0f 38 f3 /2', 'BLSMSK', 'By Ey', 'if:bmi1 undef:ap'],
  ['vex np 0f 38 f3 /3', 'BLSI', 'By Ey', 'if:bmi1 undef:ap'],
  ['vex np 0f 38 f5', 'BZHI', 'Gy Ey By', 'if:bmi2 undef:ap'],
  ['vex np 0f 38 f7', 'BEXTR', 'Gy Ey By', 'if:bmi1 undef:aps'],
  ['vex f3 0f 38 f5', 'PEXT', 'Gy By Ey', 'if:bmi2'],
  ['vex f2 0f 38 f5', 'PDEP', 'Gy By Ey', 'if:bmi2'],
  ['vex f2 0f 38 f6', 'MULX', 'Gy By Ey', 'if:bmi2'],
  ['vex f3 0f 38 f7', 'SARX', 'Gy Ey By', 'if:bmi2'],
  ['vex 66 0f 38 f7', 'SHLX', 'Gy Ey By', 'if:bmi2'],
  ['vex f2 0f 38 f7', 'SHRX', 'Gy Ey By', 'if:bmi2'],
  ['vex f2 0f 3a f0', 'RORX', 'Gy Ey Ib', 'if:bmi2'],
];

const STRINGS: readonly RowSource[] = [
  ['a4', 'MOVS', 'Yb Xb', 'rep'],
  ['a5', 'MOVS', 'Yv Xv', 'rep'],
  ['a6', 'CMPS', 'Xb Yb', 'repz'],
  ['a7', 'CMPS', 'Xv Yv', 'repz'],
  ['aa', 'STOS', 'Yb AL', 'rep'],
  ['ab', 'STOS', 'Yv rAX', 'rep'],
  ['ac', 'LODS', 'AL Xb', 'rep'],
  ['ad', 'LODS', 'rAX Xv', 'rep'],
  ['ae', 'SCAS', 'AL Yb', 'repz'],
  ['af', 'SCAS', 'rAX Yv', 'repz'],
];

const BRANCHES: readonly RowSource[] = [
  ...conditional((c, i) => [hex(0x70 + i), `J${c}`, 'Jb', 'class:branch f64']),
  ...conditional((c, i) => [`0f ${hex(0x80 + i)}`, `J${c}`, 'Jz', 'class:branch f64']),
  ['e0', 'LOOPNZ', 'Jb', 'class:branch f64'],
  ['e1', 'LOOPZ', 'Jb', 'class:branch f64'],
  ['e2', 'LOOP', 'Jb', 'class:branch f64'],
  ['e3', 'JCXZ', 'Jb', 'class:branch f64'],
  ['e8', 'CALL', 'Jz', 'class:branch f64 ends'],
  ['e9', 'JMP', 'Jz', 'class:branch f64 ends'],
  ['eb', 'JMP', 'Jb', 'class:branch f64 ends'],
  ['c2', 'RET', 'Iw', 'class:branch f64 ends'],
  ['c3', 'RET', '', 'class:branch f64 ends'],
  ['ff /2', 'CALL', 'Ev', 'class:branch f64 ends'],
  ['ff /4', 'JMP', 'Ev', 'class:branch f64 ends'],
];

const NOTHING: readonly RowSource[] = [
  ['f3 0f 1e rm2 /7', 'ENDBR64', 'Ev'],
  ['f3 0f 1e rm3 /7', 'ENDBR32', 'Ev'],
  ['0f 0d', 'PREFETCHW', 'Ev'],
  ['0f 18', 'PREFETCH', 'Ev'],
  ...[0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f].map((i): RowSource => [`0f ${hex(i)}`, 'NOP', 'Ev']),
  ['np 0f ae /5 reg', 'LFENCE', '', 'if:sse2'],
  ['np 0f ae /6 reg', 'MFENCE', '', 'if:sse2'],
  ['np 0f ae /7 reg', 'SFENCE', '', 'if:sse'],
  ['np 0f ae /7 mem', 'CLFLUSH', 'Mb', 'if:clflush'],
  ['66 0f ae /7 mem', 'CLFLUSHOPT', 'Mb', 'if:clflushopt'],
  ['66 0f ae /6 mem', 'CLWB', 'Mb', 'if:clwb'],
  ['0f ff', 'UD0', 'Gv Ev', 'class:undefined'],
  ['0f b9', 'UD1', 'Gv Ev', 'class:undefined'],
  ['0f 0b', 'UD2', '', 'class:undefined'],
];

export const INTEGER_ROWS: readonly RowSource[] = [
  ...arithmeticRows(),
  ...shiftRows(),
  ...LEGACY,
  ...MOVES,
  ...STACK,
  ...ARITHMETIC_MORE,
  ...BITS,
  ...STRINGS,
  ...BRANCHES,
  ...NOTHING,
];
