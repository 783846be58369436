// The notes of a memory dump, the same in ELF and in kdump-compressed files: one NT_PRSTATUS a CPU, QEMU's CPU states, VMCOREINFO.
import type { ElfNote } from '../../symbols/elf/notes.ts';
import type { VmcoreinfoLines } from '../../symbols/kernel/vmcoreinfo-lines.ts';
import type { KernelPaging, TargetVcpu } from './target.ts';
import { isPrstatus, isQemuState, readPrstatus, readQemuState } from './vmcore-registers.ts';
import { kernelPaging, parseVmcoreinfo } from './vmcoreinfo.ts';

const NT_PRSTATUS = 1;

/** What the notes tell of the guest. */
export interface VmcoreFacts {
  readonly vcpus: readonly TargetVcpu[];
  readonly lacks: readonly string[];
  readonly paging: KernelPaging | undefined;
}

export const prstatusNotes = (notes: readonly ElfNote[]): Uint8Array[] =>
  notes.filter(({ name, type }) => name === 'CORE' && type === NT_PRSTATUS).map((note) => note.descriptor);

const qemuNotes = (notes: readonly ElfNote[]): Uint8Array[] =>
  notes.filter(({ name, type }) => name === 'QEMU' && type === 0).map((note) => note.descriptor);

export const vmcoreinfoOf = (notes: readonly ElfNote[]): VmcoreinfoLines | undefined => {
  const note = notes.find(({ name }) => name === 'VMCOREINFO');
  return note && parseVmcoreinfo(note.descriptor);
};

/** True when notes are those of a machine, not of a process. */
export const areMachineNotes = (notes: readonly ElfNote[]): boolean =>
  notes.some(({ name }) => name === 'QEMU' || name === 'VMCOREINFO');

const QEMU_LACKS = [
  'EFER, debug registers, MSRs and FPU state: not in a dump of QEMU',
  'console: not in a dump of QEMU',
] as const;

function linuxLacks(paging: KernelPaging | undefined): string[] {
  return [
    paging
      ? 'CR3: not in a dump that Linux made; page tables are swapper_pg_dir by its VMCOREINFO, which map no user memory'
      : 'CR3: not in a dump that Linux made, and no VMCOREINFO leads to its page tables: virtual memory cannot be read',
    'CR0, CR2, CR4, EFER, descriptor tables, debug registers, MSRs and FPU state: not in a dump that Linux made',
    'GS base of the kernel: not in a dump that Linux made',
    'console: not in a memory dump',
  ];
}

/**
 * vCPUs in the order of their notes.
 * @param bits width of the CPUs: of a 64-bit kernel 64, whatever the file's own class.
 * @param vmcoreinfo when it is kept elsewhere than in a note.
 * @param physBase phys_base as the dump gives it beside VMCOREINFO.
 */
export function vmcoreFacts(
  notes: readonly ElfNote[],
  bits: 32 | 64,
  physBase: bigint | undefined,
  vmcoreinfo: VmcoreinfoLines | undefined = vmcoreinfoOf(notes),
): VmcoreFacts {
  const states = qemuNotes(notes);
  const statuses = prstatusNotes(notes);
  const paging = vmcoreinfo && bits === 64 ? kernelPaging(vmcoreinfo, physBase) : undefined;
  const lacks = states.length > 0 ? [...QEMU_LACKS] : linuxLacks(paging);
  const vcpus = Array.from({ length: Math.max(states.length, statuses.length) }, (_, id): TargetVcpu => {
    const state = states[id];
    if (state && isQemuState(state)) return { id, online: true, registers: readQemuState(state) };
    const status = statuses[id];
    if (status && isPrstatus(status, bits))
      return { id, online: true, registers: readPrstatus(status, bits) };
    return { id, online: true, missing: `the note of this CPU is short: ${(state ?? status)?.length} bytes` };
  });
  if (vcpus.length === 0) lacks.push('registers: the file has no CPU notes');
  return { vcpus, lacks, paging };
}
