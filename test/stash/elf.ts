// Small ELF files with a build-id and symbols, for the stash and the search.
import { note, writeElf } from '../support/elf-writer.ts';

export const TEXT = 0xffffffff81000000n;

const NOTES = TEXT + 0x1000n;

export interface TinyFile {
  /** Every byte of the build-id. */
  readonly id: number;
  readonly symbols?: readonly string[];
  /** Content of a section that nobody reads. */
  readonly payload?: Uint8Array;
  readonly debug?: boolean;
  /** A banner, and notes between symbols, loaded behind TEXT. */
  readonly linux?: boolean;
}

export const buildIdOf = (id: number): string => id.toString(16).padStart(2, '0').repeat(20);

/** A vmlinux with functions of 16 bytes from TEXT on. */
export function tinyVmlinux({
  id,
  symbols = ['_stext', 'panic'],
  payload,
  debug = false,
  linux = false,
}: TinyFile): Uint8Array {
  const notes = note('GNU', 3, new Uint8Array(20).fill(id));
  const marks: readonly (readonly [string, bigint])[] = linux
    ? [
        ['__start_notes', NOTES],
        ['__stop_notes', NOTES + BigInt(notes.length)],
        ['linux_banner', NOTES + BigInt(notes.length)],
      ]
    : [];
  const all = [...symbols.map((name, index) => [name, TEXT + BigInt(index * 16)] as const), ...marks];
  const names = `\0${all.map(([name]) => `${name}\0`).join('')}`;
  const symtab = new Uint8Array(24 * (all.length + 1));
  const view = new DataView(symtab.buffer);
  all.forEach(([name, address], index) => {
    const at = 24 * (index + 1);
    view.setUint32(at, names.indexOf(`\0${name}\0`) + 1, true);
    view.setUint8(at + 4, 0x12);
    view.setUint16(at + 6, 1, true);
    view.setBigUint64(at + 8, address, true);
    view.setBigUint64(at + 16, 16n, true);
  });
  const banner = new TextEncoder().encode('Linux version 6.1.0-56-cloud-amd64 (a@b)'.padEnd(100, '\0'));
  const loaded = new Uint8Array([...notes, ...banner]);
  return writeElf({
    segments: linux ? [{ type: 1, virtualAddress: NOTES, data: loaded }] : [],
    sections: [
      { name: '.text', flags: 6, address: TEXT, data: new Uint8Array(16 * symbols.length) },
      {
        name: '.notes',
        type: 7,
        flags: 2,
        address: NOTES,
        data: notes,
      },
      { name: '.symtab', type: 2, data: symtab, link: 4, entrySize: 24 },
      { name: '.strtab', type: 3, data: new TextEncoder().encode(names) },
      ...(payload ? [{ name: '.payload', data: payload }] : []),
      ...(debug ? [{ name: '.debug_info', data: new Uint8Array(16) }] : []),
    ],
  });
}
