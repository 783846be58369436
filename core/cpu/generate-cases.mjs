// The cases of the interpreter loop: hot ones, specialised by size and operand form, and one for each generic function.

const MEMORY_TYPE = ['i8', 'i16', 'i32', 'i64'];
const BYTES = [1, 2, 4, 8];
const CONDITIONS = ['O', 'NO', 'B', 'AE', 'Z', 'NZ', 'BE', 'A', 'S', 'NS', 'P', 'NP', 'L', 'GE', 'LE', 'G'];
const CONDITION_CALLS = [
  'isOverflow()',
  '!isOverflow()',
  'isBelow()',
  '!isBelow()',
  'isZero()',
  '!isZero()',
  'isBelowOrEqual()',
  '!isBelowOrEqual()',
  'isSign()',
  '!isSign()',
  'isParity()',
  '!isParity()',
  'isLess()',
  '!isLess()',
  'isLessOrEqual()',
  '!isLessOrEqual()',
];

// Operand forms, in the order of decode.ts: D = base + displacement, X = with index and segment base.
const FORMS = ['RR', 'RI', 'RMX', 'RMD', 'MRX', 'MRD', 'MIX', 'MID'];

const NEXT = 'rec += 32; continue;';
const register = (size, field) => `load<${MEMORY_TYPE[size]}>(load<u16>(rec, ${field}))`;
const signExtend = (size, value) => (size === 3 ? value : `<i64><${MEMORY_TYPE[size]}>(${value})`);
const setRegister = (size, field, value) =>
  size === 2
    ? `store<u64>(load<u16>(rec, ${field}), <u64><u32>(${value}));`
    : `store<${MEMORY_TYPE[size]}>(load<u16>(rec, ${field}), <${MEMORY_TYPE[size]}>(${value}));`;

const offsetOf = (form) =>
  form.endsWith('D')
    ? 'load<u64>(load<u16>(rec, R_BASE)) + <u64><i64>load<i32>(rec, R_DISP)'
    : 'load<u64>(load<u16>(rec, R_BASE)) + (load<u64>(load<u16>(rec, R_INDEX)) << load<u8>(rec, R_SCALE)) + <u64><i64>load<i32>(rec, R_DISP)';
const addressOf = (form) =>
  offsetOf(form) + (form.endsWith('X') ? ' + load<u64>(load<u16>(rec, R_SEGBASE))' : '');
const hit = (size, tag) =>
  size === 0
    ? `load<u64>(entry, ${tag}) == (address & ~0xfff)`
    : `load<u64>(entry, ${tag}) == ((address + ${BYTES[size] - 1}) & ~0xfff)`;
const HOST = '<u32>address + load<u32>(entry, TLB_ADDEND)';
const FAULT = 'if (faultPending) { rec = leave(rec); continue; }';
const LEAVE = 'if (mustLeave()) { rec = leave(rec); continue; }';

/** `const <name>: i64` = the sign-extended memory operand. */
const readMemory = (size, name, type = MEMORY_TYPE[size]) => {
  const slow = `readSlow(address, ${BYTES[size]})`;
  const value = type === 'i64' ? `<i64>${slow}` : `<i64><${type}>${slow}`;
  return `const entry = tlbEntry(address); let ${name}: i64;
      if (${hit(size, 'TAG_READ')}) ${name} = load<${type}>(${HOST});
      else { ${name} = ${value}; ${FAULT} }`;
};
const writeMemory = (size, value, after = LEAVE) => `const entry = tlbEntry(address);
      if (${hit(size, 'TAG_WRITE')}) store<${MEMORY_TYPE[size]}>(${HOST}, <${MEMORY_TYPE[size]}>(${value}));
      else { writeSlow(address, <u64>(${value}), ${BYTES[size]}); ${after} }`;

const flags = (kind, r, a, b) =>
  `store<u32>(LAZY_KIND, ${kind}); store<i64>(LAZY_RESULT, ${r});` +
  (a ? ` store<i64>(LAZY_A, ${a});` : '') +
  (b ? ` store<i64>(LAZY_B, ${b});` : '');

