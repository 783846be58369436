// Finds the debug files of the modules that a dump is going to show, before it is shown.
import type { Target } from '../../core/target/target.ts';
import type { GuestModule } from '../../symbols/kernel/modules.ts';
import { type DumpKnowledge, dumpTarget } from './dump.ts';
import type { XenctxOptions } from './options.ts';

const SILENT = { vcpu: () => undefined, memory: () => undefined };

/** Modules that have a frame in what is shown; with --modules all of them. */
function shownModules(target: Target, options: XenctxOptions, knowledge: DumpKnowledge): Set<GuestModule> {
  const { kernel } = knowledge;
  const all = kernel?.linux?.modules().value ?? [];
  const shown = new Set(options.modules ? all : []);
  if (!kernel || all.length === shown.size) return shown;
  const lines = (address: bigint): [] => {
    const module = kernel.linux?.moduleAt(address);
    if (module) shown.add(module);
    return [];
  };
  // There may be hundreds, each perhaps a download: a first round, which nobody sees, tells which are needed.
  const round = dumpTarget(target, options, { ...knowledge, kernel: { ...kernel, lines } }, SILENT);
  while (!round.next().done);
  return shown;
}

/** Opens what --lines needs. @returns what a user should know. */
export async function findModuleLines(
  target: Target,
  options: XenctxOptions,
  knowledge: DumpKnowledge,
): Promise<string[]> {
  const { kernel } = knowledge;
  if (!kernel || !options.sourceLines) return [];
  const modules = shownModules(target, options, knowledge);
  await kernel.moduleFiles.find(modules);
  // --modules itself says which have none.
  if (options.modules) return [];
  return [...modules].flatMap(({ name }) => {
    const found = kernel.moduleFiles.get(name);
    if (!found || found.file) return [];
    const reasons = found.looked.length > 0 ? ` (${found.looked.join('; ')})` : '';
    return [`no debug file of module ${name}: no file and line for it${reasons}`];
  });
}
