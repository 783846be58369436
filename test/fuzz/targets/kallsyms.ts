// The kernel's own symbol table, searched for and read in guest memory, in each layout that kernels have had.
import { memorySource } from '../../../symbols/bytes.ts';
import { findKallsyms } from '../../../symbols/kernel/kallsyms.ts';
import { parseSystemMap } from '../../../symbols/kernel/system-map.ts';
import { writeKallsyms } from '../../support/kallsyms-writer.ts';
import { Image } from '../image.ts';
import { goldenSystemMap } from '../sample.ts';
import type { FuzzTarget } from '../target.ts';

const IMAGE = 0xffffffff82000000n;
/** Around an input lies mapped memory, as in a kernel; its last byte says how many pages lie behind it. */
const MARGIN = 0x1000;
/** So that few reads fail: a MemoryFault costs more than the rest of an input. */
const WIDE = 4;
/** Four markers, the fewest that the search believes in, need more than 768. */
const SYMBOLS = 800;

function seeds(): Uint8Array[] {
  const { table } = parseSystemMap(memorySource('System.map', goldenSystemMap()));
  const first = table.lowerBound(0xffffffff81000000n);
  const symbols = Array.from({ length: SYMBOLS }, (_, index) => ({
    letter: table.letter(first + index),
    name: table.name(first + index),
    address: table.address(first + index),
  }));
  const written = (['6.1', '6.4', '6.15', '7.0'] as const).map((layout) =>
    writeKallsyms({ symbols, layout, address: IMAGE + BigInt(MARGIN) }),
  );
  return written.flatMap((table, index) =>
    (index === 0 ? [WIDE, 0] : [WIDE]).map((pages) => Uint8Array.from([...table, pages])),
  );
}

export const KALLSYMS: FuzzTarget = {
  name: 'kallsyms',
  seeds,
  maxBytes: 256 << 20,
  run: (bytes) => {
    const pages = 1 + Math.ceil(bytes.length / MARGIN) + ((bytes.at(-1) ?? 0) % (WIDE + 1));
    const image = new Uint8Array(MARGIN * pages);
    image.set(bytes, MARGIN);
    const table = findKallsyms(new Image(IMAGE, image));
    if (!table) return 0;
    let read = 0;
    for (let index = 0; index < table.length; index += 50) if (table.name(index).length > 0) read++;
    return read;
  },
};
