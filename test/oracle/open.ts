// Opens what the oracle's test and tools share: the committed corpus and a fresh UserMachine.
import { readFileSync } from 'node:fs';
import { Machine } from '../../core/machine/machine.ts';
import { type Corpus, unpackCorpus } from './corpus.ts';
import { USER_MACHINE_RAM, UserMachine } from './user-machine.ts';

const CORPUS = new URL('corpus.bin.br', import.meta.url);
const CPU_WASM = new URL('../../core/cpu/build/cpu.wasm', import.meta.url);

/** @throws when the file is missing or of another version. */
export function openCorpus(only?: (row: string) => boolean): Corpus {
  return unpackCorpus(readFileSync(CORPUS), only);
}

/** A UserMachine on the built CPU. @throws when core/cpu/build is not there: run `npm run build`. */
export function openUserMachine(): UserMachine {
  const machine = Machine.create({
    module: new WebAssembly.Module(readFileSync(CPU_WASM)),
    ramBytes: USER_MACHINE_RAM,
    vcpus: 1,
    cpuid: [],
    apicIds: [0],
    seed: 1,
  });
  return new UserMachine(machine);
}
