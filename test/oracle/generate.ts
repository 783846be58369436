// Makes the cases of each opcode-table row: which states and operands show what the instruction does. Also short programs,
// where one instruction's flags feed the next. Only used when recording: the corpus keeps the code bytes.
import { AF, OPCODES, type OpcodeRow } from '../../core/cpu/opcodes.ts';
import { caseSeed, type OracleCase, PROGRAM_ROW, rowId } from './case.ts';
import { encodeInstruction, type Instruction, type Wish } from './encode.ts';
import {
  CODE_BASE,
  DATA_BASE,
  type InitialState,
  MAX_PATCH_BYTES,
  type Patch,
  REGION_BYTES,
} from './format.ts';
import { Random } from './random.ts';
import { initialState, type Profile } from './state.ts';

/**
 * Rows that are not replayed against silicon, with the reason. What user mode must not do shows as #GP or #UD and is
 * recorded; these would hurt the host, leave user mode, or depend on the machine.
 */
export const NOT_ON_SILICON: Readonly<Record<string, string>> = {
  SYSCALL: 'enters the host kernel; in lockstep/long',
  SYSENTER: 'enters the host kernel; in lockstep/long',
  CPUID: 'describes the machine',
  RDTSC: 'reads a clock',
  RDTSCP: 'reads a clock',
  RDPMC: 'reads counters',
  RDPID: 'reads the host CPU number',
  RDRAND: 'random',
  RDSEED: 'random',
  VMCALL: 'reaches the host hypervisor',
  VMMCALL: 'reaches the host hypervisor',
  SGDT: 'UMIP host: emulated by its kernel; in lockstep/protected',
  SIDT: 'UMIP host: emulated by its kernel; in lockstep/protected',
  SLDT: 'UMIP host: emulated by its kernel; in lockstep/protected',
  STR: 'UMIP host: emulated by its kernel; in lockstep/protected',
  SMSW: 'UMIP host: emulated by its kernel; in lockstep/protected',
};

const STACK_MNEMONICS =
  /^(PUSH|POP|PUSHA|POPA|PUSHF|POPF|CALL|CALLF|RET|RETF|IRET|ENTER|LEAVE|XLAT|MASKMOV|MASKMOVQ|MASKMOVDQU)/;
const SELECTORS = [0, 1, 2, 3, 4, 7, 0x10, 0x18, 0x20, 0x21, 0x23, 0x28, 0x2b, 0x30, 0x33, 0xfff8] as const;
/** Interrupt vectors whose gates differ between systems, or that enter the kernel. */
const UNSAFE_VECTORS = [0x80];

function isX87(row: OpcodeRow): boolean {
  return row.class === 'fp' && row.map === 0;
}

function chooseProfile(row: OpcodeRow, form: 'mem' | 'reg', random: Random): Profile {
  if (isX87(row)) return 'x87';
  if (row.class === 'fp') {
    if (row.operands.some((o) => /^[PQN][a-z]*$/.test(o)) || row.mnemonic === 'EMMS')
      return random.oneIn(3) && /PS|PD/.test(row.mnemonic)
        ? /PD/.test(row.mnemonic)
          ? 'float64'
          : 'float32'
        : 'mmx';
    if (/^FX/.test(row.mnemonic)) return 'x87';
    if (/^CVT/.test(row.mnemonic)) return random.pick(['float32', 'float64', 'vector']);
    if (/(PS|SS)$/.test(row.mnemonic)) return random.oneIn(12) ? 'vector' : 'float32';
    if (/(PD|SD)$/.test(row.mnemonic)) return random.oneIn(12) ? 'vector' : 'float64';
    if (/COMISS/.test(row.mnemonic)) return 'float32';
    if (/COMISD/.test(row.mnemonic)) return 'float64';
    return random.oneIn(8) ? 'float64' : 'vector';
  }
  if (row.repeat) return 'string';
  if (row.hasModrm && form === 'mem') return 'memory';
  if (STACK_MNEMONICS.test(row.mnemonic) || row.operands.some((o) => o.startsWith('O'))) return 'memory';
  return 'register';
}

const bytesOf = (value: bigint | number, bytes: number): Uint8Array => {
  const wide = BigInt.asUintN(64, BigInt(value));
  return Uint8Array.from({ length: bytes }, (_, i) => Number((wide >> BigInt(i * 8)) & 0xffn));
};

