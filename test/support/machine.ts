// Machines for tests: the built core, and small guests of hand-assembled bytes.
import { readFileSync } from 'node:fs';
import { Machine, type MachineOptions } from '../../core/machine/machine.ts';

const compiled: Map<string, WebAssembly.Module> = new Map();

function compile(path: string): WebAssembly.Module {
  const module = compiled.get(path) ?? new WebAssembly.Module(readFileSync(new URL(path, import.meta.url)));
  compiled.set(path, module);
  return module;
}

/** The CPU core that `npm run build` made. */
export const cpuModule = (): WebAssembly.Module => compile('../../core/cpu/build/cpu.wasm');

/** The CPU core that tells of calls and returns; `npm test` or `node tools/dev/build.mjs --recording` makes it. */
export const recordingCpuModule = (): WebAssembly.Module => compile('../oracle/build/cpu.wasm');

/** A machine of 16 MiB with one vCPU unless `options` say otherwise. */
export function testMachine(options: Partial<MachineOptions> = {}): Machine {
  const vcpus = options.vcpus ?? 1;
  return Machine.create({
    module: cpuModule(),
    ramBytes: 16 << 20,
    vcpus,
    cpuid: [],
    apicIds: Array.from({ length: vcpus }, (_, i) => 2 * i),
    seed: 1,
    ...options,
  });
}
