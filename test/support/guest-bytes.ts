// Guest memory that a test makes: one range of zeros to write into; everything else is not mapped.
import { MemoryFault } from '../../symbols/errors.ts';
import type { MemorySource } from '../../symbols/memory.ts';

export class GuestBytes implements MemorySource {
  readonly #base: bigint;
  readonly #bytes: Uint8Array;

  /** Whole pages, as a guest's memory is. */
  constructor(base: bigint, pages: number) {
    this.#base = base;
    this.#bytes = new Uint8Array(pages * 4096);
  }

  /** A part of it to write into. */
  view(address: bigint, size: number): DataView {
    return new DataView(this.#bytes.buffer, Number(address - this.#base), size);
  }

  read(address: bigint, into: Uint8Array): void {
    const at = Number(address - this.#base);
    if (at < 0 || at + into.length > this.#bytes.length)
      throw new MemoryFault(
        'virtual',
        at < 0 ? address : this.#base + BigInt(this.#bytes.length),
        'not mapped',
      );
    into.set(this.#bytes.subarray(at, at + into.length));
  }
}

/** Layouts of a test's own structures: `type.member` to offset and size, `type` to its size. */
export function layoutsFrom(
  members: Readonly<Record<string, readonly [offset: number, size: number]>>,
  sizes: Readonly<Record<string, number>> = {},
): {
  source: string;
  sizeOf(type: string): number | undefined;
  offsetOf(type: string, member: string): number | undefined;
  memberOf(type: string, member: string): { offset: number; size: number } | undefined;
} {
  const memberOf = (type: string, member: string) => {
    const [offset, size] = members[`${type}.${member}`] ?? [];
    return offset === undefined || size === undefined ? undefined : { offset, size };
  };
  return {
    source: 'the test',
    sizeOf: (type) => sizes[type],
    offsetOf: (type, member) => memberOf(type, member)?.offset,
    memberOf,
  };
}

/** Members of tasks and modules of Linux as the tests lay them out: as a kernel has them, closer together. */
export const TASK_MEMBERS = {
  'task_struct.flags': [0, 4],
  'task_struct.__state': [4, 4],
  'task_struct.exit_state': [8, 4],
  'task_struct.pid': [12, 4],
  'task_struct.tgid': [16, 4],
  'task_struct.on_cpu': [20, 4],
  'task_struct.tasks': [24, 16],
  'task_struct.thread_node': [40, 16],
  'task_struct.signal': [56, 8],
  'task_struct.stack': [64, 8],
  'task_struct.comm': [72, 16],
  'signal_struct.thread_head': [8, 16],
} as const;

export const MODULE_MEMBERS = {
  'module.state': [0, 4],
  'module.list': [8, 16],
  'module.name': [24, 56],
  'module.taints': [80, 8],
  'module.mem': [88, 112],
  'module.kallsyms': [200, 8],
  'module_memory.base': [0, 8],
  'module_memory.size': [8, 4],
  'mod_kallsyms.symtab': [0, 8],
  'mod_kallsyms.num_symtab': [8, 4],
  'mod_kallsyms.strtab': [16, 8],
  'mod_kallsyms.typetab': [24, 8],
} as const;
