// `npm run oracle:lines -- [count] [seed] [vmlinux ...]`: our lines and inlined functions against elfutils and LLVM at random
// addresses, by default of Debian's 6.1 and 6.12 cloud kernels. Ends with 1 when we differ from what both say.
import { debianKernel } from '../support/debian.ts';
import { compareLines } from './lines.ts';

const [count = '10000', seed = '1', ...given] = process.argv.slice(2);
const paths =
  given.length > 0
    ? given
    : ['linux-image-cloud-amd64', 'linux-image-6.12-cloud-amd64'].map((meta) => debianKernel(meta).vmlinux());
for (const path of paths) {
  const { agreed, wrong } = compareLines(path, Number(count), Number(seed));
  console.log(`${path}: ${count} addresses, seed ${seed}`);
  for (const what of ['function', 'line', 'chain'] as const) {
    const ours = wrong.filter((disagreement) => disagreement.what === what);
    console.log(`  ${what}: elfutils and LLVM agree on ${agreed[what]}, we differ on ${ours.length} of them`);
    for (const { address, ours: our, theirs } of ours.slice(0, 20))
      console.log(
        `    ${address}\n      ours   ${JSON.stringify(our)}\n      theirs ${JSON.stringify(theirs)}`,
      );
  }
  if (wrong.length > 0) process.exitCode = 1;
}
