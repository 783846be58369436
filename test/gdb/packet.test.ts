// Packets of the gdb remote protocol on the wire: what is framed comes back, and what is damaged is told.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  bytesToHex,
  bytesToText,
  escapeBinary,
  framePacket,
  hexToBytes,
  PacketReader,
  textToBytes,
  unescapeBinary,
} from '../../core/gdb/packet.ts';

const read = (wire: string, { maxBytes = 1000, expandRuns = true } = {}) => [
  ...new PacketReader({ maxBytes, expandRuns }).push(textToBytes(wire)),
];
const packet = (payload: string) => ({ kind: 'packet', payload });

const wires: readonly (readonly [name: string, wire: string, events: readonly object[]])[] = [
  ['an empty packet', '$#00', [packet('')]],
  ['a packet', '$OK#9a', [packet('OK')]],
  ['a checksum in capitals', '$OK#9A', [packet('OK')]],
  ['acknowledgements about a packet', '+$OK#9a-', [{ kind: 'ack' }, packet('OK'), { kind: 'nak' }]],
  ['the interrupt key', '\x03', [{ kind: 'interrupt' }]],
  ['noise between packets', 'noise\r\n$OK#9a', [packet('OK')]],
  ['a notification', '%Stop:#e0', [{ kind: 'notification', payload: 'Stop:' }]],
  ['a packet whose end was lost', '$abc$OK#9a', [packet('OK')]],
  ['a packet whose checksum was lost', '$abc#$OK#9a', [packet('OK')]],
  ['a run', '$0* #7a', [packet('0000')]],
  ['the longest run', '$0*~#d8', [packet('0'.repeat(98))]],
  ['two runs', '$0* 1* #f5', [packet('00001111')]],
  ['a run of nothing', '$* #4a', [{ kind: 'damaged', why: 'a run length without a character or a length' }]],
  [
    'a run without a length',
    '$0*#5a',
    [{ kind: 'damaged', why: 'a run length without a character or a length' }],
  ],
  [
    'a wrong checksum',
    '$OK#9b$OK#9a',
    [{ kind: 'damaged', why: 'checksum "9b" instead of 9a' }, packet('OK')],
  ],
  ['a checksum that is none', '$OK#zz', [{ kind: 'damaged', why: 'checksum "zz" instead of 9a' }]],
];

describe('PacketReader', () => {
  test.each(wires)('%s', (_, wire, events) => {
    expect(read(wire)).toEqual(events);
    const reader = new PacketReader({ maxBytes: 1000, expandRuns: true });
    const oneByOne = [...textToBytes(wire)].flatMap((byte) => [...reader.push(Uint8Array.of(byte))]);
    expect(oneByOne).toEqual(events);
  });

  test('an asterisk of a debugger is no run', () => {
    expect(read('$0* #7a', { expandRuns: false })).toEqual([packet('0* ')]);
  });

  test('a packet that is too long is skipped to its end', () => {
    const wire = `$${'a'.repeat(101)}#45$OK#9a`;
    expect(read(wire, { maxBytes: 100 })).toEqual([
      { kind: 'damaged', why: 'more than 100 bytes' },
      packet('OK'),
    ]);
    expect(read(`$${'a'.repeat(100)}#e4`, { maxBytes: 100 })).toEqual([packet('a'.repeat(100))]);
  });

  test('runs that are too long are not written out', () => {
    const body = '0*~'.repeat(30);
    expect(read(bytesToText(framePacket(body)))).toEqual([
      { kind: 'damaged', why: 'more than 1000 bytes with its runs written out' },
    ]);
  });

  test('half a packet is waited for', () => {
    const reader = new PacketReader({ maxBytes: 100, expandRuns: false });
    expect([...reader.push(textToBytes('$O'))]).toEqual([]);
    expect(reader.isPartial).toBe(true);
    expect([...reader.push(textToBytes('K#9a'))]).toEqual([packet('OK')]);
    expect(reader.isPartial).toBe(false);
  });
});

test('what is framed comes back, binary too', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const [event] = read(bytesToText(framePacket(escapeBinary(bytes))));
      expect(event?.kind === 'packet' && unescapeBinary(event.payload)).toEqual(bytes);
      expect(hexToBytes(bytesToHex(bytes))).toEqual(bytes);
      expect(textToBytes(bytesToText(bytes))).toEqual(bytes);
    }),
  );
});

test('hexadecimal that is none', () => {
  for (const text of ['a', '0g', ' 1', '+1']) expect(hexToBytes(text)).toBeUndefined();
});

test('an escape with nothing behind it is left out', () => {
  expect(unescapeBinary('a}')).toEqual(textToBytes('a'));
});

test('no bytes make the reader throw, or hold more than a packet', () => {
  const wire = fc.array(
    fc.oneof(fc.constantFrom('$', '#', '%', '*', '}', '+', '-', '\x03', '00', 'OK'), fc.string()),
  );
  fc.assert(
    fc.property(wire, (parts) => {
      const events = read(parts.join(''), { maxBytes: 20 });
      for (const event of events)
        if ('payload' in event) expect(event.payload.length).toBeLessThanOrEqual(20);
    }),
    { numRuns: 2000 },
  );
});
