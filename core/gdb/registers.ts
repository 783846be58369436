// The registers of an x86 vCPU as a debugger numbers them: the target description and the bytes of each register, out of one table.
// Names are gdb's (gdb manual, "i386 Features") and, for what those lack, QEMU's. What no vCPU has is not offered; what one lacks
// is told as unavailable.
import type { VcpuRegisters } from '../machine/registers.ts';
import { fpuControl, fpuStack, vectorControl, vectorRegister } from './fxsave.ts';
import { bytesToHex } from './packet.ts';

/** Little endian; undefined when the source does not have it. */
type RegisterValue = Uint8Array | undefined;

interface RegisterRow {
  readonly name: string;
  readonly bits: number;
  readonly type?: string;
  readonly group?: string;
  readonly value: (registers: VcpuRegisters) => RegisterValue;
}

interface Feature {
  readonly name: string;
  /** XML of the types that its registers have. */
  readonly types: string;
  readonly registers: readonly RegisterRow[];
  /** gdb takes no description without it, or only with all its registers. */
  readonly whole: boolean;
}

function little(value: bigint | number | undefined, bits: number): RegisterValue {
  if (value === undefined) return undefined;
  const bytes = new Uint8Array(bits / 8);
  let rest = BigInt.asUintN(bits, BigInt(value));
  for (let index = 0; index < bytes.length; index++, rest >>= 8n) bytes[index] = Number(rest & 0xffn);
  return bytes;
}

const row = (
  name: string,
  bits: number,
  read: (registers: VcpuRegisters) => bigint | number | undefined,
  type?: string,
): RegisterRow => ({
  name,
  bits,
  ...(type !== undefined && { type }),
  value: (registers) => little(read(registers), bits),
});

/** A type whose bits have names: `name` or `name:first-last`. */
function flags(
  id: string,
  bytes: number,
  fields: Readonly<Record<string, number | readonly [number, number]>>,
) {
  const lines = Object.entries(fields).map(([name, place]) => {
    const [start, end] = typeof place === 'number' ? [place, place] : place;
    return `<field name="${name}" start="${start}" end="${end}"/>`;
  });
  return `<flags id="${id}" size="${bytes}">${lines.join('')}</flags>`;
}

/** SDM vol 1, 3.4.3. */
const EFLAGS = {
  CF: 0,
  PF: 2,
  AF: 4,
  ZF: 6,
  SF: 7,
  TF: 8,
  IF: 9,
  DF: 10,
  OF: 11,
  IOPL: [12, 13],
  NT: 14,
  RF: 16,
  VM: 17,
  AC: 18,
  VIF: 19,
  VIP: 20,
  ID: 21,
} as const;
/** SDM vol 3A, 2.5. */
const CR0 = { PE: 0, MP: 1, EM: 2, TS: 3, ET: 4, NE: 5, WP: 16, AM: 18, NW: 29, CD: 30, PG: 31 } as const;
const CR4 = {
  VME: 0,
  PVI: 1,
  TSD: 2,
  DE: 3,
  PSE: 4,
  PAE: 5,
  MCE: 6,
  PGE: 7,
  PCE: 8,
  OSFXSR: 9,
  OSXMMEXCPT: 10,
  UMIP: 11,
  LA57: 12,
  VMXE: 13,
  SMXE: 14,
  FSGSBASE: 16,
  PCIDE: 17,
  OSXSAVE: 18,
  SMEP: 20,
  SMAP: 21,
  PKE: 22,
  CET: 23,
  PKS: 24,
} as const;
/** SDM vol 3A, 2.2.1; SVME and what follows: AMD APM vol 2, 3.1.7. */
const EFER = { SCE: 0, LME: 8, LMA: 10, NXE: 11, SVME: 12, LMSLE: 13, FFXSR: 14, TCE: 15 } as const;
/** SDM vol 1, 10.2.3. */
const MXCSR = {
  IE: 0,
  DE: 1,
  ZE: 2,
  OE: 3,
  UE: 4,
  PE: 5,
  DAZ: 6,
  IM: 7,
  DM: 8,
  ZM: 9,
  OM: 10,
  UM: 11,
  PM: 12,
  RC: [13, 14],
  FZ: 15,
} as const;

