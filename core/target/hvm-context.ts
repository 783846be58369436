// vCPUs in the state of an HVM guest as Xen saves it (xen/include/public/arch-x86/hvm/save.h): a chain of records, of which those of
// CPUs are read. Devices are skipped.
import { ByteReader, type ByteSource } from '../../symbols/bytes.ts';
import { HVM_CPU_SIZE, readHvmCpu } from '../dump/vcpu-context.ts';
import type { TargetVcpu } from './target.ts';

const DESCRIPTOR_SIZE = 8;
const END = 0;
const HEADER = 1;
const CPU = 2;
/** Every vCPU has one, also those that are down, which have no CPU record. */
const LAPIC = 5;
const HVM_FILE_MAGIC = 0x54381286;
const MAX_VCPUS = 512;
/** Xen knows twenty types of record. */
const MAX_RECORDS: number = MAX_VCPUS * 64;

/**
 * vCPUs in the order of their numbers, as far as the bytes go.
 * @throws FormatError when it is no such state, or a record leaves it.
 */
export function readHvmContext(source: ByteSource, offset: number, length: number): TargetVcpu[] {
  const vcpus = new Map<number, TargetVcpu>();
  const size = Math.min(length, source.size - offset);
  for (let at = 0, count = 0; at + DESCRIPTOR_SIZE <= size; count++) {
    const place = offset + at;
    const descriptor = new ByteReader(source.name, source.read(place, DESCRIPTOR_SIZE), place);
    const [type, id, bytes] = [descriptor.u16(), descriptor.u16(), descriptor.u32()];
    if ((count === 0) !== (type === HEADER) || count > MAX_RECORDS)
      throw descriptor.error(`record of type ${type} at place ${count} of a HVM context`);
    if (type === END) break;
    const body = at + DESCRIPTOR_SIZE;
    if (body + bytes > length) throw descriptor.error(`HVM record of 0x${bytes.toString(16)} bytes`);
    if (body + bytes > size) break;
    if (type === HEADER) checkHeader(source, place + DESCRIPTOR_SIZE, bytes);
    if ((type === CPU || type === LAPIC) && id >= MAX_VCPUS) throw descriptor.error(`vCPU ${id}`);
    if (type === CPU) vcpus.set(id, readCpu(source, id, place + DESCRIPTOR_SIZE, bytes));
    else if (type === LAPIC && !vcpus.has(id))
      vcpus.set(id, { id, online: false, missing: 'it was down, and Xen saves nothing of such a vCPU' });
    at = body + bytes;
  }
  return [...vcpus.values()].sort((a, b) => a.id - b.id);
}

function checkHeader(source: ByteSource, offset: number, length: number): void {
  const header = new ByteReader(source.name, source.read(offset, Math.min(length, 4)), offset);
  if (header.u32() !== HVM_FILE_MAGIC) throw header.error('HVM context of another format');
}

function readCpu(source: ByteSource, id: number, offset: number, length: number): TargetVcpu {
  if (length < HVM_CPU_SIZE)
    return { id, online: true, missing: `its record has ${length} bytes: saved by Xen before 4.7` };
  return { id, online: true, registers: readHvmCpu(source.read(offset, HVM_CPU_SIZE)) };
}
