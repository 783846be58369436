// The kernel's log in the two forms it has had, also wrapped around, half written and damaged. Real ones: test/kernel/memory.test.ts.
import { describe, expect, test } from 'vitest';
import { FormatError } from '../../../symbols/errors.ts';
import { findPanic } from '../../../symbols/kernel/facts.ts';
import { LinuxMemory } from '../../../symbols/kernel/linux-memory.ts';
import { type PrintkRecord, printkRecords } from '../../../symbols/kernel/printk.ts';
import { printkLines } from '../../../symbols/kernel/printk-text.ts';
import { Vmcoreinfo } from '../../../symbols/kernel/vmcoreinfo.ts';
import { GuestBytes, layoutsFrom } from '../../support/guest-bytes.ts';

const BASE = 0xffff_8880_0000_0000n;
const [POINTER, RING, DESCRIPTORS, INFOS, DATA] = [0x100n, 0x200n, 0x1000n, 0x2000n, 0x4000n].map(
  (offset) => BASE + offset,
) as [bigint, bigint, bigint, bigint, bigint]; // five in, five out

/** What Linux 6.1 writes (x86-64). */
const TEXT_6_1 = `OSRELEASE=6.1.0
SIZE(printk_ringbuffer)=80
OFFSET(printk_ringbuffer.desc_ring)=0
OFFSET(printk_ringbuffer.text_data_ring)=40
SIZE(prb_desc_ring)=48
OFFSET(prb_desc_ring.count_bits)=0
OFFSET(prb_desc_ring.descs)=8
OFFSET(prb_desc_ring.infos)=16
OFFSET(prb_desc_ring.head_id)=24
OFFSET(prb_desc_ring.tail_id)=32
SIZE(prb_desc)=24
OFFSET(prb_desc.state_var)=0
OFFSET(prb_desc.text_blk_lpos)=8
OFFSET(prb_data_blk_lpos.begin)=0
OFFSET(prb_data_blk_lpos.next)=8
SIZE(printk_info)=88
OFFSET(printk_info.seq)=0
OFFSET(printk_info.ts_nsec)=8
OFFSET(printk_info.text_len)=16
OFFSET(printk_info.caller_id)=20
OFFSET(prb_data_ring.size_bits)=0
OFFSET(prb_data_ring.data)=8
OFFSET(atomic_long_t.counter)=0
`;
const { layouts } = new Vmcoreinfo(TEXT_6_1);

const COUNT_BITS = 3;
const SIZE_BITS = 8;
const SLOTS = 1 << COUNT_BITS;
const SIZE = 1 << SIZE_BITS;
const [RESERVED, COMMITTED, FINALIZED, REUSABLE] = [0n, 1n, 2n, 3n];

interface Written {
  readonly text: string;
  readonly state?: bigint;
  readonly level?: number;
  readonly caller?: number;
  /** Id in front of the text, when it is another than the record's. */
  readonly id?: bigint;
}