const LONG_NAMES = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp'] as const;
const MORE_NAMES = ['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const;
const SHORT_NAMES = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'] as const;
const SEGMENTS = ['cs', 'ss', 'ds', 'es', 'fs', 'gs'] as const;
const eight = [0, 1, 2, 3, 4, 5, 6, 7] as const;

const pointerType = (name: string): string | undefined => (/^[re][sb]p$/.test(name) ? 'data_ptr' : undefined);

const segments: readonly RegisterRow[] = SEGMENTS.map((name) =>
  row(name, 32, (registers) => registers[name].selector, 'int32'),
);
const fpu: readonly RegisterRow[] = [
  ...eight.map((index) => ({
    name: `st${index}`,
    bits: 80,
    type: 'i387_ext',
    value: ({ fxsave }: VcpuRegisters) => fxsave && fpuStack(fxsave, index),
  })),
  ...(['fctrl', 'fstat', 'ftag', 'fiseg', 'fioff', 'foseg', 'fooff', 'fop'] as const).map((name) => ({
    name,
    bits: 32,
    type: 'int',
    group: 'float',
    value: ({ fxsave }: VcpuRegisters) => little(fxsave && fpuControl(fxsave, name), 32),
  })),
];

const core = (general: readonly RegisterRow[]): Feature => ({
  name: 'org.gnu.gdb.i386.core',
  types: flags('i386_eflags', 4, EFLAGS),
  registers: [...general, ...segments, ...fpu],
  whole: true,
});

const LONG_CORE = core([
  ...[...LONG_NAMES, ...MORE_NAMES].map((name) =>
    row(name, 64, (registers) => registers[name], pointerType(name) ?? 'int64'),
  ),
  row('rip', 64, ({ rip }) => rip, 'code_ptr'),
  row('eflags', 32, ({ rflags }) => rflags, 'i386_eflags'),
]);
const SHORT_CORE = core([
  ...SHORT_NAMES.map((name) => {
    const short = name.replace('r', 'e');
    return row(short, 32, (registers) => registers[name], pointerType(short) ?? 'int32');
  }),
  row('eip', 32, ({ rip }) => rip, 'code_ptr'),
  row('eflags', 32, ({ rflags }) => rflags, 'i386_eflags'),
]);

const VECTOR_TYPES = [
  '<vector id="v4f" type="ieee_single" count="4"/><vector id="v2d" type="ieee_double" count="2"/>',
  '<vector id="v16i8" type="int8" count="16"/><vector id="v8i16" type="int16" count="8"/>',
  '<vector id="v4i32" type="int32" count="4"/><vector id="v2i64" type="int64" count="2"/>',
  '<union id="vec128"><field name="v4_float" type="v4f"/><field name="v2_double" type="v2d"/>',
  '<field name="v16_int8" type="v16i8"/><field name="v8_int16" type="v8i16"/>',
  '<field name="v4_int32" type="v4i32"/><field name="v2_int64" type="v2i64"/>',
  '<field name="uint128" type="uint128"/></union>',
].join('');

const vectors = (count: number): Feature => ({
  name: 'org.gnu.gdb.i386.sse',
  types: VECTOR_TYPES + flags('i386_mxcsr', 4, MXCSR),
  registers: [
    ...Array.from({ length: count }, (_, index) => ({
      name: `xmm${index}`,
      bits: 128,
      type: 'vec128',
      value: ({ fxsave }: VcpuRegisters) => fxsave && vectorRegister(fxsave, index),
    })),
    {
      name: 'mxcsr',
      bits: 32,
      type: 'i386_mxcsr',
      group: 'vector',
      value: ({ fxsave }) => little(fxsave && vectorControl(fxsave), 32),
    },
  ],
  whole: true,
});

const SEGMENT_BASES: Feature = {
  name: 'org.gnu.gdb.i386.segments',
  types: '',
  registers: (['fs', 'gs'] as const).map((name) =>
    row(`${name}_base`, 64, (registers) => registers[name].base, 'int'),
  ),
  whole: true,
};

/** What gdb has no number for; it shows them all the same. QEMU's names as far as it has them. */
const SYSTEM: Feature = {
  name: 'org.pvh-report.system',
  types: flags('cr0_flags', 8, CR0) + flags('cr4_flags', 8, CR4) + flags('efer_flags', 8, EFER),
  registers: [
    row('k_gs_base', 64, ({ kernel_gs_base }) => kernel_gs_base, 'int'),
    row('cr0', 64, ({ cr0 }) => cr0, 'cr0_flags'),
    row('cr2', 64, ({ cr2 }) => cr2, 'int'),
    row('cr3', 64, ({ cr3 }) => cr3, 'int'),
    row('cr4', 64, ({ cr4 }) => cr4, 'cr4_flags'),
    row('cr8', 64, ({ cr8 }) => cr8, 'int'),
    row('efer', 64, ({ efer }) => efer, 'efer_flags'),
    ...(['dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7'] as const).map((name) =>
      row(name, 64, (registers) => registers[name], 'int'),
    ),
    ...(['star', 'lstar', 'cstar', 'fmask', 'sysenter_cs', 'sysenter_esp', 'sysenter_eip'] as const).map(
      (name) => row(name, 64, (registers) => registers[name], 'int'),
    ),
    ...(['pat', 'tsc_aux'] as const).map((name) => row(name, 64, (registers) => registers[name], 'int')),
    row('tr', 32, ({ tr }) => tr?.selector, 'int'),
    row('tr_base', 64, ({ tr }) => tr?.base, 'int'),
    row('ldtr', 32, ({ ldtr }) => ldtr?.selector, 'int'),
    row('gdtr_base', 64, ({ gdtr }) => gdtr?.base, 'int'),
    row('gdtr_limit', 32, ({ gdtr }) => gdtr?.limit, 'int'),
    row('idtr_base', 64, ({ idtr }) => idtr?.base, 'int'),
    row('idtr_limit', 32, ({ idtr }) => idtr?.limit, 'int'),
  ],
  whole: false,
};

const FEATURES: Readonly<Record<64 | 32, readonly Feature[]>> = {
  64: [LONG_CORE, vectors(16), SEGMENT_BASES, SYSTEM],
  32: [SHORT_CORE, vectors(8), SYSTEM],
};

/** The registers that all vCPUs of one guest are shown with. */
export class RegisterFile {
  readonly #bits: 64 | 32;
  readonly #features: readonly Feature[];
  readonly #rows: readonly RegisterRow[];

  /** @param vcpus registers of those that have any. */
  constructor(bits: 64 | 32, vcpus: readonly VcpuRegisters[]) {
    const known = ({ value }: RegisterRow): boolean => vcpus.some((registers) => value(registers));
    this.#bits = bits;
    this.#features = FEATURES[bits].flatMap((feature, index) => {
      if (index === 0) return [feature];
      const registers = feature.registers.filter((each) => feature.whole || known(each));
      return registers.some(known) ? [{ ...feature, registers }] : [];
    });
    this.#rows = this.#features.flatMap(({ registers }) => registers);
  }

  /** target.xml. */
  describe(): string {
    const features = this.#features.map(({ name, types, registers }) => {
      const lines = registers.map(({ name: register, bits, type, group }) =>
        [
          `<reg name="${register}" bitsize="${bits}"`,
          ...(type === undefined ? [] : [`type="${type}"`]),
          ...(group === undefined ? [] : [`group="${group}"`]),
        ].join(' '),
      );
      return `<feature name="${name}">\n${types}\n${lines.map((line) => `${line}/>\n`).join('')}</feature>\n`;
    });
    const architecture = this.#bits === 64 ? 'i386:x86-64' : 'i386';
    return `<?xml version="1.0"?>\n<!DOCTYPE target SYSTEM "gdb-target.dtd">\n<target>\n<architecture>${architecture}</architecture>\n${features.join('')}</target>\n`;
  }

  /** All registers as `g` answers them: hexadecimal, `xx` for each byte that is not known. */
  all(registers: VcpuRegisters | undefined): string {
    return this.#rows.map((each) => hexOf(each, registers)).join('');
  }

  /** One register by its number, as `p` answers it; undefined when there is no such number. */
  one(registers: VcpuRegisters | undefined, number: number): string | undefined {
    const found = this.#rows[number];
    return found && hexOf(found, registers);
  }
}

function hexOf({ bits, value }: RegisterRow, registers: VcpuRegisters | undefined): string {
  const bytes = registers && value(registers);
  return bytes ? bytesToHex(bytes) : 'xx'.repeat(bits / 8);
}
