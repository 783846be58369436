// Registers of a gdb stub by their names in its target description, as vCPU registers. What the stub does not have stays undefined.
// Names: gdb/features/i386 (org.gnu.gdb.i386.core, .linux, .segments) and, for control registers, QEMU's gdb-xml/i386-64bit.xml.
import type { RegisterPlace } from '../gdb/client-description.ts';
import { hexToBytes } from '../gdb/packet.ts';
import { GENERAL_REGISTERS, type VcpuRegisters } from '../machine/registers.ts';

/** Names of 32-bit descriptions, and those that are other than ours. */
const ALIASES: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    ['ax', 'bx', 'cx', 'dx', 'si', 'di', 'bp', 'sp', 'ip'].map((n) => [`e${n}`, `r${n}`]),
  ),
  eflags: 'rflags',
  k_gs_base: 'kernel_gs_base',
};

const SEGMENTS = ['cs', 'ss', 'ds', 'es', 'fs', 'gs'] as const;
const CONTROL = ['cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'efer'] as const;
const DEBUG = ['dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7'] as const;
const MSRS = ['star', 'lstar', 'cstar', 'fmask', 'pat', 'tsc_aux'] as const;
const MSRS_TOO = ['kernel_gs_base', 'sysenter_cs', 'sysenter_esp', 'sysenter_eip'] as const;
const BASES = ['fs_base', 'gs_base'] as const;
/** Of our own gdbserver: these, and NAME_base and NAME_limit of them. */
const SYSTEM_SEGMENTS = ['tr', 'ldtr'] as const;
const TABLES = ['gdtr', 'idtr'] as const;

/** Everything that is asked for by its name. */
const WANTED: ReadonlySet<string> = new Set([
  ...GENERAL_REGISTERS,
  ...['rip', 'rflags'],
  ...[...SEGMENTS, ...BASES, ...CONTROL, ...DEBUG, ...MSRS, ...MSRS_TOO],
  ...[...SYSTEM_SEGMENTS, ...TABLES].flatMap((name) => [name, `${name}_base`, `${name}_limit`]),
]);

const ourName = (name: string): string => ALIASES[name] ?? name;

export const isWanted = ({ name, bits }: RegisterPlace): boolean => WANTED.has(ourName(name)) && bits <= 64;

/** A number out of a packet, little endian; undefined when the stub marks it as not available. */
export function registerValue(hex: string): bigint | undefined {
  const bytes = hexToBytes(hex);
  if (!bytes || bytes.length === 0) return undefined;
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

/**
 * Values of the wanted registers by our names.
 * @param packet answer to `g`: the registers one behind the other; those at the end may be missing.
 * @param readOne answer to `p`, for those that are not in it.
 */
export function registerValues(
  places: readonly RegisterPlace[],
  packet: string,
  readOne: (number: number) => string,
): ReadonlyMap<string, bigint> {
  const values = new Map<string, bigint>();
  let at = 0;
  for (const place of places) {
    const end = at + place.bits / 4;
    if (isWanted(place)) {
      const value = registerValue(end <= packet.length ? packet.slice(at, end) : readOne(place.number));
      if (value !== undefined) values.set(ourName(place.name), value);
    }
    at = end;
  }
  return values;
}

/** @returns the registers, or the name of one that every vCPU has and that is not there. */
export function vcpuRegisters(values: ReadonlyMap<string, bigint>, bits: 32 | 64): VcpuRegisters | string {
  const absent = (name: string): boolean => !values.has(name) && !(bits === 32 && /^r\d/.test(name));
  const missing = [...GENERAL_REGISTERS, 'rip', 'rflags', ...SEGMENTS].find(absent);
  if (missing !== undefined) return missing;
  const value = (name: string): bigint => values.get(name) ?? 0n; // r8 to r15 of a 32-bit CPU
  const pick = (names: readonly string[]) =>
    Object.fromEntries(names.map((name) => [name, values.get(name)]));
  const limit = (name: string): number | undefined => {
    const known = values.get(`${name}_limit`);
    return known === undefined ? undefined : Number(known & 0xffff_ffffn);
  };
  const segment = (name: string) => ({
    selector: Number(value(name) & 0xffffn),
    base: values.get(`${name}_base`),
    limit: limit(name),
  });
  const system = SYSTEM_SEGMENTS.filter((name) => values.has(name)).map((name) => [name, segment(name)]);
  const tables = TABLES.flatMap((name) => {
    const [base, size] = [values.get(`${name}_base`), limit(name)];
    return base === undefined || size === undefined ? [] : [[name, { base, limit: size }] as const];
  });
  const general = Object.fromEntries(GENERAL_REGISTERS.map((name) => [name, value(name)]));
  const segments = Object.fromEntries(SEGMENTS.map((name) => [name, segment(name)]));
  return {
    ...(general as Pick<VcpuRegisters, (typeof GENERAL_REGISTERS)[number]>), // fromEntries forgets the keys
    ...(segments as Pick<VcpuRegisters, (typeof SEGMENTS)[number]>), // likewise
    rip: value('rip'),
    rflags: value('rflags'),
    ...Object.fromEntries(system),
    ...Object.fromEntries(tables),
    ...pick([...CONTROL, ...DEBUG, ...MSRS, ...MSRS_TOO]),
  };
}

/** In words, what a stub with these registers does not tell. */
export function registerLacks(places: readonly RegisterPlace[]): string[] {
  const names = new Set(places.map(({ name }) => ourName(name)));
  const without = (list: readonly string[]): string[] => list.filter((name) => !names.has(name));
  const absent = [
    ...without(CONTROL).map((name) => name.toUpperCase()),
    ...without(BASES).map((name) => `${name.slice(0, 2).toUpperCase()} base`),
    ...(without(DEBUG).length > 0 ? ['debug registers'] : []),
    ...(names.has('kernel_gs_base') ? [] : ['GS base of the kernel']),
    ...(names.has('idtr_base') ? [] : ['descriptor tables']),
    ...(names.has('lstar') ? [] : ['MSRs']),
    'segment limits and attributes',
    'FPU state',
  ];
  return [`${absent.join(', ')}: the gdb stub does not give them`];
}
