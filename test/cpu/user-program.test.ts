// A static C program full of floating point prints the same here and on the host. Needs gcc and a static C library.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { runProgram } from '../support/user-program.ts';

const folder = mkdtempSync(join(tmpdir(), 'pvh-report-program-'));
const program = join(folder, 'long-double');
const source = fileURLToPath(new URL('programs/long-double.c', import.meta.url));
const compiled = spawnSync('gcc', ['-O1', '-static', '-no-pie', '-o', program, source, '-lm']).status === 0;

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

test.skipIf(!compiled)('long double, double and float through printf, strtold and libm', () => {
  // libm chooses functions with FMA where there is one; here there is none.
  const env = { GLIBC_TUNABLES: 'glibc.cpu.hwcaps=-AVX2,-AVX,-FMA,-FMA4,-AVX2_Usable,-FMA_Usable' };
  const native = spawnSync(program, { env, encoding: 'utf8' });
  expect(native.status).toBe(0);
  const { stdout, status } = runProgram(readFileSync(program));
  expect(stdout.split('\n')).toEqual(native.stdout.split('\n'));
  expect(status).toBe(0);
});
