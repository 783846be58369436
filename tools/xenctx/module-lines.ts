// Finds the debug files of the modules that a dump is going to show, before it is shown.
import type { Target } from '../../core/target/target.ts';
import type { GuestModule } from '../../symbols/kernel/modules.ts';
import type { GuestKernel } from '../shared/guest-kernel.ts';
import { KeptTraces } from '../shared/kept-traces.ts';
import { type DumpKnowledge, dumpTarget } from './dump.ts';
import type { XenctxOptions } from './options.ts';

const SILENT = { vcpu: () => undefined, memory: () => undefined };

/** Modules that have a frame in what is shown; with --modules all of them. */
function shownModules(
  target: Target,
  options: XenctxOptions,
  { symbols }: DumpKnowledge,
  kernel: GuestKernel,
): Set<GuestModule> {
  const all = kernel.linux?.modules().value ?? [];
  const shown = new Set(options.modules ? all : []);
  if (all.length === shown.size) return shown;
  const lines = (address: bigint): [] => {
    const module = kernel.linux?.moduleAt(address);
    if (module) shown.add(module);
    return [];
  };
  // There may be hundreds, each perhaps a download: a first round, which nobody sees, tells which are needed.
  const traces = { ...options, lines: 0, registersOfFrame: undefined, dmesg: false };
  const round = dumpTarget(target, traces, { symbols, kernel: { ...kernel, lines } }, SILENT);
  while (!round.next().done);
  return shown;
}

/** What --lines needs: knowledge to go on with, in which nothing is unwound twice, and what a user should know. */
export async function findModuleLines(
  target: Target,
  options: XenctxOptions,
  knowledge: DumpKnowledge,
): Promise<{ readonly knowledge: DumpKnowledge; readonly warnings: readonly string[] }> {
  if (!knowledge.kernel || !options.sourceLines) return { knowledge, warnings: [] };
  const kernel = { ...knowledge.kernel, traces: new KeptTraces() };
  const modules = shownModules(target, options, knowledge, kernel);
  await kernel.moduleFiles.find(modules);
  const warnings = [...modules].flatMap(({ name }) => {
    const found = kernel.moduleFiles.get(name);
    if (!found || found.file) return [];
    const reasons = found.looked.length > 0 ? ` (${found.looked.join('; ')})` : '';
    return [`no debug file of module ${name}: no file and line for it${reasons}`];
  });
  // --modules itself says which have none.
  return { knowledge: { ...knowledge, kernel }, warnings: options.modules ? [] : warnings };
}
