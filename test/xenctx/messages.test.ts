// What xenctx says when something is wrong: what, where, and what to do; and that nothing it prints steers a terminal.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cleanJson, cleanText } from '../../tools/shared/clean-text.ts';
import { writeElf } from '../support/elf-writer.ts';
import { qemuNote } from '../support/vmcore-notes.ts';
import { runXenctx } from './run.ts';

const REDUCED = fileURLToPath(new URL('../golden/xen-4.17/core.sysrq1.reduced.gz', import.meta.url));
const STUB = 'ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n';

let folder: string;
let core: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pvh-messages-'));
  core = join(folder, 'core');
  writeFileSync(core, gunzipSync(readFileSync(REDUCED)));
  writeFileSync(join(folder, 'empty'), '');
  writeFileSync(join(folder, 'System.map'), STUB);
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('symbols that are of no use', () => {
  test.each([
    ['nosuch', /^xenctx: cannot take names: \S+nosuch: No such file or directory; give a vmlinux, /],
    ['.', /^xenctx: cannot take names: \S+: Is a directory; give a vmlinux, .* or leave -s out\n$/],
    ['\x1b]0;x\x07', /^xenctx: cannot take names: [^\p{Cc}]*\?\]0;x\?: No such file[^\p{Cc}]*\n$/u],
  ])('%j', async (name, message) => {
    const { status, stdout, stderr } = await runXenctx(['-s', join(folder, name), core], folder);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(message);
  });

  test.each(['empty', 'System.map'])("%s: the guest's own are taken, and that is said", async (name) => {
    const { status, stdout, stderr } = await runXenctx(['-s', join(folder, name), core], folder);
    expect(status).toBe(0);
    expect(stderr).toMatch(/names nothing: taking kallsyms of the guest instead\n$/);
    expect(stdout).toMatch(/^ panic\+0x286\/0x2f4$/m);
  });
});

test.each([
  [['nosuch'], /^xenctx: no domain and no dump file 'nosuch'; "xl list" shows the domains\n$/],
  [['77'], /^xenctx: no domain and no dump file '77'; /],
  [['./nosuch'], /^xenctx: \.\/nosuch: no such file or directory\n$/],
  [['web', 'one'], /^xenctx: 'one' is not the number of a vcpu\n$/],
  [['-f', '--source-lines', 'web'], /^xenctx: --lines without a number does not go with .*--unwind=auto/],
  [['--classic', '--registers-of-frame=1', 'web'], /^xenctx: --registers-of-frame does not go with /],
])('%j', async (argv, message) => {
  const { stdout, stderr } = await runXenctx(argv, folder);
  expect(stdout).toBe('');
  expect(stderr).toMatch(message);
});

test.each([
  [[], /^xenctx: memory: the file is cut off, 0x400 bytes of its segments are missing\n/],
  [['--classic'], /^(?!.*cut off)/s],
])('a dump that is cut off: %j', async (options, message) => {
  const dump = writeElf({
    type: 4,
    segments: [
      { type: 4, data: qemuNote({ 48: 0x80050033n, 51: 0x1000n, 52: 0x20n }) },
      { type: 1, physicalAddress: 0x1000n, data: new Uint8Array(4096) },
    ],
  });
  writeFileSync(join(folder, 'cut'), dump.subarray(0, dump.length - 0x400));
  expect((await runXenctx([...options, join(folder, 'cut')], folder)).stderr).toMatch(message);
});

test('a stack that cannot be read is no endless list in JSON', async () => {
  const { stdout } = await runXenctx(['--json', '-n', '2000000', '-l', 'MAX', core], folder);
  expect(JSON.parse(stdout).vcpus[0].stack.length).toBeLessThan(4096);
});

test('texts that would steer a terminal', () => {
  expect(cleanText('a\tb\x1b[2J\x9b31m\x7f')).toBe('a\tb?[2J?31m?');
  const value = { text: 'a\x1b\x7f\x9bé' };
  const json = cleanJson(JSON.stringify(value));
  expect(json).toBe('{"text":"a\\u001b\\u007f\\u009bé"}');
  expect(JSON.parse(json)).toEqual(value);
});
