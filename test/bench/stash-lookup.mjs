// Functions, files and lines of the addresses on standard input (hexadecimal), inlined functions included, out of the symbol
// stash in PVH_STASH_DIR: our side of `npm run bench:stack` against llvm-symbolizer. Argument: build-id.
import { readFileSync } from 'node:fs';

// What users run is the built tool. Imported by a URL, because a clean checkout, which `npm run check` must pass, has none.
const { Stash, stashDirectory } = await import(
  new URL('../../dist/tools/shared/stash.js', import.meta.url).href
);

const stash = new Stash(stashDirectory(process.env));
const entry = stash.find(process.argv[2]);
if (!entry) throw new Error(`${process.argv[2]} is not in the stash`);
const file = stash.open(entry);
const lines = [];
for (const text of readFileSync(0, 'latin1').trim().split('\n'))
  for (const frame of file.debugInfo?.lookup(BigInt(text)) ?? [])
    lines.push(`${frame.function ?? '??'} ${frame.file ?? '??'}:${frame.line ?? 0}`);
console.log(lines.join('\n'));
file.close();
