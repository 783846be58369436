// What is written into a memory dump of a target: CPUs as the guest numbers them, its own VMCOREINFO, where its memory is mapped.
// Writes nothing.

import type { VirtualRange, VmcoreCpu, VmcoreImage } from '../../core/dump/vmcore-image.ts';
import type { Target, TargetVcpu } from '../../core/target/target.ts';
import { VirtualMemory } from '../../core/target/virtual-memory.ts';
import { attempt } from '../../symbols/kernel/linux-memory.ts';
import type { GuestKernel } from '../shared/guest-kernel.ts';
import { runningCpu } from '../shared/unwinding.ts';

/** Mappings looked at and kept: tables can map as much as they like. */
const MAX_PAGES = 1 << 21;
const MAX_MAPPINGS = 32_000;
const MAX_TABLES = 2 ** 16;
const PAGE = 4096n;
/** struct new_utsname: six texts. */
const UTSNAME_SIZE = 6 * 65;

/** The kernel's half of a 64-bit address space. */
const KERNEL_HALF = 0xffff_8000_0000_0000n;
const KERNEL_HALF_5_LEVELS = 0xff00_0000_0000_0000n;
const END = 1n << 64n;

/**
 * Where Linux maps all memory when it is not moved: linux v6.1 Documentation/x86/x86_64/mm.rst for 4 and for 5 levels, and for 4
 * levels before d52888aa2753 (4.20).
 */
const DIRECT_MAPS: readonly bigint[] = [
  0xffff_8880_0000_0000n,
  0xff11_0000_0000_0000n,
  0xffff_8800_0000_0000n,
];

/** CPUs in the guest's order where it tells, else as the target counts them. */
function cpusOf(target: Target, kernel: GuestKernel): VmcoreCpu[] {
  const known = target.vcpus.map((vcpu) => ({ ...vcpu, ...ofGuest(vcpu, kernel) }));
  const numbers = new Set(known.map(({ cpu }) => cpu));
  // Numbers that lack or double, or that leave places empty, order nothing.
  const ordered = known.every(({ cpu }) => cpu !== undefined && cpu < known.length);
  if (ordered && numbers.size === known.length) known.sort((a, b) => (a.cpu ?? 0) - (b.cpu ?? 0));
  const last = known.findLastIndex(({ registers }) => registers !== undefined);
  return known.slice(0, last + 1).map(({ id, registers, pid = id + 1 }) => ({ registers, pid }));
}

function ofGuest(
  { registers }: TargetVcpu,
  kernel: GuestKernel,
): { cpu?: number | undefined; pid?: number | undefined } {
  if (!registers || !kernel.linux) return {};
  const { cpu, task } = runningCpu(kernel, registers);
  return { cpu: cpu.value, pid: task.value?.pid };
}

const translated = (memory: VirtualMemory, address: bigint): number | undefined =>
  attempt(() => memory.translate(address)).value;

/** Where physical 0 is in the kernel's mapping of all memory; tried with a frame, as its variable may not be there. */
export function directMapOf(target: Target, { linux, memory }: GuestKernel): bigint | undefined {
  if (!linux || !memory) return undefined;
  const variable = linux.linux.find('page_offset_base');
  const told = variable === undefined ? undefined : attempt(() => linux.linux.reader.u64(variable)).value;
  const largest = target.frames.reduce((best, run) => (run[1] > best[1] ? run : best), [0, 0]);
  const physical = largest[0] * Number(PAGE);
  const candidates = told === undefined ? DIRECT_MAPS : [told, ...DIRECT_MAPS];
  return candidates.find((base) => translated(memory, base + BigInt(physical)) === physical);
}

/** Joins pages that follow each other on both sides. */
class MappingList {
  readonly ranges: { virtual: bigint; physical: number; length: number }[] = [];
  /** Page tables that may still be looked at. */
  readonly walk = { tables: MAX_TABLES };
  #pages = 0;
  /** True when there is more than this keeps. */
  cut = false;

  /** @returns false when nothing more is taken. */
  add(virtual: bigint, physical: number, length: number): boolean {
    const last = this.ranges.at(-1);
    if (++this.#pages > MAX_PAGES) return this.#full();
    if (last && last.virtual + BigInt(last.length) === virtual && last.physical + last.length === physical) {
      last.length += length;
      return true;
    }
    if (this.ranges.length >= MAX_MAPPINGS) return this.#full();
    this.ranges.push({ virtual, physical, length });
    return true;
  }

  #full(): false {
    this.cut = true;
    return false;
  }
}

