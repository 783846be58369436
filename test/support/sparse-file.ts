// A file in memory with holes: what a dump writer writes, and the same as a ByteSource.
import type { DumpSink } from '../../core/dump/sink.ts';
import { type ByteSource, checkRange } from '../../symbols/bytes.ts';

export class SparseFile implements DumpSink, ByteSource {
  readonly name: string;
  readonly writes: { offset: number; bytes: Uint8Array }[] = [];
  size = 0;

  constructor(name = 'core.elf') {
    this.name = name;
  }

  get stored(): number {
    return this.writes.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  write(offset: number, bytes: Uint8Array): void {
    this.writes.push({ offset, bytes: bytes.slice() });
    this.size = Math.max(this.size, offset + bytes.length);
  }

  read(offset: number, length: number): Uint8Array {
    checkRange(this.name, this.size, offset, length);
    const into = new Uint8Array(length);
    for (const write of this.writes) {
      const start = Math.max(offset, write.offset);
      const end = Math.min(offset + length, write.offset + write.bytes.length);
      if (start < end)
        into.set(write.bytes.subarray(start - write.offset, end - write.offset), start - offset);
    }
    return into;
  }
}