const ARITHMETIC = {
  ADD: { compute: 'a + b', kind: 'LAZY_ADD' },
  OR: { compute: 'a | b', kind: 'LAZY_LOGIC' },
  ADC: { compute: 'a + b + <i64>isBelow()', kind: 'LAZY_ADC' },
  SBB: { compute: 'a - b - <i64>isBelow()', kind: 'LAZY_SBB' },
  AND: { compute: 'a & b', kind: 'LAZY_LOGIC' },
  SUB: { compute: 'a - b', kind: 'LAZY_SUB' },
  XOR: { compute: 'a ^ b', kind: 'LAZY_LOGIC' },
  CMP: { compute: 'a - b', kind: 'LAZY_SUB', discard: true },
  TEST: { compute: 'a & b', kind: 'LAZY_LOGIC', discard: true },
};

function arithmeticCase(name, form, size) {
  const { compute, kind, discard } = ARITHMETIC[name];
  const needsOperands = kind !== 'LAZY_LOGIC';
  const result = `const r: i64 = ${needsOperands ? signExtend(size, compute) : compute};`;
  const setFlags = flags(kind, 'r', needsOperands && 'a', needsOperands && 'b');
  const source = {
    R: `const b: i64 = ${register(size, 'R_REG2')};`,
    I: `const b: i64 = load<i32>(rec, R_IMM);`,
  };
  const first = `const a: i64 = ${register(size, 'R_REG1')};`;
  if (form === 'RR' || form === 'RI') {
    const second = form === 'RR' ? source.R : 'const b: i64 = load<i64>(rec, R_IMM);';
    return `${first} ${second} ${result} ${discard ? '' : setRegister(size, 'R_REG1', 'r')} ${setFlags} ${NEXT}`;
  }
  const address = `const address: u64 = ${addressOf(form)};`;
  if (form.startsWith('RM'))
    return `${address} ${readMemory(size, 'b')} ${first} ${result} ${discard ? '' : setRegister(size, 'R_REG1', 'r')} ${setFlags} ${NEXT}`;
  const second = source[form[1]];
  if (discard) return `${address} ${readMemory(size, 'a')} ${second} ${result} ${setFlags} ${NEXT}`;
  const type = MEMORY_TYPE[size];
  return `${address} const entry = tlbEntry(address);
      if (${hit(size, 'TAG_WRITE')}) {
        const host: usize = ${HOST};
        const a: i64 = load<${type}>(host); ${second} ${result} store<${type}>(host, <${type}>r); ${setFlags} ${NEXT}
      }
      const a: i64 = ${signExtend(size, `<i64>readForWriteSlow(address, ${BYTES[size]})`)}; ${FAULT}
      ${second} ${result} ${setFlags}
      writeSlow(address, <u64>r, ${BYTES[size]}); break;`;
}

function movCase(form, size) {
  if (form === 'RR')
    return `const v: i64 = ${register(size, 'R_REG2')}; ${setRegister(size, 'R_REG1', 'v')} ${NEXT}`;
  if (form === 'RI') return `${setRegister(size, 'R_REG1', 'load<i64>(rec, R_IMM)')} ${NEXT}`;
  const address = `const address: u64 = ${addressOf(form)};`;
  if (form.startsWith('RM'))
    return `${address} ${readMemory(size, 'v')} ${setRegister(size, 'R_REG1', 'v')} ${NEXT}`;
  const value = form.startsWith('MR') ? register(size, 'R_REG2') : 'load<i32>(rec, R_IMM)';
  return `${address} const v: i64 = ${value}; ${writeMemory(size, 'v')} ${NEXT}`;
}

function extendCase(form, size, from) {
  const bytes = from.endsWith('8') ? 0 : from.endsWith('16') ? 1 : 2;
  if (form === 'RR')
    return `const v: i64 = load<${from}>(load<u16>(rec, R_REG2)); ${setRegister(size, 'R_REG1', 'v')} ${NEXT}`;
  return `const address: u64 = ${addressOf(form)}; ${readMemory(bytes, 'v', from)} ${setRegister(size, 'R_REG1', 'v')} ${NEXT}`;
}

