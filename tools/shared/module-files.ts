// Debug files of a guest's modules, kept open until close(). Such a file does not say where its module runs: lines are found by
// the name of the function and the offset in it.
import type { SourceFrame } from '../../symbols/dwarf/debug-info.ts';
import { attempt } from '../../symbols/kernel/linux-memory.ts';
import type { GuestModule } from '../../symbols/kernel/modules.ts';
import type { SymbolHit } from '../../symbols/symbolizer.ts';
import { functionAddress } from './source-text.ts';
import type { SymbolFile } from './symbol-file.ts';
import { type SearchOptions, searchModule } from './symbol-search.ts';

export interface ModuleFile {
  /** Undefined: none with source lines was found. */
  readonly file: SymbolFile | undefined;
  /** What was there and no use, and why. */
  readonly looked: readonly string[];
}

export class ModuleFiles {
  readonly #options: SearchOptions;
  readonly #release: string | undefined;
  readonly #found = new Map<string, ModuleFile>();

  /** @param release of the kernel that they belong to. */
  constructor(release: string | undefined, options: SearchOptions) {
    this.#release = release;
    this.#options = options;
  }

  /** Looks for the files of modules, for each at most once. */
  async find(modules: Iterable<GuestModule>): Promise<void> {
    for (const module of modules) {
      const { name } = module;
      if (this.#found.has(name)) continue;
      const buildId = attempt(() => module.buildId() ?? '').value || undefined;
      const { file, looked } = await searchModule({ name, buildId, release: this.#release }, this.#options);
      if (!file || file.debugInfo) this.#found.set(name, { file, looked });
      else {
        this.#found.set(name, { file: undefined, looked: [...looked, `${file.path}: no debug information`] });
        file.close();
      }
    }
  }

  /** What find() found; undefined when it was not asked. */
  get(module: string): ModuleFile | undefined {
    return this.#found.get(module);
  }

  /** As DebugInfo.lookup; nothing for what has no file. */
  lines({ module, name, offset, size, padding }: SymbolHit): readonly SourceFrame[] {
    const file = module === undefined || padding ? undefined : this.get(module)?.file;
    const start = file && functionAddress(file.table, name, size);
    return start === undefined ? [] : (file?.debugInfo?.lookup(start + offset) ?? []);
  }

  close(): void {
    for (const { file } of this.#found.values()) file?.close();
    this.#found.clear();
  }
}