/** A patch of the data region at a linear address, or nothing when it does not lie there whole. */
function patchAt(address: bigint | undefined, bytes: Uint8Array): Patch[] {
  if (address === undefined) return [];
  const patches: Patch[] = [];
  for (let at = 0; at < bytes.length; at += MAX_PATCH_BYTES) {
    const part = bytes.slice(at, at + MAX_PATCH_BYTES);
    const offset = Number(address - BigInt(DATA_BASE)) + at;
    if (!(offset >= 0 && offset + part.length <= REGION_BYTES)) return [];
    patches.push({ offset, bytes: part });
  }
  return patches;
}

const concat = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((p) => [...p]));

interface Extras {
  /** Code before the instruction, a number of instructions of its own. */
  readonly before?: readonly Uint8Array[];
  readonly patches?: readonly Patch[];
}

/** A near code address, now and then one that is not canonical or not there. */
function codeTarget(random: Random): bigint {
  if (random.oneIn(12)) return random.pick([0x1234_5678_9abc_def0n, 0x8000_0000n, 0x0000_8000_0000_0000n]);
  return BigInt(CODE_BASE + 0x400 + random.below(0x800));
}

/** What some instructions need to show more than their faults. */
function extras(
  row: OpcodeRow,
  made: Instruction,
  state: InitialState,
  random: Random,
  mode: 32 | 64,
): Extras {
  const gpr = (i: number): bigint => state.gpr[i] ?? 0n;
  const size = made.operandSize / 8;
  const isMemory = made.address !== undefined;
  switch (row.mnemonic) {
    case 'DIV':
    case 'IDIV': {
      const wide = row.opcode === 0xf7;
      const clear = row.mnemonic === 'DIV' ? [0x31, 0xd2] : [0x99];
      const small = [0x83, 0xe2, random.below(64)]; // and edx, imm8
      const narrow = row.mnemonic === 'DIV' ? [0x0f, 0xb6, 0xc0] : [0x98];
      const code = random.pick(wide ? [clear, clear, small] : [narrow, [0x0f, 0xb7, 0xc0]]);
      const touches = made.rm === (wide ? 2 : 0) && !isMemory;
      const prefix = mode === 64 && made.operandSize === 64 && code !== small ? [0x48] : [];
      if (touches || random.oneIn(3)) return {};
      return { before: [Uint8Array.from([...prefix, ...code])] };
    }
    case 'CMPXCHG':
      return random.oneIn(2)
        ? {}
        : { patches: patchAt(made.address, bytesOf(gpr(0), row.opcode === 0xb0 ? 1 : size)) };
    case 'CMPXCHG8B':
    case 'CMPXCHG16B': {
      const half = row.mnemonic === 'CMPXCHG8B' ? 4 : 8;
      const pair = concat(bytesOf(gpr(0), half), bytesOf(gpr(2), half));
      return random.oneIn(2) ? {} : { patches: patchAt(made.address, pair) };
    }
    case 'RET':
      return { patches: patchAt(gpr(4), bytesOf(codeTarget(random), mode / 8)) };
    case 'JMP':
    case 'CALL':
      return row.hasModrm ? { patches: patchAt(made.address, bytesOf(codeTarget(random), mode / 8)) } : {};
    case 'CALLF':
    case 'JMPF': {
      const selector = random.pick([0x33, 0x33, 0x23, 0x23, ...SELECTORS]);
      return {
        patches: patchAt(made.address, concat(bytesOf(codeTarget(random), size), bytesOf(selector, 2))),
      };
    }
    case 'RETF': {
      const selector = random.pick([0x33, 0x33, 0x23, 0x23, ...SELECTORS]);
      return { patches: patchAt(gpr(4), concat(bytesOf(codeTarget(random), size), bytesOf(selector, size))) };
    }
    case 'IRET': {
      // Without AC: IRET setting it on a stack that is not aligned traps for ever on a host with split-lock detection.
      const flags = random.u32() & 0x204cd7;
      const words = [
        codeTarget(random),
        BigInt(random.pick([0x33, 0x23, 0x33, 0x23, ...SELECTORS])),
        BigInt(flags),
      ];
      if (mode === 64) {
        const stack = random.oneIn(4) ? random.u64() : BigInt(DATA_BASE + 0x800 + random.below(0x1000));
        words.push(stack, BigInt(random.pick([0x2b, 0x2b, 0x2b, ...SELECTORS])));
      }
      return { patches: patchAt(gpr(4), concat(...words.map((word) => bytesOf(word, size)))) };
    }
    case 'POP':
      if (!/^[A-Z]S$/.test(row.operands[0] ?? '')) return {};
      return { patches: patchAt(gpr(4), bytesOf(random.pick(SELECTORS), size)) };
    case 'LAR':
    case 'LSL':
    case 'VERR':
    case 'VERW':
    case 'LLDT':
    case 'LTR':
    case 'MOV': {
      if (row.mnemonic === 'MOV' && row.operands[0] !== 'Sw') return {};
      const selector = random.pick(SELECTORS);
      if (isMemory) return { patches: patchAt(made.address, bytesOf(selector, 2)) };
      const rex = made.rm >= 8 ? [0x41] : []; // mov r32, imm32
      return { before: [Uint8Array.from([...rex, 0xb8 | (made.rm & 7), ...bytesOf(selector, 4)])] };
    }
    case 'LES':
    case 'LDS':
    case 'LSS':
    case 'LFS':
    case 'LGS':
      return {
        patches: patchAt(
          made.address,
          concat(bytesOf(random.u64(), size), bytesOf(random.pick(SELECTORS), 2)),
        ),
      };
    case 'LDMXCSR':
      return random.oneIn(4) ? {} : { patches: patchAt(made.address, bytesOf(random.u32() & 0xffff, 4)) };
    case 'FXRSTOR': {
      const control = (random.u32() & 0xf3f) | 0x40;
      const status = random.u32() & control & 0x3f;
      const head = bytesOf(BigInt(control) | (BigInt(status | (random.u32() & 0x7f00)) << 16n), 4);
      const mxcsr = random.oneIn(6) ? random.u32() : random.u32() & 0xffff;
      return {
        patches: [
          ...patchAt(made.address, concat(head, bytesOf(random.u32() & 0xff, 2))),
          ...patchAt(made.address === undefined ? undefined : made.address + 24n, bytesOf(mxcsr, 4)),
        ],
      };
    }
    default:
      return {};
  }
}

