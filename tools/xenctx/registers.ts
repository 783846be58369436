// The register block of xenctx, line for line: 64-bit layout, and the 32-bit one for protected, compatibility and real mode.
import { inKernelMode } from '../../core/machine/registers.ts';
import { hexWord, unreadableWord, type VcpuView } from './view.ts';

const hex4 = (value: number): string => value.toString(16).padStart(4, '0');
const hex8 = (value: bigint): string => BigInt.asUintN(32, value).toString(16).padStart(8, '0');

/** RFLAGS bits from the highest down, with what stands for a set and for a clear bit. */
const FLAGS: readonly (readonly [bit: bigint, set: string, clear: string])[] = [
  [21n, 'cid', ''],
  [20n, 'vip', ''],
  [19n, 'vif', ''],
  [18n, 'ac', ''],
  [17n, 'v86', ''],
  [16n, 'rf', ''],
  [14n, 'nt', ''],
  [11n, 'o', ''],
  [10n, 'd=b', ''],
  [9n, 'i', ''],
  [8n, 'tf', ''],
  [7n, 's', ''],
  [6n, 'z', 'nz'],
  [4n, 'a', ''],
  [2n, 'p', ''],
  [0n, 'c', ''],
];

export function decodeFlags(rflags: bigint): string[] {
  return FLAGS.map(([bit, set, clear]) => ((rflags >> bit) & 1n ? set : clear)).filter((word) => word !== '');
}

function flagsLine(rflags: bigint): string {
  const digits = rflags.toString(16).padStart(8, '0');
  return ['flags:', digits, ...decodeFlags(rflags)].join(' ');
}

const GENERAL_64 = [
  ['rax', 'rcx', 'rdx'],
  ['rbx', 'rsi', 'rdi'],
  ['rbp', 'r8', 'r9'],
  ['r10', 'r11', 'r12'],
  ['r13', 'r14', 'r15'],
] as const;

function* longMode({ registers, symbols }: VcpuView): Generator<string> {
  const hex = (value: bigint): string => hexWord(value, 8);
  yield `rip: ${hex(registers.rip)}${symbols.label(registers.rip, 'text')}`;
  yield flagsLine(registers.rflags);
  yield `rsp: ${hex(registers.rsp)}`;
  for (const row of GENERAL_64)
    yield row.map((name) => `${name.padStart(3)}: ${hex(registers[name])}`).join('\t');
  yield (['cs', 'ss', 'ds', 'es'] as const)
    .map((name) => ` ${name}: ${hex4(registers[name].selector)}`)
    .join('\t');
  const known = (value: bigint | undefined): string => (value === undefined ? unreadableWord(8) : hex(value));
  const label = (value: bigint | undefined): string =>
    value === undefined ? '' : symbols.label(value, 'any');
  const fs = registers.fs.base;
  yield ` fs: ${hex4(registers.fs.selector)} @ ${known(fs)}${label(fs)}`;
  // Kernel base first: the one in use in the kernel, the shadow one in user mode.
  const [current, other] = [registers.gs.base, registers.kernel_gs_base];
  const [kernel, user] = inKernelMode(registers) ? [current, other] : [other, current];
  const names = symbols.loaded ? `${label(kernel)}/${label(user)}` : '';
  yield ` gs: ${hex4(registers.gs.selector)} @ ${known(kernel)}/${known(user)}${names}`;
}

function* shortMode({ registers, symbols, instruction }: VcpuView): Generator<string> {
  const pair = (name: string, value: bigint): string => `${name}: ${hex8(value)}`;
  yield `cs:eip: ${hex4(registers.cs.selector)}:${hex8(registers.rip)}${symbols.label(instruction, 'text')}`;
  yield flagsLine(registers.rflags);
  yield `ss:esp: ${hex4(registers.ss.selector)}:${hex8(registers.rsp)}`;
  const { rax, rbx, rcx, rdx, rsi, rdi, rbp } = registers;
  yield [pair('eax', rax), pair('ebx', rbx), pair('ecx', rcx), pair('edx', rdx)].join('\t');
  yield [pair('esi', rsi), pair('edi', rdi), pair('ebp', rbp)].join('\t');
  yield (['ds', 'es', 'fs', 'gs'] as const)
    .map((name) => ` ${name}:     ${hex4(registers[name].selector)}`)
    .join('\t');
}

const CONTROL = ['cr0', 'cr2', 'cr3', 'cr4'] as const;
const DEBUG = ['dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7'] as const;
/** Those that hold addresses. */
const LABELLED: ReadonlySet<string> = new Set(['cr2', 'dr0', 'dr1', 'dr2', 'dr3']);

function* controlAndDebug({ registers, symbols, wordSize }: VcpuView): Generator<string> {
  const width = wordSize === 8 ? 8 : 4;
  const line = (name: (typeof CONTROL | typeof DEBUG)[number]): string => {
    const value = registers[name];
    if (value === undefined) return `${name}: ${unreadableWord(width)}`;
    const digits = width === 8 ? hexWord(value, 8) : hex8(value);
    return `${name}: ${digits}${LABELLED.has(name) ? symbols.label(value, 'any') : ''}`;
  };
  yield '';
  yield* CONTROL.map(line);
  yield '';
  yield* DEBUG.map(line);
}

/** @param all what -a adds. */
export function* registerLines(view: VcpuView, all: boolean): Generator<string> {
  yield* view.wordSize === 8 ? longMode(view) : shortMode(view);
  if (all) yield* controlAndDebug(view);
}
