// A vmlinux that is not the guest's kernel is told from its build-id, which lies in the guest's memory too.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeDumpCore } from '../../core/dump/dump-core.ts';
import { note, writeElf } from '../support/elf-writer.ts';
import { registersWith } from '../support/registers.ts';
import { SparseFile } from '../support/sparse-file.ts';
import { runXenctx } from './run.ts';

const folder = mkdtempSync(join(tmpdir(), 'pvh-identity-'));
afterAll(() => rmSync(folder, { recursive: true }));

const NOTES = 0xffffffff81000000n;
const buildId = (byte: number) => note('GNU', 3, new Uint8Array(20).fill(byte));

/** A vmlinux with one symbol and its notes at an address. */
function vmlinux(id: number, address: bigint): Uint8Array {
  const symtab = new Uint8Array(48);
  const view = new DataView(symtab.buffer);
  view.setUint32(24, 1, true);
  view.setUint8(28, 0x12);
  view.setUint16(30, 1, true);
  view.setBigUint64(32, NOTES, true);
  return writeElf({
    sections: [
      { name: '.text', flags: 6, address: NOTES, data: new Uint8Array(16) },
      { name: '.notes', type: 7, flags: 2, address, data: buildId(id) },
      { name: '.symtab', type: 2, data: symtab, link: 4, entrySize: 24 },
      { name: '.strtab', type: 3, data: new TextEncoder().encode('\0_stext\0') },
    ],
  });
}

beforeAll(() => {
  const frame = (values: readonly (readonly [index: number, entry: bigint])[]) => {
    const entries = new BigUint64Array(512);
    for (const [index, entry] of values) entries[index] = entry;
    return new Uint8Array(entries.buffer);
  };
  const notes = new Uint8Array(4096);
  notes.set(buildId(0xaa));
  const registers = registersWith({ rip: NOTES, cr0: 0x80000001n, cr3: 0x1000n, cr4: 0x20n, efer: 0x500n });
  const file = new SparseFile();
  writeDumpCore(file, {
    vcpus: [{ id: 0, online: true, registers }],
    xen: { major: 4, minor: 17, extra: '' },
    frames: [
      [1, frame([[511, 0x2001n]])],
      [2, frame([[510, 0x3001n]])],
      [3, frame([[8, 0x4001n]])],
      [4, frame([[0, 0x5001n]])],
      [5, notes],
    ],
  });
  writeFileSync(join(folder, 'core'), file.read(0, file.size));
});

const another = `is another kernel than the guest's: its build-id is ${'bb'.repeat(20)}, the guest's ${'aa'.repeat(20)};`;

test.each([
  ['its own kernel', vmlinux(0xaa, NOTES), [], '', 0],
  ['another build of it', vmlinux(0xbb, NOTES), [], another, 2],
  ['another build of it, as Xen would end', vmlinux(0xbb, NOTES), ['--classic'], another, 255],
  ['another build of it, insisted on', vmlinux(0xbb, NOTES), ['--force-symbols'], 'names will be wrong', 0],
  ['a kernel linked elsewhere', vmlinux(0xaa, NOTES + 0x100000n), [], 'it may be another kernel', 0],
] as const)('%s', async (_, elf, options, told, wanted) => {
  writeFileSync(join(folder, 'vmlinux'), elf);
  const argv = [...options, '-s', join(folder, 'vmlinux'), join(folder, 'core')];
  const { stderr, status } = await runXenctx(argv, folder);
  const lines = stderr.split('\n').filter((line) => /another kernel/.test(line));
  expect([lines.length, status]).toEqual([told === '' ? 0 : 1, wanted]);
  expect(lines.join('')).toContain(told);
});
