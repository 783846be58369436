// The MTRRs of each vCPU, as Xen offers them to a PVH guest: registers that keep what is written, with the checks.
// They change nothing: all memory of a guest is write-back memory of ours.
// Source: SDM vol 3A §12.11
const MTRRCAP = 0xfe;
const MTRR_PHYSBASE0 = 0x200;
const MTRR_DEF_TYPE = 0x2ff;
const FIXED: readonly number[] = [
  0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f,
];
const VARIABLE_RANGES = 8;

/** Eight variable ranges, fixed ranges, write-combining. */
const CAPABILITIES = 0x508n;
/** Enabled, write-back by default: what Xen gives a PVH guest to start with. */
const DEFAULT_TYPE = 0x806n;
const DEF_TYPE_BITS = 0xcffn;
const PHYSBASE_LOW_BITS = 0xf00n;
const PHYSMASK_LOW_BITS = 0x7ffn;

const isType = (type: bigint): boolean => [0n, 1n, 4n, 5n, 6n].includes(type);

export interface MtrrState {
  /** Of each vCPU, the registers that were written. */
  readonly vcpus: readonly (readonly (readonly [number, bigint])[])[];
}

export class Mtrrs {
  readonly #physicalBits: number;
  #vcpus: Map<number, bigint>[];

  /** `physicalBits`: width of a guest-physical address, as CPUID tells it. */
  constructor(vcpus: number, physicalBits: number) {
    this.#physicalBits = physicalBits;
    this.#vcpus = Array.from({ length: vcpus }, () => new Map());
  }

  /** Undefined when `index` is no MTRR. */
  read(vcpu: number, index: number): bigint | undefined {
    if (index === MTRRCAP) return CAPABILITIES;
    if (index === MTRR_DEF_TYPE) return this.#vcpus[vcpu]?.get(index) ?? DEFAULT_TYPE;
    return this.#isRange(index) ? (this.#vcpus[vcpu]?.get(index) ?? 0n) : undefined;
  }

  /** False when the write is a general protection fault. */
  write(vcpu: number, index: number, value: bigint): boolean {
    if (!this.#isAllowed(index, value)) return false;
    this.#vcpus[vcpu]?.set(index, value);
    return true;
  }

  #isRange(index: number): boolean {
    return FIXED.includes(index) || (index >= MTRR_PHYSBASE0 && index < MTRR_PHYSBASE0 + 2 * VARIABLE_RANGES);
  }

  #isAllowed(index: number, value: bigint): boolean {
    if (index === MTRR_DEF_TYPE) return (value & ~DEF_TYPE_BITS) === 0n && isType(value & 0xffn);
    if (!this.#isRange(index)) return false;
    if (FIXED.includes(index))
      return [0n, 8n, 16n, 24n, 32n, 40n, 48n, 56n].every((at) => isType((value >> at) & 0xffn));
    if (value >> BigInt(this.#physicalBits) !== 0n) return false;
    const isBase = index % 2 === 0;
    return isBase
      ? (value & PHYSBASE_LOW_BITS) === 0n && isType(value & 0xffn)
      : (value & PHYSMASK_LOW_BITS) === 0n;
  }

  snapshot(): MtrrState {
    return { vcpus: this.#vcpus.map((registers) => [...registers]) };
  }

  restore(state: MtrrState): void {
    this.#vcpus = state.vcpus.map((registers) => new Map(registers));
  }
}
