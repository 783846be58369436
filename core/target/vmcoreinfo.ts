// The VMCOREINFO note (linux v6.1 Documentation/admin-guide/kdump/vmcoreinfo.rst): lines KEY=VALUE with which a kernel describes itself.
// Here: what of it leads to the page tables.
import { textUntilNul } from '../../symbols/bytes.ts';
import type { KernelPaging } from './target.ts';

/** arch/x86/include/asm/page_64_types.h: where the kernel image is mapped. */
const START_KERNEL_map = 0xffffffff80000000n;
const MAX_PHYSICAL = 1n << 52n;

export type Vmcoreinfo = ReadonlyMap<string, string>;

export function parseVmcoreinfo(descriptor: Uint8Array): Vmcoreinfo {
  const lines = textUntilNul(descriptor, 0).split('\n');
  return new Map(
    lines.flatMap((line) => {
      const at = line.indexOf('=');
      return at > 0 ? [[line.slice(0, at), line.slice(at + 1)] as const] : [];
    }),
  );
}

const decimal = (text: string | undefined): bigint | undefined =>
  text !== undefined && /^-?\d{1,20}$/.test(text) ? BigInt(text) : undefined;
const hexadecimal = (text: string | undefined): bigint | undefined =>
  text !== undefined && /^[0-9a-f]{1,16}$/.test(text) ? BigInt(`0x${text}`) : undefined;

/**
 * The kernel's own page tables, `swapper_pg_dir`.
 * @param physBase what the dump says beside the note: old kernels put only the address of phys_base into it.
 */
export function kernelPaging(info: Vmcoreinfo, physBase: bigint | undefined): KernelPaging | undefined {
  const table = hexadecimal(info.get('SYMBOL(swapper_pg_dir)'));
  const base = decimal(info.get('NUMBER(phys_base)')) ?? physBase;
  if (table === undefined || base === undefined) return undefined;
  const root = table - START_KERNEL_map + base;
  if (root < 0n || root >= MAX_PHYSICAL || (root & 0xfffn) !== 0n) return undefined;
  return { root: Number(root), levels: info.get('NUMBER(pgtable_l5_enabled)') === '1' ? 5 : 4 };
}