/** A ring with these records, the first of them of id `tail` and with its text at `lpos`; `claim` changes what it says of itself. */
function ringOf(
  records: readonly Written[],
  tail = 100n,
  lpos = 0n,
  claim: (ring: DataView) => void = () => undefined,
): LinuxMemory {
  const memory = new GuestBytes(BASE, 8);
  memory.view(POINTER, 8).setBigUint64(0, RING, true);
  const ring = memory.view(RING, 80);
  ring.setUint32(0, COUNT_BITS, true);
  ring.setBigUint64(8, DESCRIPTORS, true);
  ring.setBigUint64(16, INFOS, true);
  ring.setBigUint64(24, BigInt.asUintN(62, tail + BigInt(records.length - 1)), true);
  ring.setBigUint64(32, BigInt.asUintN(62, tail), true);
  ring.setUint32(40, SIZE_BITS, true);
  ring.setBigUint64(48, DATA, true);
  const descriptors = memory.view(DESCRIPTORS, SLOTS * 24);
  const infos = memory.view(INFOS, SLOTS * 88);
  const data = memory.view(DATA, SIZE);
  let next = lpos;
  for (const [index, { text, state = FINALIZED, level = 6, caller = 0, id }] of records.entries()) {
    const own = BigInt.asUintN(62, tail + BigInt(index));
    const slot = Number(own & BigInt(SLOTS - 1));
    descriptors.setBigUint64(slot * 24, (state << 62n) | own, true);
    const bytes = new TextEncoder().encode(text);
    infos.setBigUint64(slot * 88, BigInt(index), true);
    infos.setBigUint64(slot * 88 + 8, BigInt(index) * 1_500_000_000n, true);
    infos.setUint16(slot * 88 + 16, bytes.length, true);
    infos.setUint8(slot * 88 + 19, (level << 5) | 2);
    infos.setUint32(slot * 88 + 20, caller, true);
    const begin = next;
    if (bytes.length === 0) {
      descriptors.setBigUint64(slot * 24 + 8, 1n, true);
      descriptors.setBigUint64(slot * 24 + 16, 1n, true);
      continue;
    }
    const size = BigInt((8 + bytes.length + 7) & ~7);
    const wraps = begin / BigInt(SIZE) !== (begin + size - 1n) / BigInt(SIZE);
    const start = wraps ? (begin / BigInt(SIZE) + 1n) * BigInt(SIZE) : begin;
    next = start + size;
    descriptors.setBigUint64(slot * 24 + 8, begin, true);
    descriptors.setBigUint64(slot * 24 + 16, next, true);
    const at = Number(start % BigInt(SIZE));
    data.setBigUint64(at, id ?? own, true);
    bytes.forEach((byte, offset) => {
      data.setUint8(at + 8 + offset, byte);
    });
  }
  claim(ring);
  return new LinuxMemory(memory, (name) => (name === 'prb' ? POINTER : undefined), layouts);
}

const texts = (linux: LinuxMemory): string[] => [...printkRecords(linux)].map(({ text }) => text);

describe('ring of 5.10 and later', () => {
  test('records with what belongs to them', () => {
    const linux = ringOf([{ text: 'one' }, { text: 'two\nlines\n', level: 3, caller: 0x8000_0002 }]);
    expect([...printkRecords(linux)]).toEqual([
      { seq: 0n, timestampNs: 0n, level: 6, facility: 0, caller: 'T0', text: 'one' },
      { seq: 1n, timestampNs: 1_500_000_000n, level: 3, facility: 0, caller: 'C2', text: 'two\nlines' },
    ]);
  });

  test.each<[string, readonly Written[], bigint, bigint, string[]]>([
    ['a record without text', [{ text: '' }, { text: 'b' }], 1n, 0n, ['', 'b']],
    [
      'text that would cross the end starts again at the begin',
      [{ text: 'a' }, { text: 'x'.repeat(40) }],
      5n,
      256n - 24n,
      ['a', 'x'.repeat(40)],
    ],
    [
      'text that ends where the ring ends',
      [{ text: 'x'.repeat(40) }, { text: 'b' }],
      5n,
      256n - 48n,
      ['x'.repeat(40), 'b'],
    ],
    ['ids that wrap', [{ text: 'a' }, { text: 'b' }, { text: 'c' }], (1n << 62n) - 2n, 0n, ['a', 'b', 'c']],
    [
      'records that are being written, or free again, are left out',
      [
        { text: 'a', state: REUSABLE },
        { text: 'b', state: COMMITTED },
        { text: 'c', state: RESERVED },
        { text: 'd' },
      ],
      8n,
      0n,
      ['b', 'd'],
    ],
    ['a text that is not the record’s is left out', [{ text: 'a', id: 7n }, { text: 'b' }], 100n, 0n, ['b']],
  ])('%s', (_, records, tail, lpos, expected) => {
    expect(texts(ringOf(records, tail, lpos))).toEqual(expected);
  });

  test('more ids than slots are damage', () => {
    expect(() => texts(ringOf(Array(SLOTS + 1).fill({ text: '' })))).toThrow(FormatError);
  });

  /** 2^22 slots, of which the memory has the first 1023; all are in use, the newest is in slot 1. */
  const endless = (ring: DataView): void => {
    ring.setUint32(0, 22, true);
    ring.setBigUint64(24, (1n << 24n) + 1n, true);
    ring.setBigUint64(32, (1n << 24n) + 2n - (1n << 22n), true);
  };

  test('four million descriptors that are not mapped end soon, and the newest records are told', () => {
    const linux = ringOf([{ text: 'old' }, { text: 'new' }], 1n << 24n, 0n, endless);
    const damage: string[] = [];
    const start = process.cpuUsage();
    expect(printkRecords(linux, (reason) => damage.push(reason)).map(({ text }) => text)).toEqual([
      'old',
      'new',
    ]);
    expect(damage).toEqual([expect.stringMatching(/^virtual [0-9a-f]{16}: not mapped$/)]);
    expect(process.cpuUsage(start).user / 1e6).toBeLessThan(2);
  });

  test('descriptors of no size are damage', () => {
    const { layouts: empty } = new Vmcoreinfo(`${TEXT_6_1}SIZE(prb_desc)=0\n`);
    const { reader } = ringOf([{ text: 'a' }]);
    const linux = new LinuxMemory(reader, (name) => (name === 'prb' ? POINTER : undefined), empty);
    expect(() => texts(linux)).toThrow(FormatError);
  });

  test('neither log is damage that is named', () => {
    const nothing = new LinuxMemory(new GuestBytes(BASE, 8), () => undefined, undefined);
    expect(() => texts(nothing)).toThrow('no symbol log_buf');
  });
});