/** Shift of a register by an immediate (RI) or CL (RR); SDM vol 2B, SAL/SAR/SHL/SHR. */
function shiftCase(name, form, size) {
  const bits = 8 * BYTES[size];
  const count = `const n: i64 = ${form === 'RI' ? 'load<u8>(rec, R_IMM)' : 'load<u8>(RCX)'} & ${size === 3 ? 63 : 31};`;
  const zero =
    form === 'RI' && size === 3
      ? `if (!n) { ${NEXT} }`
      : `if (!n) { ${setRegister(size, 'R_REG1', 'a')} ${NEXT} }`;
  const unsigned = `<i64>load<${MEMORY_TYPE[size].replace('i', 'u')}>(load<u16>(rec, R_REG1))`;
  const body = {
    SHL: `const a: i64 = ${register(size, 'R_REG1')}; ${zero} const p: i64 = ${signExtend(size, 'a << (n - 1)')}; const r: i64 = ${signExtend(size, 'p << 1')};`,
    SHR: `const a: i64 = ${unsigned}; ${zero} const q: i64 = <i64>(<u64>a >> (n - 1)); const p: i64 = ${signExtend(size, 'q')}; const r: i64 = ${signExtend(size, '<i64>(<u64>q >> 1)')};`,
    SAR: `const a: i64 = ${register(size, 'R_REG1')}; ${zero} const p: i64 = a >> (n - 1); const r: i64 = p >> 1;`,
  }[name];
  return `${count} ${body} ${setRegister(size, 'R_REG1', 'r')} ${flags(`LAZY_${name}`, 'r', 'p')} /* ${bits} */ ${NEXT}`;
}

function imulCase(form, size) {
  const a = `const a: i64 = ${register(size, 'R_REG1')};`;
  const finish =
    size === 3
      ? `const r: i64 = a * b; ${setRegister(3, 'R_REG1', 'r')} ${flags('LAZY_IMUL64', 'r', 'a', 'b')} ${NEXT}`
      : `const p: i64 = a * b; const r: i64 = <i64><i32>p; ${setRegister(2, 'R_REG1', 'p')} ${flags('LAZY_MUL', 'r', 'p ^ r')} ${NEXT}`;
  if (form === 'RR') return `${a} const b: i64 = ${register(size, 'R_REG2')}; ${finish}`;
  return `const address: u64 = ${addressOf(form)}; ${readMemory(size, 'b')} ${a} ${finish}`;
}

/** budgetLeft counts from the first record of the target's run: what lies before the target is not executed. */
const CHAIN = `rec = load<u32>(rec, R_TARGET); if (budgetLeft <= <i32>load<u16>(rec, R_ORDINAL) || eventsPending) rec = border(rec); continue;`;
const COST = 'chargeBudget(load<i16>(rec, R_COST));';
/** A push moves rsp also when it changed decoded code: what follows looks at codeChanged. */
const PUSH_64 = (value) => `const address: u64 = load<u64>(RSP) - 8; const v: i64 = ${value};
      ${writeMemory(3, 'v', FAULT)} store<u64>(RSP, address);`;
const NOTE_CALL = 'if (RECORDING) noteCall(address, <u64>v);';
const RETURN_RIP = '<i64>(load<u64>(RIP_PAGE) + load<u16>(rec, R_OFFSET) + load<u8>(rec, R_LENGTH))';

/** Generic functions `op<Name>(rec)`: mnemonics by family file, see loop.template.ts for the imports. */
const GENERIC = {
  ADD: 'Add',
  OR: 'Or',
  ADC: 'Adc',
  SBB: 'Sbb',
  AND: 'And',
  SUB: 'Sub',
  XOR: 'Xor',
  CMP: 'Cmp',
  TEST: 'Test',
  NOT: 'Not',
  NEG: 'Neg',
  INC: 'Inc',
  DEC: 'Dec',
  ROL: 'Rol',
  ROR: 'Ror',
  RCL: 'Rcl',
  RCR: 'Rcr',
  SHL: 'Shl',
  SHR: 'Shr',
  SAR: 'Sar',
  SHLD: 'Shld',
  SHRD: 'Shrd',
  MUL: 'Mul',
  DIV: 'Div',
  IDIV: 'Idiv',
  DAA: 'Daa',
  DAS: 'Das',
  AAA: 'Aaa',
  AAS: 'Aas',
  AAM: 'Aam',
  AAD: 'Aad',
  SALC: 'Salc',
  PUSHA: 'PushAll',
  POPA: 'PopAll',
  BOUND: 'Bound',
  ARPL: 'Arpl',
  MOVSXD: 'Movsxd',
  XCHG: 'Xchg',
  LEA: 'Lea',
  CBW: 'Cbw',
  CWD: 'Cwd',
  SAHF: 'Sahf',
  LAHF: 'Lahf',
  ENTER: 'Enter',
  LEAVE: 'Leave',
  XLAT: 'Xlat',
  BSWAP: 'Bswap',
  MOVNTI: 'Mov',
  XADD: 'Xadd',
  CMPXCHG: 'Cmpxchg',
  CMPXCHG16B: 'Cmpxchg16b',
  CMPXCHG8B: 'Cmpxchg8b',
  CMC: 'Cmc',
  CLC: 'Clc',
  STC: 'Stc',
  CLD: 'Cld',
  STD: 'Std',
  BT: 'Bt',
  BTS: 'Bts',
  BTR: 'Btr',
  BTC: 'Btc',
  POPCNT: 'Popcnt',
  TZCNT: 'Tzcnt',
  LZCNT: 'Lzcnt',
  BSF: 'Bsf',
  BSR: 'Bsr',
  MOVBE: 'Movbe',
  ADCX: 'Adcx',
  ADOX: 'Adox',
  ANDN: 'Andn',
  BLSR: 'Blsr',
  BLSMSK: 'Blsmsk',
  BLSI: 'Blsi',
  BZHI: 'Bzhi',
  BEXTR: 'Bextr',
  PEXT: 'Pext',
  PDEP: 'Pdep',
  MULX: 'Mulx',
  SARX: 'Sarx',
  SHLX: 'Shlx',
  SHRX: 'Shrx',
  RORX: 'Rorx',
  CLFLUSH: 'Touch',
  CLFLUSHOPT: 'Touch',
  CLWB: 'Touch',
};
const NOTHING = ['NOP', 'PAUSE', 'ENDBR64', 'ENDBR32', 'PREFETCHW', 'PREFETCH', 'LFENCE', 'MFENCE', 'SFENCE'];
const SEGMENT_PUSH = /^[ECSDFG]S$/;

