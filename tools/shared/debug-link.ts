// Follows .gnu_debuglink: from a file without source lines to the one that was split off it (GDB manual, "Separate Debug Files").
// By build-id such files are found without it; where there is none on either side, the CRC in the link decides.
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { crc32 } from 'node:zlib';
import { FileSource } from '../../core/host/file-source.ts';
import { readDebugLink } from '../../symbols/elf/debug-link.ts';
import { openSymbolFile, type SymbolFile } from './symbol-file.ts';

const PIECE = 1 << 20;

function crcOf(path: string): number {
  const source = new FileSource(path);
  try {
    let crc = 0;
    for (let offset = 0; offset < source.size; offset += PIECE)
      crc = crc32(source.read(offset, Math.min(PIECE, source.size - offset)), crc);
    return crc;
  } finally {
    source.close();
  }
}

/** The link is the file's word: a name without a folder. */
const isName = (text: string): boolean => /^[^/]+$/.test(text) && text !== '.' && text !== '..';

function* placesOf(path: string, name: string, root: string): Generator<string> {
  const folder = dirname(path);
  const top = resolve(root);
  yield join(folder, name);
  yield join(folder, '.debug', name);
  yield join(top, 'usr/lib/debug', folder.startsWith(top) ? folder.slice(top.length) : folder, name);
}

/**
 * The debug file of `file`, beside it, in `.debug` there, or at the same path below /usr/lib/debug.
 * @param root folder that stands for `/`; the file's path lies in it.
 * @param looked gets what was there and no use, and why.
 * @returns undefined when there is no link or nothing that it names. The caller closes both.
 * @throws FormatError when the link or a file that it names is damaged, the system's error when that cannot be read.
 */
export function followDebugLink(file: SymbolFile, root: string, looked: string[]): SymbolFile | undefined {
  const link = file.elf && readDebugLink(file.elf);
  if (!link || !isName(link.file)) return undefined;
  const path = resolve(file.path);
  for (const candidate of placesOf(path, link.file, root)) {
    // A file whose link names itself.
    if (candidate === path || !existsSync(candidate)) continue;
    const debug = openSymbolFile(candidate);
    const isIts =
      file.buildId !== undefined && debug.buildId !== undefined
        ? file.buildId === debug.buildId
        : crcOf(candidate) === link.crc;
    if (isIts && debug.debugInfo) return debug;
    debug.close();
    looked.push(`${candidate}: ${isIts ? 'no debug information' : `is not the debug file of ${path}`}`);
  }
  return undefined;
}
