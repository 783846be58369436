// How far a guest's kernel runs from where its file is linked (KASLR), and where it lies in physical memory. Every guess is checked
// against the guest's memory. Source: linux v6.1 arch/x86/boot/compressed/kaslr.c, arch/x86/include/asm/page_64_types.h
import { type AddressOf, KERNEL_IMAGE_END, KERNEL_IMAGE_START } from '../address.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import type { MemorySource } from '../memory.ts';
import { fileBuildId, guestBuildId, releaseAt } from './identity.ts';

/** What is known of the kernel's file. */
export interface LinkedKernel {
  /** Where the file says that a symbol is. */
  readonly addressOf: AddressOf;
  readonly elf?: ElfFile | undefined;
}

/** What the guest tells of itself, as far as somebody has found it. */
export interface RunningKernel {
  readonly memory: MemorySource;
  /** Symbols where they are: the kallsyms in memory. */
  readonly addressOf?: AddressOf | undefined;
  /** KERNELOFFSET of its VMCOREINFO. */
  readonly kernelOffset?: bigint | undefined;
}

/** The image moves in steps of CONFIG_PHYSICAL_ALIGN, 2 MiB at least. */
const STEP = 2n << 20n;
const RANGE = KERNEL_IMAGE_END - KERNEL_IMAGE_START;

/** Tells whether the guest's kernel is where the file says, moved by a slide: by its build-id, or its banner where that is all. */
function checker({ elf, addressOf }: LinkedKernel, { memory }: RunningKernel): (slide: bigint) => boolean {
  const buildId = elf && fileBuildId(elf);
  if (elf && buildId !== undefined) return (slide) => guestBuildId(elf, memory, slide) === buildId;
  const banner = addressOf('linux_banner');
  return (slide) => banner !== undefined && releaseAt(memory, banner + slide) !== undefined;
}

function* guesses(linked: LinkedKernel, { addressOf, kernelOffset }: RunningKernel): Generator<bigint> {
  yield 0n;
  for (const name of ['_stext', '_text']) {
    const [runs, is] = [addressOf?.(name), linked.addressOf(name)];
    if (runs !== undefined && is !== undefined) yield runs - is;
  }
  if (kernelOffset !== undefined) yield kernelOffset;
  for (let slide = STEP; slide < RANGE; slide += STEP) yield slide;
}

/**
 * Bytes by which the image runs above where the file is linked; 0 without KASLR. Undefined when the file's kernel is nowhere: the
 * guest runs another one, or the memory that would show it cannot be read.
 */
export function kernelSlide(linked: LinkedKernel, running: RunningKernel): bigint | undefined {
  const lies = checker(linked, running);
  for (const slide of guesses(linked, running)) if (lies(slide)) return slide;
  return undefined;
}

/**
 * phys_base: physical address of the image's mapping less its virtual one; 0 when it lies where it is linked.
 * @param address a symbol of the image where it runs. @param physical where the page tables say that it is.
 */
export const physicalBase = (address: bigint, physical: number): bigint =>
  BigInt(physical) - (address - KERNEL_IMAGE_START);
