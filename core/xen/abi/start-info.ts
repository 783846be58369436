// hvm_start_info version 1 and the tables that it points to. Data only.
// Source: xen/include/public/arch-x86/hvm/start_info.h

export const XEN_HVM_START_MAGIC_VALUE = 0x336ec578;

export const hvm_start_info = {
  magic: 0,
  version: 4,
  flags: 8,
  nr_modules: 12,
  modlist_paddr: 16,
  cmdline_paddr: 24,
  rsdp_paddr: 32,
  memmap_paddr: 40,
  memmap_entries: 48,
  size: 56,
} as const;

export const hvm_modlist_entry = { paddr: 0, size_field: 8, cmdline_paddr: 16, size: 32 } as const;
export const hvm_memmap_table_entry = { addr: 0, size_field: 8, type: 16, size: 24 } as const;

export const XEN_HVM_MEMMAP_TYPE_RAM = 1;
export const XEN_HVM_MEMMAP_TYPE_RESERVED = 2;
export const XEN_HVM_MEMMAP_TYPE_ACPI = 3;
