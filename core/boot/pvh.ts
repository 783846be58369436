// Loads a PVH guest: kernel, initrd, start_info, ACPI tables, and the registers of the first vCPU. Runs nothing.
// Source: xen/docs/misc/pvh.pandoc, xen/include/public/arch-x86/hvm/start_info.h
import type { ByteSource } from '../../symbols/bytes.ts';
import { memorySource } from '../../symbols/bytes.ts';
import { PT_LOAD } from '../../symbols/elf/constants.ts';
import { type ElfFile, isElf, openElf } from '../../symbols/elf/elf-file.ts';
import { buildIdOf, readNotes, XEN_ELFNOTE_PHYS32_ENTRY, xenNote } from '../../symbols/elf/notes.ts';
import { FormatError, PvhError } from '../../symbols/errors.ts';
import { isBzImage, unpackBzImage } from '../../symbols/kernel/bzimage.ts';
import type { Codecs } from '../../symbols/kernel/decompress.ts';
import type { Machine } from '../machine/machine.ts';
import type { Segment } from '../machine/registers.ts';
import { acpiTables } from './acpi.ts';
import { ACPI_BASE, ACPI_RSDP, memoryMap, PAGE_SIZE } from './layout.ts';
import { startInfoBlock } from './start-info.ts';

/** Longer command lines are cut by no kernel that we know, but fill memory: Linux takes 2048. */
const MAX_CMDLINE = 4096;
const CHUNK = 1 << 20;
const MiB = 1 << 20;

/** A guest that cannot be built: the message says what to change. */
export class BootError extends PvhError {
  constructor(message: string, options?: ErrorOptions) {
    super('EBOOT', message, options);
  }
}

export interface BootOptions {
  /** vmlinux ELF or bzImage; an ELF is read piece by piece. */
  readonly kernel: ByteSource;
  readonly ramdisk?: ByteSource | undefined;
  readonly cmdline: string;
  readonly codecs: Codecs;
}

/** Where everything went, in guest-physical bytes. */
export interface BootInfo {
  readonly format: 'elf' | 'bzimage';
  readonly entry: number;
  readonly kernelStart: number;
  readonly kernelEnd: number;
  readonly startInfo: number;
  readonly ramdisk?: { readonly address: number; readonly bytes: number } | undefined;
  /** GNU build-id of the kernel, lower-case hex. */
  readonly buildId: string | undefined;
}

/**
 * Builds the guest in `machine`, whose RAM is untouched so far.
 * @throws BootError when the kernel is none for PVH or memory is too small; FormatError when a file is damaged.
 */
export function buildPvhGuest(machine: Machine, options: BootOptions): BootInfo {
  const { kernel } = options;
  const packed = !isElf(kernel) && isBzImage(kernel);
  if (!packed && !isElf(kernel)) throw new BootError(`${kernel.name}: neither an ELF file nor a bzImage`);
  const elf = openElf(packed ? memorySource(kernel.name, unpackBzImage(kernel, options.codecs)) : kernel);
  const notes = readNotes(elf);
  const entry = entryPoint(elf, xenNote(notes, XEN_ELFNOTE_PHYS32_ENTRY));
  const { start, end } = loadSegments(machine, elf);
  const startInfo = pageAbove(end);
  const cmdline = new TextEncoder().encode(options.cmdline);
  if (cmdline.length > MAX_CMDLINE)
    throw new BootError(`command line of ${cmdline.length} bytes: at most ${MAX_CMDLINE}`);
  const block = (ramdisk?: { address: number; bytes: number }): Uint8Array =>
    startInfoBlock({
      address: startInfo,
      cmdline,
      ramdisk,
      rsdp: ACPI_RSDP,
      memoryMap: memoryMap(machine.ramBytes),
    });
  // With or without a module entry: the block's size does not depend on its content otherwise.
  const ramdiskAddress = pageAbove(startInfo + block({ address: 0, bytes: 0 }).length);
  if (ramdiskAddress > machine.ramBytes) throw tooSmall(machine, ramdiskAddress, 'kernel');
  const ramdisk = options.ramdisk && loadRamdisk(machine, options.ramdisk, ramdiskAddress, options.codecs);
  machine.write(startInfo, block(ramdisk));
  placeAcpi(machine);
  setEntryState(machine, entry, startInfo);
  return {
    format: packed ? 'bzimage' : 'elf',
    entry,
    kernelStart: start,
    kernelEnd: end,
    startInfo,
    ramdisk,
    buildId: buildIdOf(notes),
  };
}

const pageAbove = (address: number): number => Math.ceil(address / PAGE_SIZE) * PAGE_SIZE;

const tooSmall = (machine: Machine, needed: number, what: string): BootError =>
  new BootError(
    `guest memory of ${machine.ramBytes / MiB} MiB is too small for the ${what}: ` +
      `it needs ${Math.ceil(needed / MiB)} MiB at least`,
  );

/** @throws BootError for a kernel that is not made for PVH. */
function entryPoint(elf: ElfFile, note: Uint8Array | undefined): number {
  const { name } = elf.source;
  if (note === undefined)
    throw new BootError(
      `${name}: no PVH entry point (ELF note Xen, type 18, PHYS32_ENTRY). A Linux kernel has it when it was ` +
        'configured with CONFIG_PVH=y or CONFIG_XEN_PVH=y',
    );
  if (note.length !== 4 && note.length !== 8)
    throw new FormatError(`PHYS32_ENTRY note of ${note.length} bytes`, { source: name });
  const view = new DataView(note.buffer, note.byteOffset, note.byteLength);
  const entry = note.length === 4 ? BigInt(view.getUint32(0, true)) : view.getBigUint64(0, true);
  if (entry >= 1n << 32n) throw new FormatError('PHYS32_ENTRY is above 4 GiB', { source: name });
  return Number(entry);
}

