// An ELF file of a machine's memory as a Target: QEMU's dump-guest-memory, /proc/vmcore and `makedumpfile -E`.
// Compressed kdump files are kdump.ts, Xen's are dump-core.ts.
import type { ByteSource } from '../../symbols/bytes.ts';
import { PT_LOAD } from '../../symbols/elf/constants.ts';
import { type ElfFile, findSection, isElf, openElf } from '../../symbols/elf/elf-file.ts';
import { readNotes } from '../../symbols/elf/notes.ts';
import { FormatError } from '../../symbols/errors.ts';
import { disjointRuns, framesOf, type Run, readRuns } from './file-runs.ts';
import type { KernelPaging, Target, TargetIdentity, TargetVcpu } from './target.ts';
import { areMachineNotes, prstatusNotes, vmcoreFacts } from './vmcore-notes.ts';

/** Physical addresses end there; segments of addresses that have none say all ones. */
const MAX_PHYSICAL = 2 ** 52;
const START_KERNEL_map = 0xffffffff80000000n;
const MODULES_VADDR = 0xffffffffc0000000n;
/** makedumpfile: DUMP_ELF_INCOMPLETE of e_flags. */
const INCOMPLETE = 1;
const E_FLAGS = 48;

/** Why a file is no ELF memory dump; undefined when it is one. */
export function notElfVmcore(source: ByteSource): string | undefined {
  if (!isElf(source)) return 'not an ELF file';
  const elf = openElf(source);
  if (elf.type !== 'core') return `ELF file of type ${elf.type}, not core`;
  if (findSection(elf, '.note.Xen')) return 'has Xen sections';
  const loads = elf.segments.filter(({ type }) => type === PT_LOAD);
  if (loads.length === 0) return 'core file without memory (no PT_LOAD segment)';
  const notes = readNotes(elf);
  if (areMachineNotes(notes)) return undefined;
  if (prstatusNotes(notes).length === 0) return 'core file without a note of a CPU, of QEMU or of Linux';
  return loads.every(({ physicalAddress }) => physicalAddress === 0n)
    ? 'core of a process, not of a machine'
    : undefined;
}

/** PT_LOAD segments by physical address, as far as the file goes, and what is cut off. */
function memoryOf(elf: ElfFile, lacks: string[]): Run[] {
  const { source } = elf;
  let missing = 0;
  const runs = elf.segments.flatMap(({ type, physicalAddress, fileSize, offset }): Run[] => {
    if (type !== PT_LOAD || physicalAddress >= BigInt(MAX_PHYSICAL)) return [];
    const start = Number(physicalAddress);
    const length = Math.max(0, Math.min(fileSize, source.size - offset, MAX_PHYSICAL - start));
    missing += fileSize - length;
    return [{ start, length, offset }];
  });
  if (missing > 0)
    lacks.push(`memory: the file is cut off, 0x${missing.toString(16)} bytes of its segments are missing`);
  return disjointRuns(runs);
}

/** phys_base by the segment that maps the kernel image. */
function physBaseOf(elf: ElfFile): bigint | undefined {
  const image = elf.segments.find(
    ({ type, virtualAddress }) =>
      type === PT_LOAD && virtualAddress >= START_KERNEL_map && virtualAddress < MODULES_VADDR,
  );
  return image && image.physicalAddress - (image.virtualAddress - START_KERNEL_map);
}

function widthOf(elf: ElfFile): 32 | 64 {
  if (elf.machine === 'amd64') return 64;
  if (elf.machine === '386') return 32;
  throw new FormatError(`memory of a machine of type ${elf.machine}`, {
    source: elf.source.name,
    offset: 18,
  });
}

/** Target over an opened file. Use openElfVmcore. */
class ElfVmcoreTarget implements Target {
  readonly kind = 'elf-vmcore';
  readonly description: string;
  readonly identity: TargetIdentity = {};
  readonly vcpus: readonly TargetVcpu[];
  readonly lacks: readonly string[];
  readonly paging: KernelPaging | undefined;
  readonly frames: readonly (readonly [number, number])[];
  readonly #source: ByteSource;
  readonly #runs: readonly Run[];
  readonly #release: () => void;

  constructor(source: ByteSource, release: () => void, missing: readonly string[]) {
    const elf = openElf(source);
    const facts = vmcoreFacts(readNotes(elf), widthOf(elf), physBaseOf(elf));
    const lacks = [...missing, ...facts.lacks];
    this.description = `memory dump ${source.name}`;
    this.vcpus = facts.vcpus;
    this.paging = facts.paging;
    this.#runs = memoryOf(elf, lacks);
    this.frames = framesOf(this.#runs);
    if (((source.read(E_FLAGS, 1)[0] ?? 0) & INCOMPLETE) !== 0 && elf.bits === 64)
      lacks.push('memory: makedumpfile marked the file as incomplete');
    this.lacks = lacks;
    this.#source = source;
    this.#release = release;
  }

  readPhysical(address: number, into: Uint8Array): void {
    readRuns(this.#source, this.#runs, address, into);
  }

  close(): void {
    this.#release();
  }
}

/**
 * Opens an ELF memory dump.
 * @param release called once by close().
 * @param missing what is known to be missing before the file is looked into.
 * @throws FormatError when it is none, or damaged.
 */
export function openElfVmcore(
  source: ByteSource,
  release: () => void = () => undefined,
  missing: readonly string[] = [],
): Target {
  const refusal = notElfVmcore(source);
  if (refusal !== undefined) throw new FormatError(refusal, { source: source.name });
  return new ElfVmcoreTarget(source, release, missing);
}
