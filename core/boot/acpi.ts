// The ACPI tables of a PVH guest: RSDP, XSDT, FADT, MADT, DSDT, FACS, much as libacpi makes them. Places them nowhere.
// Source: ACPI 6.4 §5.2, and the tables of a PVH guest on Xen 4.17
import {
  ACPI_DSDT,
  ACPI_FACS,
  ACPI_FADT,
  ACPI_LARGE_MADT,
  ACPI_MADT,
  ACPI_RSDP,
  ACPI_XSDT,
  apicId,
  GPE0_PORT,
  LAPIC_BASE,
  PM1A_CNT_PORT,
  PM1A_EVT_PORT,
  RESET_PORT,
} from './layout.ts';

const HEADER = 36;
const FACS_SIZE = 64;
const FADT_SIZE = 268;
const RSDP_SIZE = 36;
const SCI = 9;
const RESET_VALUE = 6;
/** Worst latencies that still say "no C2, no C3". */
const NO_CSTATE = 0x0fff;

/** FADT flags: WBINVD, PROC_C1, control-method power and sleep buttons, no RTC wake, 32-bit timer, reset register. */
const FADT_FLAGS = (1 << 0) | (1 << 2) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 8) | (1 << 10);
/** VGA not present, CMOS RTC not present: what Linux knows a PVH guest by. */
const IAPC_BOOT_ARCH = (1 << 2) | (1 << 5);

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Makes the bytes sum to zero by the one at `at`. */
function seal(bytes: Uint8Array, at: number): void {
  bytes[at] = 0;
  bytes[at] = -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}

/** A table with its header and checksum around `body`. */
function table(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER + body.length);
  const view = new DataView(bytes.buffer);
  bytes.set(ascii(signature), 0);
  view.setUint32(4, bytes.length, true);
  bytes[8] = revision;
  bytes.set(ascii('Xen\0\0\0'), 10);
  bytes.set(ascii('HVM\0\0\0\0\0'), 16);
  bytes.set(ascii('HVML'), 28);
  bytes.set(body, HEADER);
  seal(bytes, 9);
  return bytes;
}

function facs(): Uint8Array {
  const bytes = new Uint8Array(FACS_SIZE);
  bytes.set(ascii('FACS'), 0);
  bytes[4] = FACS_SIZE;
  bytes[32] = 1;
  return bytes;
}

/** Generic address structure of an I/O port register. */
function gas(view: DataView, at: number, port: number, bits: number): void {
  view.setUint8(at, 1);
  view.setUint8(at + 1, bits);
  view.setBigUint64(at + 4, BigInt(port), true);
}

function fadt(facsAddress: number, dsdtAddress: number): Uint8Array {
  const bytes = new Uint8Array(FADT_SIZE - HEADER);
  const body = new DataView(bytes.buffer);
  const at = (offset: number): number => offset - HEADER;
  body.setUint32(at(36), facsAddress, true);
  body.setUint32(at(40), dsdtAddress, true);
  body.setUint16(at(46), SCI, true);
  body.setUint32(at(56), PM1A_EVT_PORT, true);
  body.setUint32(at(64), PM1A_CNT_PORT, true);
  body.setUint32(at(80), GPE0_PORT, true);
  body.setUint8(at(88), 4); // PM1_EVT_LEN
  body.setUint8(at(89), 2); // PM1_CNT_LEN
  body.setUint8(at(92), 4); // GPE0_BLK_LEN
  body.setUint16(at(96), NO_CSTATE, true);
  body.setUint16(at(98), NO_CSTATE, true);
  body.setUint16(at(109), IAPC_BOOT_ARCH, true);
  body.setUint32(at(112), FADT_FLAGS, true);
  gas(body, at(116), RESET_PORT, 8);
  body.setUint8(at(128), RESET_VALUE);
  body.setBigUint64(at(132), BigInt(facsAddress), true);
  body.setBigUint64(at(140), BigInt(dsdtAddress), true);
  gas(body, at(148), PM1A_EVT_PORT, 32);
  gas(body, at(172), PM1A_CNT_PORT, 16);
  gas(body, at(220), GPE0_PORT, 32);
  return table('FACP', 5, bytes);
}

function madt(vcpus: number): Uint8Array {
  const ENTRY = 8;
  const bytes = new Uint8Array(8 + vcpus * ENTRY);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, LAPIC_BASE, true);
  // PCAT_COMPAT, as libacpi has it: without it Linux probes for an 8259 and numbers its interrupts differently.
  view.setUint32(4, 1, true);
  for (let vcpu = 0; vcpu < vcpus; vcpu++) {
    // Type 0: processor local APIC; the ACPI processor UID is the Xen vCPU number; enabled.
    bytes.set([0, ENTRY, vcpu, apicId(vcpu), 1, 0, 0, 0], 8 + vcpu * ENTRY);
  }
  return table('APIC', 2, bytes);
}

/** AML package length of `bytes` bytes that follow it (ACPI 6.4 §20.2.4); two-byte form. */
function packageLength(bytes: number): number[] {
  const total = bytes + 2;
  return [0x40 | (total & 0xf), total >> 4];
}

/** \_S5 for powering off, and one Processor object a vCPU. */
function dsdt(vcpus: number): Uint8Array {
  const s5 = [0x08, ...ascii('_S5_'), 0x12, 0x06, 4, 0, 0, 0, 0];
  const processors = Array.from({ length: vcpus }, (_, vcpu) => {
    const name = ascii(`PR${vcpu.toString(16).toUpperCase().padStart(2, '0')}`);
    // Without a P_BLK: no throttling, no C states but HLT.
    const body = [...name, vcpu, 0, 0, 0, 0, 0];
    return [0x5b, 0x83, ...packageLength(body.length), ...body];
  }).flat();
  const scopeBody = [...ascii('\\_SB_'), ...processors];
  return table('DSDT', 5, Uint8Array.from([...s5, 0x10, ...packageLength(scopeBody.length), ...scopeBody]));
}

function xsdt(addresses: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(8 * addresses.length);
  const view = new DataView(bytes.buffer);
  addresses.forEach((address, i) => {
    view.setBigUint64(8 * i, BigInt(address), true);
  });
  return table('XSDT', 1, bytes);
}

function rsdp(xsdtAddress: number): Uint8Array {
  const bytes = new Uint8Array(RSDP_SIZE);
  const view = new DataView(bytes.buffer);
  bytes.set(ascii('RSD PTR '), 0);
  bytes.set(ascii('Xen\0\0\0'), 9);
  bytes[15] = 2;
  view.setUint32(20, RSDP_SIZE, true);
  view.setBigUint64(24, BigInt(xsdtAddress), true);
  seal(bytes.subarray(0, 20), 8);
  seal(bytes, 32);
  return bytes;
}

/** Bytes for one guest-physical address. */
export interface Placed {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** All tables for `vcpus` vCPUs (1 to 32) at their places, the RSDP last. */
export function acpiTables(vcpus: number): Placed[] {
  const processors = madt(vcpus);
  const madtAddress = ACPI_MADT + processors.length <= ACPI_XSDT ? ACPI_MADT : ACPI_LARGE_MADT;
  return [
    { address: ACPI_FACS, bytes: facs() },
    { address: ACPI_DSDT, bytes: dsdt(vcpus) },
    { address: ACPI_FADT, bytes: fadt(ACPI_FACS, ACPI_DSDT) },
    { address: madtAddress, bytes: processors },
    { address: ACPI_XSDT, bytes: xsdt([ACPI_FADT, madtAddress]) },
    { address: ACPI_RSDP, bytes: rsdp(ACPI_XSDT) },
  ];
}
