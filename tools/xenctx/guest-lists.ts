// --modules and --dmesg: what the guest's memory tells beside its vCPUs, in the form of lsmod and of dmesg.
import { hex16 } from '../../symbols/address.ts';
import type { GuestModule } from '../../symbols/kernel/modules.ts';
import { printkLines } from '../../symbols/kernel/printk-text.ts';
import type { GuestKernel } from '../shared/guest-kernel.ts';
import { NOT_LINUX } from '../shared/unwinding.ts';

export const moduleSize = ({ ranges }: GuestModule): number =>
  ranges.reduce((total, { size }) => total + size, 0);

const row = (name: string, size: string, address: string, state: string, taints: string): string =>
  `${name.padEnd(24)} ${size.padStart(8)}  ${address.padEnd(16)}  ${state}${taints === '' ? '' : ` ${taints}`}`;

/** @param debugFiles say for each whether its debug file was found. */
export function* moduleLines(kernel: GuestKernel, debugFiles: boolean): Generator<string> {
  const { linux, moduleFiles } = kernel;
  const modules = linux?.modules() ?? { missing: NOT_LINUX };
  if (modules.value?.length === 0) yield '(no modules are loaded)';
  else if (modules.missing === undefined) {
    yield row('Module', 'Size', 'Address', 'State', '');
    for (const module of modules.value) {
      const address = module.ranges[0]?.base;
      const shown = address === undefined ? '-' : hex16(address);
      yield row(module.name, String(moduleSize(module)), shown, module.state, module.taints);
      if (debugFiles) yield `  debug file: ${moduleFiles.get(module.name)?.file?.path ?? 'none found'}`;
    }
  }
  const problem = linux ? linux.moduleProblem : modules.missing;
  if (problem !== undefined) yield `(${problem})`;
}

export function* logLines({ linux }: GuestKernel): Generator<string> {
  const log = linux?.log() ?? { missing: NOT_LINUX };
  if (log.missing !== undefined) yield `(no log: ${log.missing})`;
  else if (linux?.logProblem !== undefined) yield `(${linux.logProblem})`;
  for (const record of log.value ?? []) yield* printkLines(record, { time: true, caller: false });
}
