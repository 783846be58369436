// System code against QEMU: registers and memory at every checkpoint of the lockstep programs (issue 2, table row 5).
import { expect, test } from 'vitest';
import { testMachine } from '../../support/machine.ts';
import { PROGRAMS } from './programs.ts';
import { LOCKSTEP_RAM, replayLockstep } from './replay.ts';

test.each(PROGRAMS)('$name as under QEMU: $covers', (program) => {
  expect(replayLockstep(testMachine({ ramBytes: LOCKSTEP_RAM }), program)).toEqual([]);
});
