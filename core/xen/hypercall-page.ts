// The page of entry stubs that older guests call hypercalls through.
// Source: xen/arch/x86/hvm/vmx/vmx.c, svm/svm.c (hypercall page layout), xen/include/public/arch-x86/cpuid.h
import { __HYPERVISOR_iret } from './abi/xen.ts';

/** Base of the MSRs that CPUID leaf 0x40000002 names: writing a gpa fills that page. */
export const HYPERCALL_MSR = 0x4000_0000;

const SLOT = 32;
const VMCALL = [0x0f, 0x01, 0xc1];
const VMMCALL = [0x0f, 0x01, 0xd9];
const INT3 = 0xcc;

/** 128 slots of `mov $n, %eax; vmcall; ret`; the slot of iret, which no HVM guest may call, is ud2. */
export function hypercallPage(vendor: 'GenuineIntel' | 'AuthenticAMD'): Uint8Array {
  const page = new Uint8Array(4096).fill(INT3);
  const call = vendor === 'AuthenticAMD' ? VMMCALL : VMCALL;
  for (let n = 0; n < page.length / SLOT; n++)
    page.set(n === __HYPERVISOR_iret ? [0x0f, 0x0b] : [0xb8, n, 0, 0, 0, ...call, 0xc3], n * SLOT);
  return page;
}
