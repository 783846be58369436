// Call frame information, the same bytes as .debug_frame and as .eh_frame.
import { CfiRows } from '../../../symbols/unwind/dwarf-cfi.ts';
import { unwind } from '../../../symbols/unwind/unwinder.ts';
import { Image } from '../image.ts';
import { sampleElf, sectionBytes } from '../sample.ts';
import type { FuzzTarget } from '../target.ts';

const TEXT = 0xffffffff80100000n;

/** A stack of return addresses and of pointers to itself. */
const STACK = 0xffffc90000000000n;
const stack = Uint8Array.from(
  { length: 512 },
  (_, index) => [0x40, 1, 0x10, 0x80, 0xff, 0xff, 0xff, 0xff][index % 8] ?? 0,
);
const CONTEXT = {
  memory: new Image(STACK, stack),
  isCode: (address: bigint) => address >= TEXT && address < TEXT + 0x800n,
  way: 'cfi',
} as const;
const registers = { rsp: STACK + 64n, rbp: STACK + 128n, rbx: 1n };

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

/** A function of .debug_frame whose CFA and registers are expressions, as gcc writes them where it aligns the stack. */
const EXPRESSIONS = Uint8Array.from(
  Buffer.from(
    '14000000ffffffff01000178100c07089001000000000000' +
      '2c0000000000000000001080ffffffff4000000000000000410f037678061006027600100e0276781603017615077e00',
    'hex',
  ),
);

export const CFI: FuzzTarget = {
  name: 'cfi',
  seeds: () => [sectionBytes(sampleElf(), '.debug_frame', 0x400), EH_FRAME, EXPRESSIONS],
  run: (bytes) => {
    let read = 0;
    for (const isEh of [false, true]) {
      const name = isEh ? '.eh_frame' : '.debug_frame';
      const rows = new CfiRows({ name, bytes, address: TEXT, isEh, bits: 64 });
      for (let at = -0x40; at < 0x800; at += 0x34) {
        if (!rows.find(TEXT + BigInt(at))) continue;
        read++;
        for (const _ of unwind({ ...CONTEXT, rows: [rows] }, { rip: TEXT + BigInt(at), registers })) read++;
      }
    }
    return read;
  },
};