/** A locked access that crosses a cache line stops other processors of the host for long; leave it out. */
function splitsLine(made: Instruction): boolean {
  return made.address !== undefined && Number(made.address & 63n) + 16 > 64;
}

const STRING_STEPS = 700;

/** Case `index` of a row, or undefined when that index makes none. */
export function generateCase(row: OpcodeRow, index: number): OracleCase | undefined {
  if (row.mnemonic in NOT_ON_SILICON) return undefined;
  const id = rowId(row);
  const seed = caseSeed(id, index);
  const random = new Random(seed ^ 0x5eed);
  const mode = row.modes === 'no64' ? 32 : row.modes === 'only64' || !random.oneIn(6) ? 64 : 32;
  // C4 and C5 with a register are VEX prefixes, which the recording CPU knows.
  const form = random.oneIn(2) || /^L[DE]S$/.test(row.mnemonic) ? 'mem' : 'reg';
  const actualForm = row.form ?? form;
  const profile = chooseProfile(row, actualForm, random);
  const state = initialState(profile, mode, seed);
  const at = random.oneIn(32) ? 0x1000 - 1 - random.below(6) : 0x800 + random.below(16);
  const isExchange = row.mnemonic === 'XCHG';
  const lock =
    row.hasModrm && actualForm === 'mem' && row.lockable && row.map < 2 ? random.oneIn(5) : random.oneIn(100);
  let repeat: 0xf2 | 0xf3 | undefined;
  if (row.repeat) repeat = random.pick([0xf3, 0xf3, 0xf3, 0xf2, undefined]);
  else if (
    row.map === 0 &&
    row.prefix === 'any' &&
    row.class !== 'fp' &&
    row.opcode !== 0x90 &&
    random.oneIn(40)
  )
    repeat = random.pick([0xf2, 0xf3]);
  const wish: Wish = {
    mode,
    at,
    gpr: state.gpr,
    fs_base: state.fs_base,
    gs_base: state.gs_base,
    form,
    lock,
    repeat,
    immediate: row.mnemonic === 'ENTER' && !random.oneIn(6) ? random.below(0x100) : undefined,
  };
  const made = encodeInstruction(row, random, wish);
  if (!made) return undefined;
  if ((lock || isExchange) && (splitsLine(made) || (row.operands[1] === 'Gv' && /^BT/.test(row.mnemonic))))
    return undefined;
  if (row.mnemonic === 'INT' && UNSAFE_VECTORS.includes(made.bytes[made.bytes.length - 1] ?? 0))
    return undefined;
  const { before = [], patches = [] } = extras(row, made, state, random, mode);
  const lead = before.reduce((sum, part) => sum + part.length, 0);
  // RIP-relative operands were placed for an instruction at `at`.
  return {
    row: id,
    index,
    profile,
    program: {
      code: concat(...before, made.bytes),
      offset: at - lead,
      mode,
      steps: row.repeat ? STRING_STEPS : 1 + before.length,
      patches,
    },
  };
}

