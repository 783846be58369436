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

/** A vCPU of a 64-bit Linux, with something in each kind of register that a dump may have. */
export const STOPPED_KERNEL: MachineRegisters = registersWith({
  rip: 0xffffffff81a03db3n,
  rsp: 0xffffc9000001bb90n,
  r15: 15n,
  cs: { selector: 0x10, base: 0n, limit: 0xffffffff, attributes: 0xa09b },
  gs: { selector: 0, base: 0xffff888007a00000n, limit: 0, attributes: 0 },
  tr: { selector: 0x40, base: 0xfffffe0000003000n, limit: 0x4087, attributes: 0x8b },
  idtr: { base: 0xfffffe0000000000n, limit: 0xfff },
  cr0: 0x80050033n,
  cr3: 0x61aa000n,
  cr4: 0x1106b0n,
  efer: 0xd01n,
  lstar: 0xffffffff81c00080n,
  kernel_gs_base: 0x1234n,
  fxsave: Uint8Array.from({ length: 512 }, (_, index) => index & 0xff),
});