/** What a CPU's tables map of a part of its addresses. */
function addMapped(list: MappingList, memory: VirtualMemory, start: bigint, end: bigint): void {
  if (start >= end) return;
  for (const { address, length } of memory.mapped(start, end, list.walk)) {
    const physical = translated(memory, address);
    if (physical !== undefined && !list.add(address, physical, length)) return;
  }
  if (list.walk.tables < 0) list.cut = true;
}

/** A kernel's own mappings, without that of all memory. */
function kernelMappings(
  memory: VirtualMemory,
  directMap: bigint | undefined,
  memoryEnd: number,
): MappingList {
  const list = new MappingList();
  const half = memory.levels === 5 ? KERNEL_HALF_5_LEVELS : KERNEL_HALF;
  const after = directMap === undefined ? half : directMap + BigInt(memoryEnd);
  // Stacks, modules and the image lie above; the rest below is small.
  addMapped(list, memory, after, END);
  if (directMap !== undefined) addMapped(list, memory, half, directMap);
  return list;
}

/** All that the CPUs map; where two differ, the first is right. */
function allMappings(target: Target): MappingList {
  const list = new MappingList();
  const seen = new Set<bigint | undefined>();
  for (const { registers } of target.vcpus) {
    if (!registers || seen.has(registers.cr3)) continue;
    seen.add(registers.cr3);
    const memory = new VirtualMemory(target, registers);
    const half = 1n << BigInt(memory.levels === 5 ? 56 : 47);
    addMapped(list, memory, memory.levels === 5 ? KERNEL_HALF_5_LEVELS : KERNEL_HALF, END);
    addMapped(list, memory, 0n, half);
  }
  return list;
}

const hex = (value: bigint): string => BigInt.asUintN(64, value).toString(16);

/** The guest's VMCOREINFO, with what crash and drgn ask for and old kernels do not write. */
export function vmcoreinfoText(kernel: GuestKernel): string | undefined {
  const { linux, physicalBase, slide, memory, table } = kernel;
  if (!linux || !memory) return undefined;
  const lines = new Map(linux.vmcoreinfo?.keys);
  const add = (key: string, value: string | undefined): void => {
    if (value !== undefined && !lines.has(key)) lines.set(key, value);
  };
  const symbol = (name: string): void => {
    const address = table.addressOf(name);
    add(`SYMBOL(${name})`, address === undefined ? undefined : hex(address));
  };
  add('OSRELEASE', linux.facts().release.value);
  add('PAGESIZE', '4096');
  for (const name of ['init_uts_ns', 'swapper_pg_dir', '_stext']) symbol(name);
  // crash reads no key of what it cannot have: KERNELOFFSET came with 3.14, phys_base with 4.10, pgtable_l5_enabled with 4.17.
  add('KERNELOFFSET', slide === undefined ? undefined : hex(slide));
  add('NUMBER(phys_base)', physicalBase?.toString());
  add('NUMBER(pgtable_l5_enabled)', memory.levels === 5 ? '1' : '0');
  return [...lines].map(([key, value]) => `${key}=${value}\n`).join('');
}

/** What `uname` of the guest tells. */
function utsnameOf({ linux }: GuestKernel): Uint8Array | undefined {
  if (!linux) return undefined;
  const { linux: memory } = linux;
  return attempt(() => {
    const bytes = new Uint8Array(UTSNAME_SIZE);
    memory.reader.read(memory.address('init_uts_ns') + memory.offset('uts_namespace', 'name'), bytes);
    return bytes;
  }).value;
}

/** A dump's content, and what had to be left out of it. */
export interface TargetImage {
  readonly image: VmcoreImage;
  /** Sentences for the user. */
  readonly notes: readonly string[];
}

/** @param mapped whether the form of dump has room for virtual addresses. */
export function imageOf(target: Target, kernel: GuestKernel, mapped: boolean): TargetImage {
  const { linux, memory, physicalBase } = kernel;
  const [first, count] = target.frames.at(-1) ?? [0, 0];
  const directMap = directMapOf(target, kernel);
  const list = !mapped
    ? new MappingList()
    : linux && memory
      ? kernelMappings(memory, directMap, (first + count) * Number(PAGE))
      : allMappings(target);
  const panicCpu = linux?.facts().panicCpu.value;
  const notes = list.cut
    ? [
        `the guest's page tables were not followed beyond ${list.ranges.length} ranges: the rest has no virtual addresses in the file`,
      ]
    : [];
  return {
    notes,
    image: {
      cpus: cpusOf(target, kernel),
      memory: target,
      vmcoreinfo: vmcoreinfoText(kernel),
      utsname: utsnameOf(kernel),
      physicalBase,
      crashedCpu: typeof panicCpu === 'number' ? panicCpu : undefined,
      directMap,
      mappings: list.ranges satisfies VirtualRange[],
    },
  };
}
