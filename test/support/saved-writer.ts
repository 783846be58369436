// Writes small saved domains as `xl save` does (docs/specs/libxl-migration-stream.pandoc, libxc-migration-stream.pandoc) for tests.
import { writeHvmCpu } from '../../core/dump/vcpu-context.ts';
import type { VcpuRegisters } from '../../core/machine/registers.ts';

/** Types of records of libxc's stream. */
export const SAVED_RECORDS = {
  END: 0,
  PAGE_DATA: 1,
  X86_PV_INFO: 2,
  X86_PV_VCPU_BASIC: 4,
  TSC_INFO: 8,
  HVM_CONTEXT: 9,
  CHECKPOINT: 14,
  STATIC_DATA_END: 16,
} as const;

/** A record of libxc's stream, or of libxl's: the two look alike. */
export function savedRecord(type: number, body: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(8 + Math.ceil(body.length / 8) * 8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, body.length, true);
  bytes.set(body, 8);
  return bytes;
}

/** A page of the stream. One without bytes has type 15 (XTAB): the guest has it no more. */
export interface SavedPage {
  readonly pfn: number;
  readonly type?: number;
  readonly bytes?: Uint8Array;
}

export function pageDataRecord(pages: readonly SavedPage[]): Uint8Array {
  const table = new Uint8Array(8 + pages.length * 8);
  const view = new DataView(table.buffer);
  view.setUint32(0, pages.length, true);
  pages.forEach(({ pfn, bytes, type = bytes ? 0 : 15 }, index) => {
    view.setBigUint64(8 + index * 8, (BigInt(type) << 60n) | BigInt(pfn), true);
  });
  const data = pages.flatMap(({ bytes }) => bytes ?? []);
  return savedRecord(SAVED_RECORDS.PAGE_DATA, Buffer.concat([table, ...data]));
}

function hvmRecord(type: number, instance: number, body: Uint8Array): Uint8Array {
  const head = new Uint8Array(8);
  const view = new DataView(head.buffer);
  view.setUint16(0, type, true);
  view.setUint16(2, instance, true);
  view.setUint32(4, body.length, true);
  return Buffer.concat([head, body]);
}

/** State of an HVM guest as Xen saves it. @param vcpus undefined for one that is down: it has a LAPIC and no CPU record. */
export function hvmContextRecord(vcpus: readonly (VcpuRegisters | undefined)[]): Uint8Array {
  const header = new Uint8Array(24);
  new DataView(header.buffer).setUint32(0, 0x54381286, true);
  const body = Buffer.concat([
    hvmRecord(1, 0, header),
    ...vcpus.flatMap((registers, id) => (registers ? [hvmRecord(2, id, writeHvmCpu(registers))] : [])),
    ...vcpus.map((_, id) => hvmRecord(5, id, new Uint8Array(24))),
    hvmRecord(0, 0, new Uint8Array(0)),
  ]);
  return savedRecord(SAVED_RECORDS.HVM_CONTEXT, body);
}

export interface SavedInput {
  /** All records of libxc's stream but the last. */
  readonly records: readonly Uint8Array[];
  readonly pv?: boolean;
  readonly version?: number;
  /** What is around libxc's stream. */
  readonly around?: 'xl' | 'libxl' | 'nothing';
  readonly config?: string;
}

function bigEndian(size: number, fields: readonly (readonly [at: number, value: number])[]): Uint8Array {
  const bytes = new Uint8Array(size);
  for (const [at, value] of fields) new DataView(bytes.buffer).setUint32(at, value);
  return bytes;
}

function xlHeader(config: string): Uint8Array {
  const text = new TextEncoder().encode(`${config}\0`);
  const header = new Uint8Array(52);
  header.set(new TextEncoder().encode('Xen saved domain, xl format\n \0 \r'));
  const view = new DataView(header.buffer);
  [0x01020304, 3, 0, text.length + 4, text.length].forEach((value, index) => {
    view.setUint32(32 + index * 4, value, true);
  });
  return Buffer.concat([header, text]);
}

export function writeSaved(input: SavedInput): Uint8Array {
  const { records, pv = false, version = 3, around = 'xl' } = input;
  const { config = '{"c_info":{"type":"pvh","name":"web","uuid":"12345678-0000-4000-8000-000000000000"}}' } =
    input;
  const domain = new Uint8Array(16);
  const view = new DataView(domain.buffer);
  view.setUint32(0, pv ? 1 : 2, true);
  view.setUint16(4, 12, true);
  view.setUint32(8, 4, true);
  view.setUint32(12, 17, true);
  const image = bigEndian(24, [
    [0, 0xffffffff],
    [4, 0xffffffff],
    [8, 0x58454e46],
    [12, version],
  ]);
  const libxl = bigEndian(16, [
    [0, 0x4c696278],
    [4, 0x6c466d74],
    [8, 2],
  ]);
  const parts = [
    ...(around === 'xl' ? [xlHeader(config)] : []),
    ...(around === 'nothing' ? [] : [libxl, savedRecord(1)]),
    ...[image, domain, ...records, savedRecord(SAVED_RECORDS.END)],
    ...(around === 'nothing' ? [] : [savedRecord(0)]),
  ];
  return new Uint8Array(Buffer.concat(parts)); // a Buffer's slice() would be no copy
}