/** Name of the generic handler of an integer or branch row. */
function generic(row) {
  const { mnemonic, operands } = row;
  if (NOTHING.includes(mnemonic)) return 'NOTHING';
  if (row.class === 'branch') {
    if (mnemonic === 'JMP' || mnemonic === 'CALL')
      return operands[0].startsWith('J') ? mnemonic : `${mnemonic}_E`;
    return mnemonic;
  }
  if (mnemonic === 'IMUL') return operands.length === 1 ? 'OP_Imul1' : 'OP_Imul';
  if (mnemonic === 'MOV') {
    if (operands.some((o) => o.startsWith('O')))
      return operands[0].startsWith('O') ? 'OP_MovToOffset' : 'OP_MovFromOffset';
    return operands[1] === 'Sw' ? 'OP_MovFromSegment' : 'OP_Mov';
  }
  if (mnemonic === 'PUSH') return SEGMENT_PUSH.test(operands[0]) ? 'OP_PushSegment' : 'OP_Push';
  if (mnemonic === 'POP') return 'OP_Pop';
  if (mnemonic === 'MOVZX' || mnemonic === 'MOVSX')
    return `OP_${mnemonic === 'MOVZX' ? 'Movzx' : 'Movsx'}${operands[1] === 'Eb' ? '8' : '16'}`;
  if (mnemonic === 'CRC32') return operands[1] === 'Eb' ? 'OP_Crc32Byte' : 'OP_Crc32';
  if (mnemonic.startsWith('CMOV')) return 'OP_Cmov';
  if (mnemonic.startsWith('SET')) return 'OP_Set';
  if (row.repeat) return `STRING_${mnemonic}`;
  const name = GENERIC[mnemonic];
  return name && `OP_${name}`;
}

/** Key of the hot cases of a row, or undefined. */
function hotKey(row) {
  const { mnemonic, operands } = row;
  if (row.class === 'branch' || row.vex || row.class !== 'integer') return undefined;
  if (operands.some((o) => /^(?:O|S|[ECSDFG]S$)/.test(o))) return undefined;
  if (mnemonic === 'MOVZX' || mnemonic === 'MOVSX') return `${mnemonic}_${operands[1]}`;
  if (mnemonic === 'IMUL') return operands.length === 2 ? 'IMUL' : undefined;
  if (mnemonic === 'PUSH' || mnemonic === 'POP' || mnemonic === 'INC' || mnemonic === 'DEC') return mnemonic;
  return mnemonic;
}

