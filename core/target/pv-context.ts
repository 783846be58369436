// vCPUs of PV guests in a dump-core file: what differs from HVM in the 64-bit record, and the 32-bit record
// (xen/include/public/arch-x86/xen.h and xen-x86_32.h). Physical addresses of such a target are machine addresses: those of its
// page tables.
import type { VcpuRegisters } from '../machine/registers.ts';

/** vcpu_guest_context of a 32-bit guest. */
export const VCPU_CONTEXT_32_SIZE = 2800;

/** What no file has of a PV guest. */
export const PV_LACKS_REGISTERS = [
  'CR0 and CR4: Xen keeps only some bits of them for a PV guest',
  'EFER, descriptor tables and MSRs: not in a file of a PV guest',
] as const;

export const PV_LACKS: readonly string[] = [
  ...PV_LACKS_REGISTERS,
  'pseudo-physical addresses: physical ones are the machine addresses that the page tables of a PV guest hold',
];

const CR0_PG = 1n << 31n;
const CR4_PAE = 1n << 5n;

interface Vcpu {
  readonly registers: VcpuRegisters;
  readonly online: boolean;
}

/** A PV guest always pages, whatever stands in the bits of CR0 that Xen keeps for it. */
export function pvVcpu({ registers, online }: Vcpu): Vcpu {
  const { cr0, cr4 } = registers;
  const has = (value: bigint | undefined, bit: bigint) => ((value ?? 0n) & bit) !== 0n;
  return {
    online,
    registers: {
      ...registers,
      cr0: has(cr0, CR0_PG) ? cr0 : undefined,
      cr4: has(cr4, CR4_PAE) ? cr4 : undefined,
    },
  };
}

const FLAGS = 512;
const VGCF_ONLINE = 1 << 5;
const USER_REGS = 516;
const CTRLREG = 2716;
const DEBUGREG = 2748;

/** Registers of one vCPU of a 32-bit PV guest, which always uses PAE. @param context VCPU_CONTEXT_32_SIZE bytes. */
export function readVcpu32(context: Uint8Array): Vcpu {
  const view = new DataView(context.buffer, context.byteOffset, context.byteLength);
  const word = (at: number): bigint => BigInt(view.getUint32(at, true));
  const user = (index: number): bigint => word(USER_REGS + index * 4);
  const segment = (index: number) => ({ selector: Number(user(index) & 0xffffn) });
  const none = 0n;
  // The frame number's upper bits are rotated into the low ones: xen_pfn_to_cr3.
  const cr3 = word(CTRLREG + 12);
  const frame = (cr3 >> 12n) | ((cr3 & 0xfffn) << 20n);
  return {
    online: (view.getUint32(FLAGS, true) & VGCF_ONLINE) !== 0,
    registers: {
      ...{ rbx: user(0), rcx: user(1), rdx: user(2), rsi: user(3), rdi: user(4), rbp: user(5), rax: user(6) },
      ...{ r8: none, r9: none, r10: none, r11: none, r12: none, r13: none, r14: none, r15: none },
      ...{ rip: user(8), cs: segment(9), rflags: user(10), rsp: user(11), ss: segment(12) },
      ...{ es: segment(13), ds: segment(14), fs: segment(15), gs: segment(16) },
      cr2: word(CTRLREG + 8),
      cr3: frame << 12n,
      ...{ dr0: word(DEBUGREG), dr1: word(DEBUGREG + 4), dr2: word(DEBUGREG + 8), dr3: word(DEBUGREG + 12) },
      ...{ dr6: word(DEBUGREG + 24), dr7: word(DEBUGREG + 28) },
      cr4: word(CTRLREG + 16) | CR4_PAE,
    },
  };
}
