// Registers of two crashes, told apart by what they hold rather than by their digits.
import type { CrashRegister } from '../crash.ts';
import { functionName } from '../signature.ts';

export type RegisterRelation =
  | 'equal'
  /** Both point into the same function or variable. */
  | 'same symbol'
  /** Both are kernel addresses with the same last three digits: the same place in pages that lie elsewhere. */
  | 'same page offset'
  /** Both below 4096: counts, flags, error numbers. */
  | 'small numbers'
  | 'kernel addresses'
  | 'user addresses'
  | 'differs';

export interface RegisterDifference {
  readonly name: string;
  readonly relation: RegisterRelation;
  readonly a: string;
  readonly b: string;
  /** Names of the bits that differ, in rflags and control registers. */
  readonly bits?: readonly string[];
}

/** SDM vol 1 3.4.3 (RFLAGS), vol 3A 2.2.1 (EFER), 2.5 (CR0, CR4); AMD APM vol 2 3.1.7 (SVME). */
const BITS: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  rflags: {
    0: 'CF',
    2: 'PF',
    4: 'AF',
    6: 'ZF',
    7: 'SF',
    8: 'TF',
    9: 'IF',
    10: 'DF',
    11: 'OF',
    14: 'NT',
    16: 'RF',
    18: 'AC',
  },
  cr0: {
    0: 'PE',
    1: 'MP',
    2: 'EM',
    3: 'TS',
    4: 'ET',
    5: 'NE',
    16: 'WP',
    18: 'AM',
    29: 'NW',
    30: 'CD',
    31: 'PG',
  },
  cr4: {
    0: 'VME',
    1: 'PVI',
    2: 'TSD',
    3: 'DE',
    4: 'PSE',
    5: 'PAE',
    6: 'MCE',
    7: 'PGE',
    8: 'PCE',
    9: 'OSFXSR',
    10: 'OSXMMEXCPT',
    11: 'UMIP',
    12: 'LA57',
    13: 'VMXE',
    14: 'SMXE',
    16: 'FSGSBASE',
    17: 'PCIDE',
    18: 'OSXSAVE',
    20: 'SMEP',
    21: 'SMAP',
    22: 'PKE',
    23: 'CET',
  },
  efer: { 0: 'SCE', 8: 'LME', 10: 'LMA', 11: 'NXE', 12: 'SVME' },
};

const PAGE = 0x1000n;
/** Error numbers are negative and look like addresses. */
const isKernelAddress = (value: bigint) => value >= 0xffff800000000000n && value < 0xfffffffffffff000n;
/** Below, numbers are more likely than addresses (linux Documentation/admin-guide/sysctl/vm.rst: mmap_min_addr). */
const isUserAddress = (value: bigint) => value >= 0x10000n && value < 0x0000800000000000n;

/** Bits, and a physical address: however large, no virtual one. */
const IS_CONTROL = /^(?:rflags|efer|cr[034])$/;

function relate(a: CrashRegister, b: CrashRegister): RegisterRelation {
  if (a.value === b.value) return 'equal';
  if (IS_CONTROL.test(a.name)) return 'differs';
  if (a.symbol !== undefined && b.symbol !== undefined && functionName(a.symbol) === functionName(b.symbol))
    return 'same symbol';
  const [x, y] = [BigInt(`0x${a.value}`), BigInt(`0x${b.value}`)];
  if (isKernelAddress(x) && isKernelAddress(y))
    return (x & 0xfffn) === (y & 0xfffn) ? 'same page offset' : 'kernel addresses';
  if (x < PAGE && y < PAGE) return 'small numbers';
  return isUserAddress(x) && isUserAddress(y) ? 'user addresses' : 'differs';
}

function differingBits(name: string, a: string, b: string): string[] | undefined {
  const names = BITS[name];
  if (names === undefined) return undefined;
  const difference = BigInt(`0x${a}`) ^ BigInt(`0x${b}`);
  return Array.from({ length: 64 }, (_, bit) => bit)
    .filter((bit) => (difference >> BigInt(bit)) & 1n)
    .map((bit) => names[bit] ?? `bit ${bit}`);
}

const withSymbol = ({ value, symbol }: CrashRegister) =>
  symbol === undefined ? value : `${value} ${symbol}`;

/** One row for each register that both have, equal ones included. */
export function compareRegisters(
  a: readonly CrashRegister[],
  b: readonly CrashRegister[],
): RegisterDifference[] {
  const others = new Map(b.map((register) => [register.name, register]));
  return a.flatMap((register) => {
    const other = others.get(register.name);
    if (other === undefined) return [];
    const relation = relate(register, other);
    const bits = relation === 'equal' ? undefined : differingBits(register.name, register.value, other.value);
    return [
      {
        name: register.name,
        relation,
        a: withSymbol(register),
        b: withSymbol(other),
        ...(bits && { bits }),
      },
    ];
  });
}
