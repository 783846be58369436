// `npm run oracle:lockstep -- [program] [how many]`: shows where our Machine leaves QEMU's traces.
import { testMachine } from '../../support/machine.ts';
import { PROGRAMS } from './programs.ts';
import { LOCKSTEP_RAM, replayLockstep, runSelfChecked } from './replay.ts';

const [wanted = '', most = '5'] = process.argv.slice(2);
for (const program of PROGRAMS) {
  if (!program.name.includes(wanted)) continue;
  if (program.isSelfChecked) {
    const failed = runSelfChecked(testMachine({ ramBytes: LOCKSTEP_RAM }), program);
    process.stdout.write(`${program.name}: ${failed.length ? failed.join('\n  ') : 'all as expected'}\n`);
    continue;
  }
  const divergences = replayLockstep(testMachine({ ramBytes: LOCKSTEP_RAM }), program, Number(most));
  for (const { checkpoint, rip, differences } of divergences)
    process.stdout.write(
      `${program.name} checkpoint ${checkpoint} at ${rip}\n  ${differences.join('\n  ')}\n`,
    );
  process.stdout.write(`${program.name}: ${divergences.length || 'no'} divergences shown\n`);
}