// Which handlers are fused with which conditions behind them, by what the profile of a boot shows.
const ALL_CONDITIONS = [...CONDITIONS.keys()];
const BY_RESULT = [4, 5, 8, 9];
const FUSED = [
  ...['CMP_RR_2', 'CMP_RR_3', 'CMP_RI_0', 'CMP_RI_2', 'CMP_RI_3'].map((base) => [base, ALL_CONDITIONS]),
  ...['TEST_RR_0', 'TEST_RR_2', 'TEST_RR_3'].map((base) => [base, ALL_CONDITIONS]),
  ...['ADD_RI_2', 'ADD_RI_3', 'SUB_RI_2', 'SUB_RI_3', 'AND_RI_2', 'DEC_RR_2', 'DEC_RR_3'].map((base) => [
    base,
    BY_RESULT,
  ]),
];
// Conditions by their code, from the operands a, b and the result r of the handler before.
const RESULT = { 4: 'r == 0', 5: 'r != 0', 8: 'r < 0', 9: 'r >= 0' };
const COMPARED = {
  ...RESULT,
  2: '<u64>a < <u64>b',
  3: '<u64>a >= <u64>b',
  6: '<u64>a <= <u64>b',
  7: '<u64>a > <u64>b',
  12: 'a < b',
  13: 'a >= b',
  14: 'a <= b',
  15: 'a > b',
};
const TESTED = {
  ...RESULT,
  2: 'false',
  3: 'true',
  6: 'r == 0',
  7: 'r != 0',
  12: 'r < 0',
  13: 'r >= 0',
  14: 'r <= 0',
  15: 'r > 0',
};

/** See flagEffects below. INC and DEC keep CF, a memory operand can fault. */
function flagEffect(name, quietOf) {
  if (/_RM|^(?:INC|DEC)_\w+_\d$/.test(name)) return name.startsWith('LEA_') ? 2 : 0;
  if (quietOf.has(name) || /^(?:ADD|OR|AND|SUB|XOR|CMP|TEST)_R[RI]_\d$/.test(name)) return 1;
  return /^NOTHING$|_QUIET$|^(?:MOV|MOV[ZS]X_E[bw]|MOVSXD|NOT)_R[RI]_\d$/.test(name) ? 2 : 0;
}

