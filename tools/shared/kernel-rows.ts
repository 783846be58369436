// Unwind tables of a guest's kernel, from its file or its memory, moved to where it runs; those of its modules from memory.
import type { ElfFile } from '../../symbols/elf/elf-file.ts';
import { FormatError } from '../../symbols/errors.ts';
import type { LinuxGuest } from '../../symbols/kernel/linux-guest.ts';
import { attempt } from '../../symbols/kernel/linux-memory.ts';
import type { GuestModule } from '../../symbols/kernel/modules.ts';
import type { MemorySource } from '../../symbols/memory.ts';
import { cfiFromElf } from '../../symbols/unwind/dwarf-cfi.ts';
import { OrcRows, orcFromElf, orcFromMemory } from '../../symbols/unwind/orc.ts';
import { type RowSource, shiftedRows } from '../../symbols/unwind/row.ts';

export interface OrcSources {
  readonly elf: ElfFile | undefined;
  readonly slide: bigint;
  readonly memory: MemorySource | undefined;
  readonly addressOf: (name: string) => bigint | undefined;
  readonly linux: LinuxGuest | undefined;
}

/** ORC tables of the image and of the modules. */
export function orcRows({ elf, slide, memory, addressOf, linux }: OrcSources): RowSource[] {
  const fromFile = elf && orcFromElf(elf);
  const image = fromFile ? shiftedRows(fromFile, slide) : memory && orcFromMemory(memory, addressOf);
  return [...(image ? [image] : []), ...(linux ? [moduleRows(linux)] : [])];
}

/** The tables of the module that holds an address, read when they are first asked for. */
function moduleRows(linux: LinuxGuest): RowSource {
  const known = new Map<GuestModule, OrcRows | undefined>();
  const rowsOf = (module: GuestModule): OrcRows | undefined => {
    if (!known.has(module)) {
      const tables = attempt(() => module.orc() ?? 'none').value;
      known.set(module, tables === undefined || tables === 'none' ? undefined : new OrcRows(tables));
    }
    return known.get(module);
  };
  return {
    find(pc) {
      const module = linux.moduleAt(pc);
      return module && rowsOf(module)?.find(pc);
    },
  };
}

/** Call frame information of a file, read when it is first asked for: it is large. */
export function cfiRows(elf: ElfFile, slide: bigint): RowSource {
  let sections: readonly RowSource[] | undefined;
  const open = (): readonly RowSource[] => {
    try {
      return cfiFromElf(elf);
    } catch (error) {
      if (error instanceof FormatError) return [];
      throw error;
    }
  };
  return shiftedRows(
    {
      find(pc) {
        sections ??= open();
        for (const section of sections) {
          const row = section.find(pc);
          if (row) return row;
        }
        return undefined;
      },
    },
    slide,
  );
}
