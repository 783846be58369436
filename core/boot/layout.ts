// Every fixed guest-physical address of a PVH guest, and the memory map that follows from its RAM size.
// The places are libxl 4.17's, so that a guest's own log shows the same lines as on Xen.
import {
  XEN_HVM_MEMMAP_TYPE_ACPI,
  XEN_HVM_MEMMAP_TYPE_RAM,
  XEN_HVM_MEMMAP_TYPE_RESERVED,
} from '../xen/abi/start-info.ts';

export const PAGE_SIZE = 4096;

/** First page of the ACPI region; libxl keeps its info page here, ours is empty. */
export const ACPI_BASE = 0xfc00_0000;
export const ACPI_FACS = 0xfc00_1000;
export const ACPI_DSDT = 0xfc00_1040;
/** libxl's DSDT reaches nearly up to the FADT; ours is small. */
export const ACPI_FADT = 0xfc00_7d60;
export const ACPI_MADT = 0xfc00_7e70;
/** Where the MADT of more vCPUs than fit between ACPI_MADT and ACPI_XSDT goes. */
export const ACPI_LARGE_MADT = 0xfc00_6000;
export const ACPI_XSDT = 0xfc00_7f60;
export const ACPI_RSDP = 0xfc00_8000;
const ACPI_END = 0xfc00_8040;

export const LAPIC_BASE = 0xfee0_0000;

/** Eight pages that Xen and the toolstack share with the guest. */
const SPECIAL_PAGES = 0xfeff_8000;
const SPECIAL_PAGES_SIZE = 0x8000;
export const XENSTORE_GFN = 0xfeffc;
export const CONSOLE_GFN = 0xfefff;

/** PM1a event and control block, GPE block: I/O ports of the FADT. */
export const PM1A_EVT_PORT = 0xb000;
export const PM1A_CNT_PORT = 0xb004;
export const GPE0_PORT = 0xafe0;
export const RESET_PORT = 0xcf9;

/** Xen numbers local APICs by twice the vCPU. */
export const apicId = (vcpu: number): number => 2 * vcpu;

export interface MemoryRange {
  readonly address: number;
  readonly bytes: number;
  /** XEN_HVM_MEMMAP_TYPE_*. */
  readonly type: number;
}

/** What start_info and XENMEM_memory_map tell the guest. */
export function memoryMap(ramBytes: number): MemoryRange[] {
  return [
    { address: 0, bytes: ramBytes, type: XEN_HVM_MEMMAP_TYPE_RAM },
    { address: ACPI_BASE, bytes: ACPI_END - ACPI_BASE, type: XEN_HVM_MEMMAP_TYPE_ACPI },
    { address: SPECIAL_PAGES, bytes: SPECIAL_PAGES_SIZE, type: XEN_HVM_MEMMAP_TYPE_RESERVED },
  ];
}
