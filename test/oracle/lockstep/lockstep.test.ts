// System code against QEMU: registers and memory at every checkpoint of the lockstep programs (issue 2, table row 5).
import { expect, test } from 'vitest';
import { testMachine } from '../../support/machine.ts';
import { PROGRAMS } from './programs.ts';
import { LOCKSTEP_RAM, replayLockstep, runSelfChecked } from './replay.ts';

test.each(PROGRAMS.filter(({ isSelfChecked }) => isSelfChecked))('$name: $covers', (program) => {
  expect(runSelfChecked(testMachine({ ramBytes: LOCKSTEP_RAM }), program)).toEqual([]);
});

test.each(PROGRAMS.filter(({ isSelfChecked }) => !isSelfChecked))(
  '$name as under QEMU: $covers',
  (program) => {
    expect(replayLockstep(testMachine({ ramBytes: LOCKSTEP_RAM }), program)).toEqual([]);
  },
);
