// VcpuRegisters for tests: all zero but what the test names.
import {
  GENERAL_REGISTERS,
  type MachineRegisters,
  type VcpuRegisters,
} from '../../core/machine/registers.ts';

const zeros = Object.fromEntries(GENERAL_REGISTERS.map((name) => [name, 0n])) as Pick<
  VcpuRegisters,
  (typeof GENERAL_REGISTERS)[number]
>;

export function registersWith(values: Partial<MachineRegisters>): MachineRegisters {
  const flat = { selector: 0 };
  return {
    ...zeros,
    rip: 0n,
    rflags: 2n,
    cs: flat,
    ss: flat,
    ds: flat,
    es: flat,
    fs: flat,
    gs: flat,
    cr0: 0n,
    cr2: 0n,
    cr3: 0n,
    cr4: 0n,
    ...values,
  };
}
