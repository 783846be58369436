// Writes core/cpu/assembly/generated/ from the opcode table: the decode tables and the interpreter loop.
// The loop's cases are specialised by size and operand form here, so that they need not be written by hand.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';
import { familyCases } from './generate-cases.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const tables = ['opcodes-row', 'opcodes-integer', 'opcodes-system', 'opcodes-sse', 'opcodes-x87', 'opcodes'];

/** The opcode table is TypeScript; Node 20 cannot import that, so it goes through the compiler first. */
async function loadOpcodes(folder) {
  for (const name of tables) {
    const source = readFileSync(join(here, `${name}.ts`), 'utf8').replaceAll(
      /(from '\.\/[a-z0-9-]+)\.ts'/g,
      "$1.mjs'",
    );
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: {
        module: ts.ModuleKind.ESNext,
        target: ts.ScriptTarget.ES2023,
        verbatimModuleSyntax: true,
      },
    });
    writeFileSync(join(folder, `${name}.mjs`), outputText);
  }
  return import(pathToFileURL(join(folder, 'opcodes.mjs')).href);
}

// Operand kinds of decode.ts, by the letters of the SDM code.
const OPERANDS = {
  NONE: 0,
  EB: 1,
  E: 2,
  GB: 3,
  G: 4,
  ZB: 5,
  Z: 6,
  ACC: 7,
  CL: 8,
  DX: 9,
  ONE: 10,
  IB: 11,
  IZ: 12,
  IV: 13,
  IW: 14,
  JB: 15,
  JZ: 16,
  O: 17,
  M: 18,
  R: 19,
  B: 20,
  AP: 21,
  XMEM: 22,
  XREG: 23,
};

function operandKind(code) {
  if (code === undefined) return OPERANDS.NONE;
  const exact = {
    Eb: 'EB',
    Gb: 'GB',
    Zb: 'ZB',
    AL: 'ACC',
    rAX: 'ACC',
    eAX: 'ACC',
    CL: 'CL',
    DX: 'DX',
    1: 'ONE',
    Ib: 'IB',
    Ibs: 'IB',
    Iz: 'IZ',
    Iv: 'IV',
    Iw: 'IW',
    Jb: 'JB',
    Jz: 'JZ',
    Ap: 'AP',
  }[code];
  if (exact) return OPERANDS[exact];
  const letter = {
    E: 'E',
    G: 'G',
    Z: 'Z',
    O: 'O',
    M: 'M',
    R: 'R',
    B: 'B',
    W: 'XMEM',
    Q: 'XMEM',
    U: 'XREG',
    N: 'XREG',
  }[code[0]];
  return letter && !/^[ECSDFG]S$/.test(code) ? OPERANDS[letter] : OPERANDS.NONE;
}

/** Which operand size a row has: 0 byte, 1 by prefix (v), 2 word, 3 dword, 4 qword in 64-bit mode, 5 y, 6 z. */
function sizeKind(row) {
  const quiet = /^(J[bz]|I[a-z]+|DX|CL|1|M|Mp|Ap|[ECSDFG]S)$/;
  const code = row.operands.find((operand) => !quiet.test(operand));
  if (code === undefined) return 1;
  if (code === 'AL') return 0;
  if (code === 'rAX') return 1;
  if (code === 'eAX') return 6;
  return { b: 0, v: 1, w: 2, d: 3, q: 4, y: 5, z: 6 }[code[1]] ?? 1;
}

const row16 = (numbers) => numbers.map((n) => `0x${n.toString(16)}`).join(', ');
const dataU16 = (name, values) =>
  `export const ${name}: usize = memory.data<u16>([\n  ${row16(values).replaceAll(/((?:[^,]*, ){24})/g, '$1\n  ')}\n]);\n`;
const dataU8 = (name, values) =>
  `export const ${name}: usize = memory.data<u8>([\n  ${row16(values).replaceAll(/((?:[^,]*, ){24})/g, '$1\n  ')}\n]);\n`;

/** Names of system rows: the mnemonic, with the operands where several rows share it. */
function systemName(row, rows) {
  const shared = rows.filter((other) => other.mnemonic === row.mnemonic).length > 1;
  return `SYS_${[row.mnemonic, ...(shared ? row.operands : [])].join('_').toUpperCase()}`;
}

// What a bare M stands for, in 32-bit mode; environments and states as small as their 16-bit forms.
const IMAGE_BYTES = { FXSAVE: 512, FXRSTOR: 512, FLDENV: 14, FNSTENV: 14, FRSTOR: 94, FNSAVE: 94 };
const LETTER_BYTES = { b: 1, w: 2, d: 4, y: 4, q: 8, t: 10, x: 16 };

/** Bytes of the memory operand of an fp row, for the segment limit; 1 when it has none. */
function memoryBytes(row) {
  const operand = row.operands.map((o) => o.split('/').at(-1)).find((o) => /^[EMQW]/.test(o));
  return operand === 'M' ? IMAGE_BYTES[row.mnemonic] : (LETTER_BYTES[operand?.at(-1)] ?? 1);
}

