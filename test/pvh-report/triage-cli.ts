// `pvh-report triage` in a process of its own, for tests that run two or kill one. Arguments: the folder; `once`, or `forever` to
// go on with more and more reports, each of which it adds to the index; more for `triage`. Says when it has added one.
import { copyFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { main } from '../../tools/pvh-report/main.ts';

const [folder = '', mode, ...more] = process.argv.slice(2);
const triage = (): Promise<number> =>
  main(['triage', '-q', folder, ...more], process.env, {
    out: () => undefined,
    err: (text) => process.stderr.write(text),
  });

if (mode !== 'forever') process.exitCode = await triage();
else
  for (let n = 0; n < 1000; n++) {
    const path = join(folder, `r${process.pid}-${n}.tar.gz`);
    copyFileSync(join(folder, 'r.tar.gz'), `${path}.part`);
    renameSync(`${path}.part`, path);
    await triage();
    process.stdout.write('added\n');
  }
