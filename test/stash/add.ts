// Puts one file into a stash and says when it has begun to write. Arguments: the stash's folder, the file.
import { Stash } from '../../tools/shared/stash.ts';

const [folder = '', path = ''] = process.argv.slice(2);
let told = false;
await new Stash(folder).add(path, () => {
  if (!told) process.stdout.write('started\n');
  told = true;
});