describe('records before 5.10', () => {
  const [BUFFER, FIRST, NEXT, LENGTH, SEQ, TEXT] = [0n, 0x10n, 0x20n, 0x30n, 0x40n, 0x1000n].map(
    (offset) => BASE + offset,
  ) as [bigint, bigint, bigint, bigint, bigint, bigint]; // six in, six out
  const symbols: Readonly<Record<string, bigint>> = {
    log_buf: BUFFER,
    log_first_idx: FIRST,
    log_next_idx: NEXT,
    log_buf_len: LENGTH,
    log_first_seq: SEQ,
  };

  /** Writes the records one behind the other from `first` on; a 0 length says that the next is at the begin. */
  function logOf(records: readonly (readonly [at: number, text: string])[], next: number, header = 16) {
    const memory = new GuestBytes(BASE, 8);
    memory.view(BUFFER, 8).setBigUint64(0, TEXT, true);
    memory.view(FIRST, 4).setUint32(0, records[0]?.[0] ?? 0, true);
    memory.view(NEXT, 4).setUint32(0, next, true);
    memory.view(LENGTH, 4).setUint32(0, 256, true);
    memory.view(SEQ, 8).setBigUint64(0, 40n, true);
    const log = memory.view(TEXT, 256);
    for (const [at, text] of records) {
      log.setBigUint64(at, 2_000_001_000n, true);
      log.setUint16(at + 8, (header + text.length + 7) & ~7, true);
      log.setUint16(at + 10, text.length, true);
      log.setUint8(at + 15, (4 << 5) | 6);
      if (header > 16) log.setUint32(at + 16, 12, true);
      for (const [offset, character] of [...text].entries())
        log.setUint8(at + header + offset, character.charCodeAt(0));
    }
    const sizes = header > 16 ? { printk_log: header } : {};
    return new LinuxMemory(memory, (name) => symbols[name], layoutsFrom({}, sizes));
  }

  test('in a row', () => {
    const log = logOf(
      [
        [0, 'first'],
        [24, 'second'],
      ],
      48,
    );
    expect([...printkRecords(log)]).toEqual([
      { seq: 40n, timestampNs: 2_000_001_000n, level: 4, facility: 0, caller: undefined, text: 'first' },
      { seq: 41n, timestampNs: 2_000_001_000n, level: 4, facility: 0, caller: undefined, text: 'second' },
    ]);
  });
  test('around the end', () => {
    const log = logOf(
      [
        [200, 'old'],
        [0, 'new'],
      ],
      24,
    );
    expect(texts(log)).toEqual(['old', 'new']);
  });
  test('with CONFIG_PRINTK_CALLER', () => {
    expect([...printkRecords(logOf([[0, 'x']], 24, 20))]).toMatchObject([{ caller: 'T12', text: 'x' }]);
  });
  test('what lies before a damaged record is told', () => {
    const log = logOf(
      [
        [212, 'old'],
        [236, 'long'],
      ],
      24,
    );
    const damage: string[] = [];
    expect(printkRecords(log, (reason) => damage.push(reason)).map(({ text }) => text)).toEqual(['old']);
    expect(damage).toEqual(['a log record of 24 bytes']);
  });
  test('an index that no record leads to ends', () => {
    expect(texts(logOf([[200, 'old']], 20))).toEqual(['old']);
  });
});

