// Files that appear whole or not at all: what is left, and what is said, when they cannot.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { createFile, replaceFile } from '../../core/host/files.ts';

const top = mkdtempSync(join(tmpdir(), 'pvh-files-'));
afterAll(() => rmSync(top, { recursive: true }));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(top, 'case-'));
});

test('a file is replaced whole', () => {
  const path = join(folder, 'file');
  replaceFile(path, 'before');
  replaceFile(path, 'now');
  expect(readFileSync(path, 'utf8')).toBe('now');
  expect(readdirSync(folder)).toEqual(['file']);
});

test('one that fails half-way leaves the old one, and nothing else', () => {
  const path = join(folder, 'file');
  replaceFile(path, 'before');
  const fails = (): void =>
    createFile(path, (file) => {
      file.write(0, Buffer.from('half'));
      throw new Error('no more');
    });
  expect(fails).toThrow('no more');
  expect(readFileSync(path, 'utf8')).toBe('before');
  expect(readdirSync(folder)).toEqual(['file']);
});

test('a folder in its place: the error names it, and nothing is left', () => {
  const path = join(folder, 'taken');
  mkdirSync(path);
  expect(() => replaceFile(path, 'x')).toThrow(expect.objectContaining({ code: 'EISDIR', path }));
  expect(readdirSync(folder)).toEqual(['taken']);
});

test('a folder that is not there: the error names the file that was asked for', () => {
  const path = join(folder, 'no/file');
  expect(() => replaceFile(path, 'x')).toThrow(expect.objectContaining({ code: 'ENOENT', path }));
});
