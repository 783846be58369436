// The table of fuzz targets.
import type { FuzzTarget } from './target.ts';
import { BTF } from './targets/btf.ts';
import { BZIMAGE } from './targets/bzimage.ts';
import { CFI } from './targets/cfi.ts';
import { DUMP_CORE } from './targets/dump-core.ts';
import { DWARF } from './targets/dwarf.ts';
import { DWARF_INDEX } from './targets/dwarf-index.ts';
import { ELF } from './targets/elf.ts';
import { FAULTY } from './targets/faulty.ts';
import { KALLSYMS } from './targets/kallsyms.ts';
import { KEPT_SYMBOLS } from './targets/kept-symbols.ts';
import { LINUX } from './targets/linux.ts';
import { LOG } from './targets/log.ts';
import { MEMORY_DUMP } from './targets/memory-dump.ts';
import { ORC } from './targets/orc.ts';
import { PAGE } from './targets/page.ts';
import { SAVED } from './targets/saved.ts';
import { STASH } from './targets/stash.ts';
import { SYSTEM_MAP } from './targets/system-map.ts';
import { UNWIND } from './targets/unwind.ts';

export const TARGETS: readonly FuzzTarget[] = [
  ELF,
  DWARF,
  DWARF_INDEX,
  BTF,
  CFI,
  ORC,
  UNWIND,
  KALLSYMS,
  SYSTEM_MAP,
  KEPT_SYMBOLS,
  LOG,
  BZIMAGE,
  DUMP_CORE,
  MEMORY_DUMP,
  LINUX,
  PAGE,
  SAVED,
  STASH,
];

/** @throws Error when there is none of this name. */
export function findTarget(name: string): FuzzTarget {
  const found = [...TARGETS, FAULTY].find((target) => target.name === name);
  if (!found)
    throw new Error(`no fuzz target ${name}; there are ${TARGETS.map((target) => target.name).join(', ')}`);
  return found;
}
