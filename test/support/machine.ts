// Machines for tests: the built core, and small guests of hand-assembled bytes.
import { readFileSync } from 'node:fs';
import { Machine, type MachineOptions } from '../../core/machine/machine.ts';

let compiled: WebAssembly.Module | undefined;

/** The CPU core that `npm run build` made. */
export function cpuModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(
    readFileSync(new URL('../../core/cpu/build/cpu.wasm', import.meta.url)),
  );
  return compiled;
}

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
