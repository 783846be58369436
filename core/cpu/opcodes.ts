// The opcode table: every instruction encoding that the CPU knows, as data. The decoder (generate.mjs), the oracle's
// generator and the coverage report read it. What an instruction does stands in assembly/.
import { INTEGER_ROWS } from './opcodes-integer.ts';
import type { RowSource } from './opcodes-row.ts';
import { SSE_ROWS } from './opcodes-sse.ts';
import { SYSTEM_ROWS } from './opcodes-system.ts';
import { X87_ROWS } from './opcodes-x87.ts';

/** RFLAGS bits of the six arithmetic flags (SDM vol 1, 3.4.3). */
export const CF = 0x001;
export const PF = 0x004;
export const AF = 0x010;
export const ZF = 0x040;
export const SF = 0x080;
export const OF = 0x800;
const FLAG_BITS: Readonly<Record<string, number>> = { c: CF, p: PF, a: AF, z: ZF, s: SF, o: OF };

/** Mandatory prefix: `any` = 66 is the operand size and F2/F3 mean nothing or REP; `np` = none of 66, F2, F3. */
export type MandatoryPrefix = 'any' | 'np' | '66' | 'f3' | 'f2';

/**
 * Who carries it out: `integer` and `branch` the loop's own families, `system` systemOp (system.ts), `fp` fpOp (fp.ts),
 * `undefined` raises #UD by definition.
 */
export type RowClass = 'integer' | 'branch' | 'system' | 'fp' | 'undefined';

export interface OpcodeRow {
  /** Position in `OPCODES`; changes when rows are added. */
  readonly index: number;
  /** The row as written: `'0f ba /4'`. Unique together with mnemonic and operands. */
  readonly code: string;
  /** 0 one byte, 1 0F, 2 0F38, 3 0F3A. */
  readonly map: 0 | 1 | 2 | 3;
  readonly opcode: number;
  readonly prefix: MandatoryPrefix;
  /** VEX-encoded (vector length 0); `vexW` 0 or 1 when W selects the row. */
  readonly vex: boolean;
  readonly rexW: 0 | 1 | undefined;
  /** ModRM.reg, ModRM.rm and form that select the row; undefined = all. `rm` only with `form` 'reg'. */
  readonly reg: number | undefined;
  readonly rm: number | undefined;
  readonly form: 'reg' | 'mem' | undefined;
  /** SDM mnemonic, upper case. */
  readonly mnemonic: string;
  /** SDM vol 2D A.2 codes (Eb, Gv, Iz...), plus fixed registers (AL, rAX, CL, DX, 1) and Zb/Zv = register in the opcode. */
  readonly operands: readonly string[];
  readonly class: RowClass;
  readonly hasModrm: boolean;
  readonly lockable: boolean;
  /** F2/F3 repeat: 'rep' (count only) or 'repz' (count and ZF). */
  readonly repeat: 'rep' | 'repz' | undefined;
  readonly modes: 'all' | 'no64' | 'only64';
  /** Operand size in 64-bit mode: 'd64' defaults to 64 (66 gives 16), 'f64' is always 64. */
  readonly size64: 'd64' | 'f64' | undefined;
  /** Name in features.ts; undefined = baseline. */
  readonly feature: string | undefined;
  /** Flags left undefined by the SDM (mask of RFLAGS bits). */
  readonly undefinedFlags: number;
  /** No record after it in a predecoded run: it jumps always or may change mode, privilege or translation. */
  readonly endsBlock: boolean;
}

const NO_MODRM = /^(?:[IJOXYAZ][a-z]+|AL|rAX|eAX|CL|DX|1|3|[ECSDFG]S)$/;

function parseRow(source: RowSource, index: number): OpcodeRow {
  const [code, mnemonic, operandText = '', options = ''] = source;
  const words = code.split(' ');
  const row = {
    map: 0 as 0 | 1 | 2 | 3,
    prefix: 'any' as MandatoryPrefix,
    vex: false,
    rexW: undefined as 0 | 1 | undefined,
    reg: undefined as number | undefined,
    rm: undefined as number | undefined,
    form: undefined as 'reg' | 'mem' | undefined,
    opcode: -1,
  };
  for (const [at, word] of words.entries()) {
    const next = words[at + 1] ?? '';
    const more = row.opcode < 0 && /^[0-9a-f]{2}$/.test(next);
    if (more && row.map === 0 && (word === 'np' || word === '66' || word === 'f3' || word === 'f2'))
      row.prefix = word;
    else if (word === 'vex') row.vex = true;
    else if (word === 'w0' || word === 'w1') row.rexW = word === 'w0' ? 0 : 1;
    else if (more && word === '0f' && row.map === 0) row.map = 1;
    else if (more && row.map === 1 && (word === '38' || word === '3a')) row.map = word === '38' ? 2 : 3;
    else if (/^[0-9a-f]{2}$/.test(word)) row.opcode = Number.parseInt(word, 16);
    else if (/^\/[0-7]$/.test(word)) row.reg = Number(word[1]);
    else if (word === 'mem') row.form = 'mem';
    else if (word === 'reg') row.form = 'reg';
    else if (/^rm[0-7]$/.test(word)) {
      row.form = 'reg';
      row.rm = Number(word[2]);
    } else throw new Error(`opcode table: "${word}" in "${code}"`);
  }
  const operands = operandText === '' ? [] : operandText.split(' ');
  const set = new Map<string, string>();
  for (const option of options.split(' ')) {
    const [name = '', value = ''] = option.split(':');
    set.set(name, value);
  }
  const flags = set.get('undef') ?? '';
  const rowClass = (set.get('class') ?? 'integer') as RowClass; // the sources below are typed by hand and tested
  return {
    index,
    code,
    mnemonic,
    operands,
    ...row,
    class: rowClass,
    hasModrm:
      row.reg !== undefined ||
      row.form !== undefined ||
      set.has('modrm') ||
      operands.some((o) => !NO_MODRM.test(o)),
    lockable: set.has('lock'),
    repeat: set.has('rep') ? 'rep' : set.has('repz') ? 'repz' : undefined,
    modes: set.has('no64') ? 'no64' : set.has('only64') ? 'only64' : 'all',
    size64: set.has('d64') ? 'd64' : set.has('f64') ? 'f64' : undefined,
    feature: set.get('if'),
    undefinedFlags: [...flags].reduce((mask, letter) => mask | (FLAG_BITS[letter] ?? 0), 0),
    endsBlock: set.has('ends') || rowClass === 'system' || rowClass === 'undefined',
  };
}

/** All rows. The first row that matches an encoding is the one meant: special rows stand before general ones. */
export const OPCODES: readonly OpcodeRow[] = [...INTEGER_ROWS, ...SYSTEM_ROWS, ...SSE_ROWS, ...X87_ROWS].map(
  parseRow,
);

/** Features that rows ask for, in the bit order of FEATURES_OFF (layout.ts). */
export const FEATURES: readonly string[] = [...new Set(OPCODES.flatMap((row) => row.feature ?? []))].sort();