const record = (timestampNs: bigint, text: string): PrintkRecord => ({
  seq: 0n,
  timestampNs,
  level: 4,
  facility: 0,
  caller: 'T1',
  text,
});

test.each<[string, bigint, { time: boolean; caller: boolean }, string[]]>([
  ['a\nb', 12_345_678_901_234n, { time: true, caller: false }, ['[12345.678901] a', '[12345.678901] b']],
  ['a', 1_000n, { time: true, caller: true }, ['[    0.000001][    T1] a']],
  ['a', 1n, { time: false, caller: false }, ['a']],
])('line of %j at %d', (text, time, style, lines) => {
  expect(printkLines(record(time, text), style)).toEqual(lines);
});

test.each<[string, readonly (readonly [number, string])[], string | undefined, string | undefined]>([
  ['no panic', [[1, 'all is well']], undefined, undefined],
  ['panic alone', [[1, 'Kernel panic - not syncing: x']], 'Kernel panic - not syncing: x', 'same'],
  [
    'an oops before it',
    [
      [1, 'BUG: kernel NULL pointer dereference, address: 0000000000000000'],
      [1.1, '#PF: supervisor read access in kernel mode'],
      [1.2, 'Oops: 0000 [#1] PREEMPT SMP'],
      [1.3, 'Kernel panic - not syncing: Fatal exception'],
    ],
    'Kernel panic - not syncing: Fatal exception',
    'BUG: kernel NULL pointer dereference, address: 0000000000000000',
  ],
  [
    'two reports: the later one led to it',
    [
      [1, 'BUG: sleeping function called from invalid context'],
      [1.1, '---[ end trace 0000000000000000 ]---'],
      [1.2, 'kernel BUG at mm/slub.c:1!'],
      [1.2, 'invalid opcode: 0000 [#1] PREEMPT SMP'],
      [1.3, '---[ end trace 0000000000000000 ]---'],
      [1.3, 'Kernel panic - not syncing: Fatal exception'],
    ],
    'Kernel panic - not syncing: Fatal exception',
    'kernel BUG at mm/slub.c:1!',
  ],
  [
    'what the watchdog says at boot is none, a warning only where warnings panic',
    [
      [1, 'NMI watchdog: Perf NMI watchdog permanently disabled'],
      [1, 'WARNING: CPU: 0 PID: 1 at a.c:1 b+0x1/0x2'],
      [1.3, 'Kernel panic - not syncing: VFS: Unable to mount root fs'],
    ],
    'Kernel panic - not syncing: VFS: Unable to mount root fs',
    'same',
  ],
  [
    'panic_on_warn',
    [
      [1, 'WARNING: CPU: 0 PID: 1 at a.c:1 b+0x1/0x2'],
      [1.3, 'Kernel panic - not syncing: kernel: panic_on_warn set ...'],
    ],
    'Kernel panic - not syncing: kernel: panic_on_warn set ...',
    'WARNING: CPU: 0 PID: 1 at a.c:1 b+0x1/0x2',
  ],
  [
    'an older oops was survived',
    [
      [1, 'BUG: old'],
      [90, 'Kernel panic - not syncing: sysrq triggered crash'],
    ],
    'Kernel panic - not syncing: sysrq triggered crash',
    'same',
  ],
])('findPanic: %s', (_, lines, panic, cause) => {
  const found = findPanic(lines.map(([seconds, text]) => record(BigInt(Math.round(seconds * 1e9)), text)));
  expect(found.panic?.text).toBe(panic);
  expect(found.cause?.text).toBe(cause === 'same' ? panic : cause);
});
