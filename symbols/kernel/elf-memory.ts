// The memory that an ELF file describes, as it is before anything runs: its loaded segments at the addresses they are linked for.
import { PT_LOAD } from '../elf/constants.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import { MemoryFault } from '../errors.ts';
import type { MappedMemory } from '../memory.ts';

interface Piece {
  readonly address: bigint;
  readonly length: number;
  readonly offset: number;
}

/** A kernel has five. */
const MAX_PIECES = 256;

/** Bytes that are not in the file (bss) are not there; a segment outside of the file, or behind more than a kernel has, counts as absent. */
export function elfMemory(elf: ElfFile): MappedMemory {
  const pieces: Piece[] = elf.segments
    .filter(
      ({ type, offset, fileSize }) =>
        type === PT_LOAD && fileSize > 0 && offset + fileSize <= elf.source.size,
    )
    .slice(0, MAX_PIECES)
    .map(({ virtualAddress, fileSize, offset }) => ({ address: virtualAddress, length: fileSize, offset }))
    .sort((a, b) => (a.address < b.address ? -1 : 1));
  return {
    read(address, into) {
      for (let done = 0; done < into.length; ) {
        const at = address + BigInt(done);
        const piece = pieces.find(({ address: start, length }) => at >= start && at < start + BigInt(length));
        if (!piece) throw new MemoryFault('virtual', at, 'not mapped');
        const within = Number(at - piece.address);
        const length = Math.min(into.length - done, piece.length - within);
        into.set(elf.source.read(piece.offset + within, length), done);
        done += length;
      }
    },
    *mapped(start, end) {
      for (const { address, length } of pieces) {
        const before = start > address ? start - address : 0n;
        const beyond = address + BigInt(length) > end ? address + BigInt(length) - end : 0n;
        const rest = BigInt(length) - before - beyond;
        if (rest > 0n) yield { address: address + before, length: Number(rest) };
      }
    },
  };
}
