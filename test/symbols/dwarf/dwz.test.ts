// Debug files that dwz has moved names out of: what is left is told, what is not is said to be elsewhere.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { memorySource } from '../../../symbols/bytes.ts';
import { openDebugInfo } from '../../../symbols/dwarf/debug-info.ts';
import { writeDebugIndex } from '../../../symbols/dwarf/index-file.ts';
import { openElf } from '../../../symbols/elf/elf-file.ts';
import { readSymbolTable } from '../../../symbols/elf/symtab.ts';
import { compile } from '../../support/compile.ts';
import { debianArchive, debianPackage } from '../../support/debian.ts';

/** Both files have the inlined function; each has one of its own. */
const sourceOf = (own: string): string => `
struct a_structure_of_both_files { int member, other_member; struct a_structure_of_both_files *next; };
static inline __attribute__((always_inline)) int inlined_in_both_files(struct a_structure_of_both_files *p) {
  volatile int copy = p->member;
  return copy + p->other_member;
}
int ${own}(struct a_structure_of_both_files *p) { return inlined_in_both_files(p) + 1; }
void _start(void) { for (;;) ; }
`;
const FLAGS = ['-O1', '-g', '-nostdlib', '-static', '-Wl,--build-id'];

/** The first of two files that dwz has moved shared names out of. */
function sharedFile(): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'pvh-dwz-'));
  try {
    for (const own of ['one', 'two'])
      writeFileSync(join(folder, own), compile('gcc', { name: `${own}.c`, text: sourceOf(own) }, FLAGS));
    const dwz = join(debianPackage('dwz'), 'usr/bin/dwz');
    execFileSync(dwz, ['-m', 'shared.debug', '-r', 'one', 'two'], { cwd: folder, stdio: 'pipe' });
    return new Uint8Array(readFileSync(join(folder, 'one')));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test.runIf(debianArchive)('names in a supplementary file are not known, and that is said', () => {
  const elf = openElf(memorySource('one', sharedFile()));
  const start = readSymbolTable(elf)?.addressOf('one') ?? 0n;
  const index = memorySource('index', new Uint8Array(Buffer.concat([...writeDebugIndex(elf)])));
  for (const info of [openDebugInfo(elf), openDebugInfo(elf, index)]) {
    expect(info?.lookup(start + 4n)).toMatchObject([
      { function: undefined, file: expect.stringMatching(/one\.c$/), line: 4 },
      { function: 'one', line: 7 },
    ]);
    expect(info?.warnings).toEqual([
      'one: dwz moved names of functions into shared.debug, which is not read: inlined functions without a name are shown as ?',
    ]);
  }
});
