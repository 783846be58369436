// hvm_start_info with its module list, memory map and command line as one block of bytes. Places it nowhere.
// Source: xen/include/public/arch-x86/hvm/start_info.h
import {
  hvm_memmap_table_entry,
  hvm_modlist_entry,
  hvm_start_info,
  XEN_HVM_START_MAGIC_VALUE,
} from '../xen/abi/start-info.ts';
import type { MemoryRange } from './layout.ts';

export interface StartInfoOptions {
  /** Guest-physical address that the block will have. */
  readonly address: number;
  /** Without a NUL. */
  readonly cmdline: Uint8Array;
  readonly ramdisk?: { readonly address: number; readonly bytes: number } | undefined;
  readonly rsdp: number;
  readonly memoryMap: readonly MemoryRange[];
}

/** The block; room for one module is kept whether there is one or not. */
export function startInfoBlock(options: StartInfoOptions): Uint8Array {
  const { address, cmdline, ramdisk, memoryMap } = options;
  const modlist = 64;
  const memmap = modlist + hvm_modlist_entry.size;
  const text = memmap + memoryMap.length * hvm_memmap_table_entry.size;
  const block = new Uint8Array(text + cmdline.length + 1);
  const view = new DataView(block.buffer);
  const u64 = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);

  view.setUint32(hvm_start_info.magic, XEN_HVM_START_MAGIC_VALUE, true);
  view.setUint32(hvm_start_info.version, 1, true);
  view.setUint32(hvm_start_info.nr_modules, ramdisk === undefined ? 0 : 1, true);
  if (ramdisk !== undefined) {
    u64(hvm_start_info.modlist_paddr, address + modlist);
    u64(modlist + hvm_modlist_entry.paddr, ramdisk.address);
    u64(modlist + hvm_modlist_entry.size_field, ramdisk.bytes);
  }
  u64(hvm_start_info.cmdline_paddr, address + text);
  u64(hvm_start_info.rsdp_paddr, options.rsdp);
  u64(hvm_start_info.memmap_paddr, address + memmap);
  view.setUint32(hvm_start_info.memmap_entries, memoryMap.length, true);
  memoryMap.forEach((range, i) => {
    const at = memmap + i * hvm_memmap_table_entry.size;
    u64(at + hvm_memmap_table_entry.addr, range.address);
    u64(at + hvm_memmap_table_entry.size_field, range.bytes);
    view.setUint32(at + hvm_memmap_table_entry.type, range.type, true);
  });
  block.set(cmdline, text);
  return block;
}