/** Copies every PT_LOAD to its physical address; RAM is zero already where a segment has no bytes in the file. */
function loadSegments(machine: Machine, elf: ElfFile): { start: number; end: number } {
  const { source } = elf;
  const loads = elf.segments.filter((segment) => segment.type === PT_LOAD && segment.memorySize > 0);
  if (loads.length === 0) throw new FormatError('no segment to load', { source: source.name });
  let start = Number.POSITIVE_INFINITY;
  let end = 0;
  let total = 0;
  for (const { physicalAddress, fileSize, memorySize } of loads) {
    if (physicalAddress >= 1n << 32n || fileSize > memorySize)
      throw new FormatError(`segment at 0x${physicalAddress.toString(16)} cannot be loaded`, {
        source: source.name,
      });
    start = Math.min(start, Number(physicalAddress));
    end = Math.max(end, Number(physicalAddress) + memorySize);
    total += memorySize;
  }
  if (end > machine.ramBytes) throw tooSmall(machine, end, 'kernel');
  // Segments that overlap would let a small file make us copy for ever.
  if (total > machine.ramBytes) throw new FormatError('segments overlap', { source: source.name });
  for (const { physicalAddress, offset, fileSize } of loads)
    copy(machine, source, offset, fileSize, Number(physicalAddress));
  return { start, end };
}

function copy(machine: Machine, source: ByteSource, offset: number, bytes: number, to: number): void {
  for (let done = 0; done < bytes; done += CHUNK)
    machine.write(to + done, source.read(offset + done, Math.min(CHUNK, bytes - done)));
}

function loadRamdisk(
  machine: Machine,
  file: ByteSource,
  address: number,
  codecs: Codecs,
): { address: number; bytes: number } {
  const room = machine.ramBytes - address;
  if (file.size > room) throw tooSmall(machine, address + file.size, 'kernel and ramdisk');
  const unpacked = unpackRamdisk(file, room, codecs);
  if (unpacked !== undefined) machine.write(address, unpacked);
  else copy(machine, file, 0, file.size, address);
  return { address, bytes: unpacked?.length ?? file.size };
}

/** As libxl does, a gzip ramdisk is unpacked for the guest; when that cannot be, the guest gets it as it is. */
function unpackRamdisk(file: ByteSource, room: number, codecs: Codecs): Uint8Array | undefined {
  if (codecs.gzip === undefined || file.size < 18) return undefined;
  const [a, b] = file.read(0, 2);
  if (a !== 0x1f || b !== 0x8b) return undefined;
  const trailer = file.read(file.size - 4, 4);
  const size = new DataView(trailer.buffer, trailer.byteOffset, 4).getUint32(0, true);
  // Leave the guest room to unpack the archive into: twice its size.
  if (size < file.size || 2 * size > room) return undefined;
  try {
    const unpacked = codecs.gzip(file.read(0, file.size), size);
    return unpacked.length === size ? unpacked : undefined;
  } catch {
    return undefined; // damaged, or several members in one file: the kernel reads those itself
  }
}

function placeAcpi(machine: Machine): void {
  const pages = new Map<number, Uint8Array>();
  for (const { address, bytes } of acpiTables(machine.vcpuCount))
    bytes.forEach((byte, i) => {
      const gfn = Math.floor((address + i) / PAGE_SIZE);
      const page = pages.get(gfn) ?? new Uint8Array(PAGE_SIZE);
      page[(address + i) % PAGE_SIZE] = byte;
      pages.set(gfn, page);
    });
  // The whole region has to be there, the first page of libxl's layout too.
  for (let gfn = ACPI_BASE / PAGE_SIZE; gfn <= ACPI_RSDP / PAGE_SIZE; gfn++) {
    const frame = machine.allocateFrame();
    machine.frameView(frame).set(pages.get(gfn) ?? []);
    machine.mapFrame(gfn, frame);
  }
}

/** Source: xen/docs/misc/pvh.pandoc, and the initial context that Xen 4.17 gives a PVH guest. */
function setEntryState(machine: Machine, entry: number, startInfo: number): void {
  const flat = (attributes: number): Segment => ({ selector: 0, base: 0n, limit: 0xffff_ffff, attributes });
  const unusable: Segment = { selector: 0, base: 0n, limit: 0, attributes: 0x10000 };
  const data = flat(0xc093);
  machine.setRegisters(0, {
    rax: 0n,
    rbx: BigInt(startInfo),
    rcx: 0n,
    rdx: 0n,
    rsi: 0n,
    rdi: 0n,
    rbp: 0n,
    rsp: 0n,
    rip: BigInt(entry),
    rflags: 2n,
    cs: flat(0xc09b),
    ds: data,
    es: data,
    ss: data,
    fs: unusable,
    gs: unusable,
    ldtr: unusable,
    tr: { selector: 0, base: 0n, limit: 0x67, attributes: 0x8b },
    gdtr: { base: 0n, limit: 0 },
    idtr: { base: 0n, limit: 0 },
    cr0: 0x11n,
    cr2: 0n,
    cr3: 0n,
    cr4: 0n,
    efer: 0n,
  });
  machine.setState(0, 'running');
}
