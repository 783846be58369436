// The VMCOREINFO note of a dump, with which a kernel describes itself, and what of it leads to the page tables.
import { textUntilNul } from '../../symbols/bytes.ts';
import {
  decimalValue,
  hexValue,
  type VmcoreinfoLines,
  vmcoreinfoLines,
} from '../../symbols/kernel/vmcoreinfo-lines.ts';
import type { KernelPaging } from './target.ts';

/** arch/x86/include/asm/page_64_types.h: where the kernel image is mapped. */
const START_KERNEL_map = 0xffffffff80000000n;
const MAX_PHYSICAL = 1n << 52n;

/** @param descriptor of the note. */
export const parseVmcoreinfo = (descriptor: Uint8Array): VmcoreinfoLines =>
  vmcoreinfoLines(textUntilNul(descriptor, 0));

/**
 * The kernel's own page tables, `swapper_pg_dir`.
 * @param physBase what the dump says beside the note: old kernels put only the address of phys_base into it.
 */
export function kernelPaging(info: VmcoreinfoLines, physBase: bigint | undefined): KernelPaging | undefined {
  const table = hexValue(info.get('SYMBOL(swapper_pg_dir)'));
  const base = decimalValue(info.get('NUMBER(phys_base)')) ?? physBase;
  if (table === undefined || base === undefined) return undefined;
  const root = table - START_KERNEL_map + base;
  if (root < 0n || root >= MAX_PHYSICAL || (root & 0xfffn) !== 0n) return undefined;
  return { root: Number(root), levels: info.get('NUMBER(pgtable_l5_enabled)') === '1' ? 5 : 4 };
}
