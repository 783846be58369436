// Opens what the oracle's test and tools share: the committed corpus and a fresh UserMachine.
import { readFileSync } from 'node:fs';
import { testMachine } from '../support/machine.ts';
import { type Corpus, unpackCorpus } from './corpus.ts';
import { USER_MACHINE_RAM, UserMachine } from './user-machine.ts';

const CORPUS = new URL('corpus.bin.br', import.meta.url);
/** @throws when the file is missing or of another version. */
export function openCorpus(only?: (row: string) => boolean): Corpus {
  return unpackCorpus(readFileSync(CORPUS), only);
}

/** A UserMachine on the built CPU. */
export function openUserMachine(): UserMachine {
  return new UserMachine(testMachine({ ramBytes: USER_MACHINE_RAM }));
}