export async function generate() {
  const folder = join(here, 'build/tables');
  const output = join(here, 'assembly/generated');
  mkdirSync(folder, { recursive: true });
  mkdirSync(output, { recursive: true });
  const { OPCODES, FEATURES } = await loadOpcodes(folder);

  const system = OPCODES.filter((row) => row.class === 'system');
  const fp = OPCODES.filter((row) => row.class === 'fp');
  const { cases, ids, hot, hotRows, generic, quiet, flagEffects, fusedRow, fused } = familyCases();
  const SYSTEM_BASE = ids.size;
  const FP_BASE = SYSTEM_BASE + system.length;
  const handlerOf = (row) => {
    if (row.class === 'system') return SYSTEM_BASE + system.indexOf(row);
    if (row.class === 'fp') return FP_BASE + fp.indexOf(row);
    return ids.get(row.class === 'undefined' ? 'UNDEFINED' : generic(row));
  };

  // Rows sorted by (map, opcode), order inside kept; one 16-byte descriptor each.
  const sorted = [...OPCODES].sort((a, b) => a.map - b.map || a.opcode - b.opcode || a.index - b.index);
  const first = new Array(1024).fill(0);
  const count = new Array(1024).fill(0);
  const rows = [];
  const bit = (value, at) => (value ? 1 : 0) << at;
  for (const [position, row] of sorted.entries()) {
    const key = row.map * 256 + row.opcode;
    if (count[key]++ === 0) first[key] = position;
    const handler = handlerOf(row);
    if (handler === undefined) throw new Error(`no handler for ${row.code} ${row.mnemonic}`);
    const prefix = ['any', 'np', '66', 'f3', 'f2'].indexOf(row.prefix);
    const rexW = row.rexW === undefined ? 0 : row.rexW + 1;
    const form = row.form === undefined ? 0 : row.form === 'reg' ? 1 : 2;
    rows.push(
      prefix | bit(row.vex, 3) | (rexW << 4) | (form << 6),
      (row.reg ?? 15) | ((row.rm ?? 15) << 4),
      bit(row.hasModrm, 0) |
        bit(row.lockable, 1) |
        bit(row.modes === 'no64', 2) |
        bit(row.modes === 'only64', 3) |
        bit(row.size64 === 'd64', 4) |
        bit(row.size64 === 'f64', 5) |
        bit(row.endsBlock, 6),
      row.feature === undefined ? 255 : FEATURES.indexOf(row.feature),
      operandKind(row.operands[0]),
      operandKind(row.operands[1]),
      operandKind(row.operands[2]),
      sizeKind(row),
      handler & 255,
      handler >> 8,
      ...(([h]) => [h & 255, h >> 8])([hotRows(row)]),
      row.index & 255,
      row.index >> 8,
      ['integer', 'branch', 'system', 'fp', 'undefined'].indexOf(row.class),
      0,
    );
  }
  for (const key of first.keys()) {
    const group = sorted.slice(first[key], first[key] + count[key]).filter((row) => !row.vex);
    if (group.some((row) => row.hasModrm !== group[0].hasModrm))
      throw new Error(`rows of ${group[0].code} disagree on ModRM`);
  }
  const hasModrm = first.map((at, key) => (count[key] > 0 && sorted[at].hasModrm ? 1 : 0));

  const banner = '// Written by core/cpu/generate.mjs from the opcode table. Do not edit.\n';
  writeFileSync(
    join(output, 'tables.ts'),
    banner +
      Object.entries(OPERANDS)
        .map(([name, value]) => `export const OPERAND_${name}: u32 = ${value};\n`)
        .join('') +
      [...ids].map(([name, value]) => `export const H_${name}: u32 = ${value};\n`).join('') +
      `export const SYSTEM_BASE: u32 = ${SYSTEM_BASE};\nexport const FP_BASE: u32 = ${FP_BASE};\n` +
      dataU16('FIRST_ROW', first) +
      dataU8('ROW_COUNT', count) +
      dataU8('HAS_MODRM', hasModrm) +
      dataU8('ROWS', rows) +
      dataU16('HOT', hot()) +
      dataU16('QUIET', quiet()) +
      dataU8('FLAG_EFFECTS', flagEffects()) +
      dataU8('FUSED_ROW', fusedRow()) +
      dataU16('FUSED', fused()) +
      dataU16('FP_BYTES', fp.map(memoryBytes)),
  );
  writeFileSync(
    join(output, 'system-ids.ts'),
    banner +
      system
        .map((row, i) => `/** ${row.code} */\nexport const ${systemName(row, system)}: i32 = ${i};\n`)
        .join(''),
  );
  const template = readFileSync(join(here, 'assembly/loop.template.ts'), 'utf8');
  writeFileSync(join(output, 'loop.ts'), banner + template.replace('/* CASES */', cases()));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await generate();
