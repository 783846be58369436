// Registers in the notes of memory dumps: NT_PRSTATUS (linux v6.1 include/linux/elfcore.h, arch/x86/include/asm/elf.h) and QEMU's own
// CPU state (qemu v7.2 target/i386/arch_dump.c). What a note does not have stays undefined.
import { ByteReader } from '../../symbols/bytes.ts';
import { GENERAL_REGISTERS, type Segment, type VcpuRegisters } from '../machine/registers.ts';

/** Bytes before the registers in NT_PRSTATUS, and how many registers there are. */
const PRSTATUS = {
  64: {
    offset: 112,
    names: [
      ...['r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8', 'rax', 'rcx', 'rdx', 'rsi'],
      ...[
        'rdi',
        'orig_rax',
        'rip',
        'cs',
        'rflags',
        'rsp',
        'ss',
        'fs_base',
        'gs_base',
        'ds',
        'es',
        'fs',
        'gs',
      ],
    ],
  },
  32: {
    offset: 72,
    names: [
      ...['rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rax', 'ds', 'es', 'fs', 'gs', 'orig_rax', 'rip', 'cs'],
      ...['rflags', 'rsp', 'ss'],
    ],
  },
} as const;

/** True when the note has the size that the registers of this width need. */
export const isPrstatus = (descriptor: Uint8Array, bits: 32 | 64): boolean =>
  descriptor.length >= PRSTATUS[bits].offset + (PRSTATUS[bits].names.length * bits) / 8;

/** Registers that a kernel wrote down of itself. @param descriptor of isPrstatus. */
export function readPrstatus(descriptor: Uint8Array, bits: 32 | 64): VcpuRegisters {
  const { offset, names } = PRSTATUS[bits];
  const reader = new ByteReader('NT_PRSTATUS', descriptor).seek(offset);
  const values = new Map<string, bigint>(
    names.map((name) => [name, bits === 64 ? reader.u64() : BigInt(reader.u32())]),
  );
  const value = (name: string): bigint => values.get(name) ?? 0n;
  const selector = (name: string): number => Number(value(name) & 0xffffn);
  const general = Object.fromEntries(GENERAL_REGISTERS.map((name) => [name, value(name)]));
  const inKernel = (selector('cs') & 3) === 0;
  // Linux stores the base of user mode, wherever the CPU was.
  const other = values.get('gs_base');
  return {
    ...(general as Pick<VcpuRegisters, (typeof GENERAL_REGISTERS)[number]>), // fromEntries forgets the keys
    rip: value('rip'),
    rflags: value('rflags'),
    cs: { selector: selector('cs') },
    ss: { selector: selector('ss') },
    ds: { selector: selector('ds') },
    es: { selector: selector('es') },
    fs: { selector: selector('fs'), base: values.get('fs_base') },
    gs: { selector: selector('gs'), base: inKernel ? undefined : other },
    kernel_gs_base: inKernel ? other : undefined,
  };
}

/** QEMUCPUState up to cr4; kernel_gs_base came later. */
const QEMU_STATE_SIZE = 432;

export const isQemuState = (descriptor: Uint8Array): boolean => descriptor.length >= QEMU_STATE_SIZE;

const QEMU_GENERAL = [
  ...['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rsp', 'rbp', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14'],
  ...['r15', 'rip', 'rflags'],
] as const;
const QEMU_SEGMENTS = ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'ldtr', 'tr', 'gdtr', 'idtr'] as const;

/** The second word of a descriptor has the attributes in bits 8-15 and 20-23, the VMCS in 0-7 and 12-15. */
const attributesOf = (flags: number): number => (flags >>> 8) & 0xf0ff;

/** Registers as QEMU has them of a vCPU. @param descriptor of isQemuState. */
export function readQemuState(descriptor: Uint8Array): VcpuRegisters {
  const reader = new ByteReader('QEMU', descriptor).skip(8);
  const general = Object.fromEntries(QEMU_GENERAL.map((name) => [name, reader.u64()]));
  const segments = Object.fromEntries(
    QEMU_SEGMENTS.map((name) => {
      const selector = reader.u32() & 0xffff;
      const limit = reader.u32();
      const attributes = attributesOf(reader.u32());
      return [name, { selector, limit, attributes, base: reader.skip(4).u64() }];
    }),
  ) as Record<(typeof QEMU_SEGMENTS)[number], Segment & { limit: number; base: bigint }>; // fromEntries forgets the keys
  const [cr0, , cr2, cr3, cr4] = [reader.u64(), reader.u64(), reader.u64(), reader.u64(), reader.u64()];
  const { gdtr, idtr, ...others } = segments;
  return {
    ...(general as Pick<VcpuRegisters, (typeof QEMU_GENERAL)[number]>), // likewise
    ...others,
    gdtr: { base: gdtr.base, limit: gdtr.limit },
    idtr: { base: idtr.base, limit: idtr.limit },
    ...{ cr0, cr2, cr3, cr4 },
    kernel_gs_base: reader.remaining >= 8 ? reader.u64() : undefined,
  };
}
