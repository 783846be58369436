// Call frame information, the same bytes as .debug_frame and as .eh_frame.
import { CfiRows } from '../../../symbols/unwind/dwarf-cfi.ts';
import { sampleElf, sectionBytes } from '../sample.ts';
import type { FuzzTarget } from '../target.ts';

const TEXT = 0xffffffff80100000n;

/** Two functions of .eh_frame as gcc writes them: a common entry `zR`, relative pointers of 4 bytes. */
const EH_FRAME = Uint8Array.from(
  Buffer.from(
    '1400000000000000017a5200017810011b0c070890010000' +
      '240000001c000000e0ffffff4000000000410e108602430d0645830302300c07080000000000' +
      '1400000044000000f8ffffff1000000000440e1000000000' +
      '00000000',
    'hex',
  ),
);

export const CFI: FuzzTarget = {
  name: 'cfi',
  seeds: () => [sectionBytes(sampleElf(), '.debug_frame', 0x400), EH_FRAME],
  run: (bytes) => {
    let read = 0;
    for (const isEh of [false, true]) {
      const name = isEh ? '.eh_frame' : '.debug_frame';
      const rows = new CfiRows({ name, bytes, address: TEXT, isEh, bits: 64 });
      for (let at = -0x40; at < 0x800; at += 0x34) if (rows.find(TEXT + BigInt(at))) read++;
    }
    return read;
  },
};