export function familyCases() {
  const ids = new Map();
  const bodies = [];
  const add = (name, body) => {
    if (ids.has(name)) throw new Error(`handler ${name} twice`);
    ids.set(name, ids.size);
    bodies.push(body);
  };
  // key -> { 'form size': handler name }; `long` forms are only right in 64-bit mode.
  const hotCases = new Map();
  const addHot = (key, form, size, body) => {
    const name = `${key}_${form}_${size}`;
    add(name, body);
    if (!hotCases.has(key)) hotCases.set(key, new Map());
    hotCases.get(key).set(`${form} ${size}`, name);
  };

  add('EXIT', 'return;');
  add('GOTO', `${COST} rec = load<u32>(rec, R_TARGET); continue;`);
  add('CONTINUE', 'rec = continueRun(rec); continue;');
  add('CROSSING', 'rec = crossPage(rec); continue;');
  add('STEP_END', 'rec = stepEnd(rec); continue;');
  add('UNDEFINED', 'raiseFault(UD, 0); break;');
  add('TOO_LONG', 'raiseFault(GP, 0); break;');
  add('NOTHING', NEXT);

  const WORDS = [0, 1, 2, 3];
  for (const name of Object.keys(ARITHMETIC))
    for (const form of FORMS) {
      if (name === 'TEST' && form.startsWith('RM')) continue;
      for (const size of name === 'ADC' || name === 'SBB' ? [2, 3] : WORDS)
        addHot(name, form, size, arithmeticCase(name, form, size));
    }
  for (const form of FORMS) for (const size of WORDS) addHot('MOV', form, size, movCase(form, size));
  const extensions = { MOVZX_Eb: 'u8', MOVZX_Ew: 'u16', MOVSX_Eb: 'i8', MOVSX_Ew: 'i16', MOVSXD: 'i32' };
  for (const [key, from] of Object.entries(extensions))
    for (const form of ['RR', 'RMX', 'RMD'])
      for (const size of key === 'MOVSXD' ? [3] : [2, 3])
        addHot(key, form, size, extendCase(form, size, from));
  for (const form of ['RMX', 'RMD'])
    for (const size of [2, 3])
      addHot(
        'LEA',
        form,
        size,
        `const v: u64 = ${offsetOf(form)}; ${setRegister(size, 'R_REG1', 'v')} ${NEXT}`,
      );
  for (const name of ['SHL', 'SHR', 'SAR'])
    for (const form of ['RR', 'RI'])
      for (const size of [2, 3]) addHot(name, form, size, shiftCase(name, form, size));
  for (const form of ['RR', 'RMX', 'RMD'])
    for (const size of [2, 3]) addHot('IMUL', form, size, imulCase(form, size));
  for (const [i, condition] of CONDITIONS.entries()) {
    for (const size of [2, 3])
      addHot(
        `CMOV${condition}`,
        'RR',
        size,
        `const v: i64 = ${CONDITION_CALLS[i]} ? ${register(size, 'R_REG2')} : ${register(size, 'R_REG1')}; ${setRegister(size, 'R_REG1', 'v')} ${NEXT}`,
      );
    addHot(
      `SET${condition}`,
      'RR',
      0,
      `store<u8>(load<u16>(rec, R_REG1), <u8>(${CONDITION_CALLS[i]})); ${NEXT}`,
    );
  }
  for (const size of [2, 3]) {
    const a = `const a: i64 = ${register(size, 'R_REG1')};`;
    const carry = 'store<u32>(LAZY_CARRY, <u32>isBelow());';
    addHot(
      'INC',
      'RR',
      size,
      `${carry} ${a} const r: i64 = ${signExtend(size, 'a + 1')}; ${setRegister(size, 'R_REG1', 'r')} ${flags('LAZY_INC', 'r', 'a')} ${NEXT}`,
    );
    addHot(
      'DEC',
      'RR',
      size,
      `${carry} ${a} const r: i64 = ${signExtend(size, 'a - 1')}; ${setRegister(size, 'R_REG1', 'r')} ${flags('LAZY_DEC', 'r', 'a')} ${NEXT}`,
    );
    addHot('NOT', 'RR', size, `${a} ${setRegister(size, 'R_REG1', '~a')} ${NEXT}`);
    addHot(
      'NEG',
      'RR',
      size,
      `const b: i64 = ${register(size, 'R_REG1')}; const a: i64 = 0; const r: i64 = ${signExtend(size, '-b')}; ${setRegister(size, 'R_REG1', 'r')} ${flags('LAZY_SUB', 'r', 'a', 'b')} ${NEXT}`,
    );
  }
  addHot('PUSH', 'RR', 3, `${PUSH_64(register(3, 'R_REG1'))} if (codeChanged) break; ${NEXT}`);
  addHot('PUSH', 'RI', 3, `${PUSH_64('load<i64>(rec, R_IMM)')} if (codeChanged) break; ${NEXT}`);
  addHot(
    'POP',
    'RR',
    3,
    `const address: u64 = load<u64>(RSP); ${readMemory(3, 'v')} store<u64>(RSP, address + 8); ${setRegister(3, 'R_REG1', 'v')} ${NEXT}`,
  );

  // The same without flags, for where the next instructions overwrite them unseen (code-cache.ts dropDeadFlags).
  const quietOf = new Map();
  const withoutFlags = (body) => body.replaceAll(/store<(?:u32|i64)>\(LAZY_\w+, [^;]*\);/g, '');
  for (const name of ['ADD', 'OR', 'AND', 'SUB', 'XOR', 'SHL', 'SHR', 'SAR', 'IMUL', 'INC', 'DEC', 'NEG'])
    for (const form of ['RR', 'RI', 'RMX', 'RMD'])
      for (const size of [2, 3]) {
        const loud = `${name}_${form}_${size}`;
        // A shift by CL leaves the flags alone when CL is 0.
        if (!ids.has(loud) || (form === 'RR' && /^S[HA]/.test(name))) continue;
        add(`${loud}_QUIET`, withoutFlags(bodies[ids.get(loud)]));
        quietOf.set(loud, `${loud}_QUIET`);
      }

  // A compare and the conditional jump behind it as one record; the jump's own record stays as it is.
  const fusedOf = new Map();
  for (const [base, conditions] of FUSED) {
    const body = bodies[ids.get(base)].replace(NEXT, '');
    const known = /^CMP/.test(base) ? COMPARED : /^TEST/.test(base) ? TESTED : RESULT;
    fusedOf.set(base, new Map());
    for (const i of conditions) {
      const name = `${base}_J${CONDITIONS[i]}`;
      const holds = known[i] ?? CONDITION_CALLS[i];
      add(
        name,
        `${body} rec += 32; if (${holds}) { if (load<u32>(rec, R_TARGET)) { ${COST} ${CHAIN} } rec = branchTo(rec); continue; } ${NEXT}`,
      );
      fusedOf.get(base).set(i, name);
    }
  }

  // Branches. The linked forms jump to a record of the same page.
  for (const [i, condition] of CONDITIONS.entries()) {
    add(`J${condition}`, `if (${CONDITION_CALLS[i]}) { rec = branchTo(rec); continue; } ${NEXT}`);
    add(`J${condition}_LINKED`, `if (${CONDITION_CALLS[i]}) { ${COST} ${CHAIN} } ${NEXT}`);
  }
  for (const name of ['LOOPNZ', 'LOOPZ', 'LOOP', 'JCXZ'])
    add(
      name,
      `if (take${name[0]}${name.slice(1).toLowerCase()}(rec)) { rec = branchTo(rec); continue; } ${NEXT}`,
    );
  add('JMP', 'rec = branchTo(rec); continue;');
  add('JMP_LINKED', `${COST} ${CHAIN}`);
  add('CALL', `rec = callNear(rec); continue;`);
  add('CALL_64', `${PUSH_64(RETURN_RIP)} ${NOTE_CALL} rec = branchTo(rec); continue;`);
  add(
    'CALL_64_LINKED',
    `${PUSH_64(RETURN_RIP)} ${NOTE_CALL} if (codeChanged) { rec = branchTo(rec); continue; } ${COST} ${CHAIN}`,
  );
  add('RET', 'rec = returnNear(rec); continue;');
  add(
    'RET_64',
    `const address: u64 = load<u64>(RSP); ${readMemory(3, 'v')} if (!isCanonical(<u64>v)) { raiseFault(GP, 0); break; } if (RECORDING) noteReturn(address, <u64>v); store<u64>(RSP, address + 8 + load<u64>(rec, R_IMM)); rec = jumpTo(rec, <u64>v); continue;`,
  );
  add('JMP_E', 'rec = jumpIndirect(rec); continue;');
  add('CALL_E', 'rec = callIndirect(rec); continue;');

  for (const name of ['MOVS', 'CMPS', 'STOS', 'LODS', 'SCAS'])
    add(
      `STRING_${name}`,
      `if (op${name[0]}${name.slice(1).toLowerCase()}(rec)) break; rec = stringAgain(rec); continue;`,
    );
  const generics = new Set([
    ...Object.values(GENERIC),
    ...[
      'Imul1',
      'Imul',
      'MovToOffset',
      'MovFromOffset',
      'MovFromSegment',
      'Mov',
      'PushSegment',
      'Push',
      'Pop',
      'Movzx8',
      'Movzx16',
    ],
    ...['Movsx8', 'Movsx16', 'Crc32Byte', 'Crc32', 'Cmov', 'Set'],
  ]);
  for (const name of generics) add(`OP_${name}`, `op${name}(rec); break;`);

  const keys = [...hotCases.keys()];
  return {
    ids,
    generic,
    hotRows: (row) => {
      const key = hotKey(row);
      return key !== undefined && hotCases.has(key) ? keys.indexOf(key) + 1 : 0;
    },
    /** u16 by (hot row - 1) * 32 + form * 4 + size: the handler, 0 = generic only. */
    hot: () =>
      keys.flatMap((key) =>
        FORMS.flatMap((form) => WORDS.map((size) => ids.get(hotCases.get(key).get(`${form} ${size}`)) ?? 0)),
      ),
    /** u16 by handler: the handler that does the same and leaves the flags alone, 0 = none. */
    quiet: () => [...ids.keys()].map((name) => ids.get(quietOf.get(name)) ?? 0),
    /** u8 by handler: 1 + its row in `fused`, 0 = none. */
    fusedRow: () => [...ids.keys()].map((name) => [...fusedOf.keys()].indexOf(name) + 1),
    /** u16 by row and condition code: the handler of the pair, 0 = none. */
    fused: () => [...fusedOf.values()].flatMap((row) => CONDITIONS.map((_, i) => ids.get(row.get(i)) ?? 0)),
    /** u8 by handler: 1 overwrites all flags and cannot fault, 2 touches no flag and cannot fault, 0 anything else. */
    flagEffects: () => [...ids.keys()].map((name) => flagEffect(name, quietOf)),
    cases: () =>
      bodies.map((body, i) => `case ${i}: { // ${[...ids.keys()][i]}\n      ${body}\n    }`).join('\n    '),
  };
}
