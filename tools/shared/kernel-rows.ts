// Unwind tables of a guest's kernel, from its file or its memory, moved to where it runs; those of its modules from memory.
import type { ElfFile } from '../../symbols/elf/elf-file.ts';
import { FormatError } from '../../symbols/errors.ts';
import type { LinuxGuest } from '../../symbols/kernel/linux-guest.ts';
import { attempt, type Known } from '../../symbols/kernel/linux-memory.ts';
import type { GuestModule } from '../../symbols/kernel/modules.ts';
import type { MemorySource } from '../../symbols/memory.ts';
import { cfiFromElf } from '../../symbols/unwind/dwarf-cfi.ts';
import { OrcRows, orcFromElf, orcFromMemory } from '../../symbols/unwind/orc.ts';
import { type RowSource, rowsByRange, shiftedRows } from '../../symbols/unwind/row.ts';

export interface OrcSources {
  readonly elf: ElfFile | undefined;
  readonly slide: bigint;
  readonly memory: MemorySource | undefined;
  readonly addressOf: (name: string) => bigint | undefined;
  readonly linux: LinuxGuest | undefined;
}

/** ORC tables of the image and of the modules. */
export function orcRows({ elf, slide, memory, addressOf, linux }: OrcSources): RowSource[] {
  const fromFile = elf && orcFromElf(elf, addressOf);
  const image = fromFile ? shiftedRows(fromFile, slide) : memory && orcFromMemory(memory, addressOf);
  return [...(image ? [image] : []), ...(linux ? [moduleRows(linux)] : [])];
}

/** The tables of all modules, each read when it is first asked for. */
const moduleRows = (linux: LinuxGuest): RowSource =>
  rowsByRange(
    (linux.modules().value ?? []).flatMap((module) => {
      const rows = rowsOfModule(module);
      return module.ranges.map(({ base, size }) => ({ low: base, high: base + BigInt(size), rows }));
    }),
  );

function rowsOfModule(module: GuestModule): RowSource {
  let known: Known<OrcRows | 'none'> | undefined;
  const open = (): OrcRows | 'none' => {
    const tables = module.orc();
    return tables ? new OrcRows(tables) : 'none';
  };
  return {
    find(pc) {
      known ??= attempt(open);
      return known.value === undefined || known.value === 'none' ? undefined : known.value.find(pc);
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