/** How many cases of a row to try. */
export function casesOf(row: OpcodeRow): number {
  if (row.mnemonic in NOT_ON_SILICON) return 0;
  if (isX87(row)) return 240;
  if (row.class === 'fp') return /(PS|SS|PD|SD)|^(CVT|PCMP.STR|FX)/.test(row.mnemonic) ? 260 : 120;
  if (row.mnemonic === 'IRET' || /^POP$/.test(row.mnemonic)) return 240;
  if (/^(CMOV|SET|J[A-Z])/.test(row.mnemonic)) return 100;
  if (row.class === 'system') return row.hasModrm ? 160 : 60;
  if (/^(NOP|PREFETCH|ENDBR|UD|.FENCE|CL[A-Z]$|ST[CD]$|CMC)/.test(row.mnemonic)) return 40;
  if (!row.hasModrm && row.repeat === undefined) return 120;
  return 280;
}

const PROGRAM_MNEMONICS =
  /^(ADD|OR|ADC|SBB|AND|SUB|XOR|CMP|TEST|INC|DEC|NEG|NOT|ROL|ROR|RCL|RCR|SHL|SHR|SAR|MOV|MOVZX|MOVSX|MOVSXD|LEA|XADD|CMPXCHG|BSWAP|CMOV.*|SET.*|J[A-Z]{1,2}|CMC|CLC|STC|PUSH|POP|CBW|CWD|BT|ADCX|ADOX|SAHF|XCHG)$/;

function belongsInPrograms(row: OpcodeRow): boolean {
  if (row.class !== 'integer' && row.class !== 'branch') return false;
  if (!PROGRAM_MNEMONICS.test(row.mnemonic) || (row.undefinedFlags & ~AF) !== 0) return false;
  return row.class === 'integer' || row.operands[0] === 'Jb';
}

const PROGRAM_ROWS: readonly OpcodeRow[] = OPCODES.filter(belongsInPrograms);
const CONDITIONAL_ROWS = PROGRAM_ROWS.filter((row) => /^(CMOV|SET|J|ADC|SBB|RC)/.test(row.mnemonic));

/** How many programs to try. */
export const PROGRAMS = 30_000;

/** A run of 3 to 12 instructions that do not fault, where later ones read earlier ones' flags; branches skip forward. */
export function generateProgram(index: number): OracleCase | undefined {
  const seed = caseSeed(PROGRAM_ROW, index);
  const random = new Random(seed ^ 0x5eed);
  const mode = random.oneIn(5) ? 32 : 64;
  const state = initialState('memory', mode, seed);
  const parts: { bytes: Uint8Array; branch: boolean }[] = [];
  const offset = 0x800 + random.below(64);
  let at = offset;
  for (let n = 3 + random.below(10); n > 0; n--) {
    const row = random.pick(random.oneIn(2) ? PROGRAM_ROWS : CONDITIONAL_ROWS);
    const form = random.oneIn(3) ? 'mem' : 'reg';
    const made = encodeInstruction(row, random, {
      mode,
      at,
      gpr: state.gpr,
      fs_base: state.fs_base,
      gs_base: state.gs_base,
      form,
      tame: true,
    });
    if (!made || at + made.bytes.length - offset > 110) continue;
    if (row.mnemonic === 'XCHG' && splitsLine(made)) continue;
    parts.push({ bytes: made.bytes, branch: row.class === 'branch' });
    at += made.bytes.length;
  }
  parts.forEach((part, i) => {
    if (!part.branch) return;
    const skipped = parts.slice(i + 1, i + 2 + random.below(2));
    part.bytes[part.bytes.length - 1] = skipped.reduce((sum, p) => sum + p.bytes.length, 0);
  });
  const code = concat(...parts.map((part) => part.bytes));
  return {
    row: PROGRAM_ROW,
    index,
    profile: 'memory',
    program: { code, offset, mode, steps: 40, patches: [] },
  };
}
