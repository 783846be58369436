// What a debugger is answered, packet by packet; and that no packet breaks the session.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GdbConnection } from '../../core/gdb/connection.ts';
import {
  bytesToHex,
  bytesToText,
  framePacket,
  hexToBytes,
  PacketReader,
  textToBytes,
  unescapeBinary,
} from '../../core/gdb/packet.ts';
import { GdbSession, MAX_PACKET } from '../../core/gdb/session.ts';
import { MAPPED, smallGuest } from './small-guest.ts';

const FILE = { path: '/a/file', isLibrary: true, bytes: Uint8Array.from([...textToBytes('0123}#$*')]) };
const guest = smallGuest({ files: [FILE] });
const at = (offset: bigint): string => (MAPPED + offset).toString(16);
const hexText = (text: string): string => bytesToHex(textToBytes(text));
const EMPTY = '';

/** Packets in turn, each with its answers. */
const dialogues: readonly (readonly [
  name: string,
  ...(readonly [packet: string, ...answers: string[]])[],
])[] = [
  ['what is not known', ['vMustReplyEmpty', EMPTY], ['qFoo', EMPTY], ['vCont?', EMPTY], ['', EMPTY]],
  ['why it stands', ['?', 'T05thread:1;']],
  ['threads', ['qfThreadInfo', 'm1,2'], ['qsThreadInfo', 'l'], ['qC', 'QC1']],
  ['a thread', ['Hg2', 'OK'], ['qC', 'QC2'], ['?', 'T05thread:2;']],
  ['any thread', ['Hg2', 'OK'], ['Hg0', 'OK'], ['Hg-1', 'OK'], ['qC', 'QC2'], ['Hc-1', 'OK']],
  [
    'no such thread',
    ['Hg3', 'E.there is no such thread'],
    ['Hgx', 'E.there is no such thread'],
    ['qC', 'QC1'],
  ],
  ['whether a thread lives', ['T2', 'OK'], ['Tff', 'E.there is no such thread']],
  ['what a thread is', ['qThreadExtraInfo,2', hexText('task1: vCPU 1')]],
  ['a register', ['p0', '0100000000000000'], ['p7', '3412000000000000'], ['p10', '00000081ffffffff']],
  ['no such register', ['pfff', 'E.there is no such register'], ['pqq', 'E.the packet cannot be understood']],
  ['memory', [`m${at(0n)},4`, '05050505'], [`m${at(0xfffn)},2`, '0506']],
  ['memory up to where it ends', [`m${at(0x1ffen)},10`, '0606']],
  ['memory that is not there', [`m${at(0x2000n)},4`, 'E14'], ['m0,1', 'E14'], ['mffffffffffffffff,8', 'E14']],
  ['no memory', [`m${at(0n)},0`, EMPTY]],
  ['memory of a vCPU without page tables', ['Hg2', 'OK'], [`m${at(0n)},4`, '05050505']],
  [
    'physical memory',
    ['qqemu.Supported', 'PhyMemMode'],
    ['qqemu.PhyMemMode', '0'],
    ['Qqemu.PhyMemMode:1', 'OK'],
    ['qqemu.PhyMemMode', '1'],
    ['m5fff,2', '0506'],
    ['m7000,1', 'E14'],
    ['mfffffffffffff000,1', 'E14'],
    ['Qqemu.PhyMemMode:0', 'OK'],
    ['m5fff,2', 'E14'],
  ],
  [
    'what would change the guest',
    ['P0=00', expect.stringContaining('E.the guest can only be read') as string],
    ['G00', expect.stringContaining('E.the guest can only be read') as string],
    [`M${at(0n)},1:00`, expect.stringContaining('E.the guest can only be read') as string],
    [`X${at(0n)},1:a`, expect.stringContaining('E.the guest can only be read') as string],
    ['Z0,0,1', expect.stringContaining('E.the guest can only be read') as string],
    ['c', expect.stringContaining('E.the guest does not run') as string],
    ['s', expect.stringContaining('E.the guest does not run') as string],
    ['vCont;c', expect.stringContaining('E.the guest does not run') as string],
  ],
  ['monitor', ['Hg2', 'OK'], [`qRcmd,${hexText('look')}`, `O${hexText('look of 1\n')}`, 'OK']],
  ['monitor in no hexadecimal', ['qRcmd,xyz', 'E.the packet cannot be understood']],
  ['symbols', ['qOffsets', EMPTY], ['qSymbol::', 'OK'], ['qAttached', '1']],
  [
    'a document that is not there',
    ['qXfer:auxv:read::0,100', EMPTY],
    ['qXfer:features:read:x.xml:0,100', EMPTY],
  ],
  [
    'files that are offered, and no others',
    ['vFile:setfs:0', 'F0'],
    [`vFile:open:${hexText('/etc/passwd')},0,0`, 'F-1,2'],
    [`vFile:open:${hexText('/a/file')},1,0`, 'F-1,1e'],
    [`vFile:open:${hexText('/a/file')},0,0`, 'F1'],
    ['vFile:pread:1,4,2', 'F4;23}]}\x03'],
    ['vFile:pread:1,ffffffff,8', 'F0;'],
    ['vFile:pread:1,x,0', 'F-1,16'],
    ['vFile:pread:2,1,0', 'F-1,9'],
    ['vFile:pwrite:1,0,x', 'F-1,58'],
    ['vFile:close:1', 'F0'],
    ['vFile:close:1', 'F-1,9'],
    ['vFile:', 'F-1,58'],
  ],
  [
    'libraries',
    [
      'qXfer:libraries:read::0,ffff',
      'l<?xml version="1.0"?>\n<library-list>\n<library name="/a/file"><section address="0x0"/></library>\n</library-list>\n',
    ],
  ],
  ['a document in no words', ['qXfer:threads:read::zz', 'E00']],
];

describe('a session', () => {
  test.each(dialogues)('%s', (_, ...turns) => {
    const session = new GdbSession(guest);
    for (const [packet = '', ...answers] of turns)
      expect([packet, ...session.answer(packet).replies]).toEqual([packet, ...answers]);
  });

  test('where the kernel lies', () => {
    const session = new GdbSession({ ...guest, textSegment: MAPPED });
    expect(session.answer('qOffsets').replies).toEqual(['TextSeg=ffffffff81000000']);
  });

  test.each(['D', 'D;1', 'vKill;1', 'k'])('%s ends it', (packet) => {
    expect(new GdbSession(guest).answer(packet).after).toBe('close');
  });

  test('documents come in pieces', () => {
    const session = new GdbSession(guest);
    const read = (object: string, step: number): string => {
      for (let text = '', offset = 0; ; ) {
        const [reply = ''] = session.answer(
          `qXfer:${object}:${offset.toString(16)},${step.toString(16)}`,
        ).replies;
        const part = bytesToText(unescapeBinary(reply.slice(1)));
        text += part;
        offset += part.length;
        if (reply[0] === 'l') return text;
      }
    };
    for (const object of ['features:read:target.xml', 'threads:read:', 'memory-map:read:'])
      expect(read(object, 7)).toBe(read(object, 0xffff));
    expect(read('threads:read:', 100)).toContain('<thread id="1" core="0" name="task0">vCPU 0</thread>');
    expect(read('memory-map:read:', 100)).toContain(
      '<memory type="rom" start="0x0" length="0x800000000000"/>',
    );
    session.answer('Qqemu.PhyMemMode:1');
    expect(read('memory-map:read:', 100)).toContain('<memory type="ram" start="0x1000" length="0x6000"/>');
  });

  test('registers that a source lacks are neither offered nor zero', () => {
    const session = new GdbSession(guest);
    const [target = ''] = session.answer('qXfer:features:read:target.xml:0,ffff').replies;
    expect(target).toContain('<reg name="cr3" bitsize="64"');
    // This source has neither.
    expect(target).not.toMatch(/name="(?:cr8|xmm0)"/);
    const { target: source } = guest;
    const [first] = source.vcpus;
    const half = { ...source, vcpus: [...(first ? [first] : []), { id: 1, online: true, missing: 'lost' }] };
    const other = new GdbSession({ ...guest, target: half });
    other.answer('Hg2');
    expect(other.answer('g').replies[0]).toMatch(/^(?:xx)+$/);
    expect(other.answer('p10').replies).toEqual(['xxxxxxxxxxxxxxxx']);
  });

  test('names of a guest cannot break out of a document', () => {
    const hostile = { ...guest, namesOf: () => ({ name: '"/><x a="', text: '</thread>&\x1b\u00ff' }) };
    const [reply] = new GdbSession(hostile).answer('qXfer:threads:read::0,ffff').replies;
    expect(reply).toContain('name="&quot;/&gt;&lt;x a=&quot;">&lt;/thread&gt;&amp;??</thread>');
  });
});

describe('a connection', () => {
  const talk = (...wires: string[]): string => {
    const connection = new GdbConnection(new GdbSession(guest));
    return wires.flatMap((wire) => [...connection.receive(textToBytes(wire))].map(bytesToText)).join('');
  };
  const packet = (payload: string): string => bytesToText(framePacket(payload));

  test('acknowledges until it is told not to', () => {
    expect(talk(packet('qC'), '+', packet('QStartNoAckMode'), '+', packet('qC'))).toBe(
      `+${packet('QC1')}+${packet('OK')}${packet('QC1')}`,
    );
  });
  test('says a packet again', () => {
    expect(talk(packet('qC'), '-')).toBe(`+${packet('QC1')}${packet('QC1')}`);
  });
  test('asks for a damaged packet again, or says that it was', () => {
    expect(talk('$qC#00')).toBe('-');
    expect(talk(packet('QStartNoAckMode'), '$qC#00')).toContain('E.damaged packet');
  });
  test('many packets in one piece', () => {
    expect(talk(packet('qC').repeat(100))).toBe(`+${packet('QC1')}`.repeat(100));
  });
  test('nothing more after goodbye', () => {
    expect(talk(packet('D') + packet('qC'))).toBe(`+${packet('OK')}`);
  });
});

test('thousands of packets, one more broken than the other: always a bounded answer', () => {
  const seeds = dialogues.flatMap(([, ...turns]) => turns.map(([packet = '']) => packet));
  const piece = fc.oneof(
    fc.constantFrom(...seeds, ',', ';', ':', '-', '0', 'ffffffffffffffff', '7fffffff', 'read', 'x'),
    fc.string({ maxLength: 4 }),
  );
  const session = new GdbSession(guest);
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), fc.nat(), (pieces, cut) => {
      const whole = pieces.join('');
      for (const text of [whole, whole.slice(cut % (whole.length + 1))])
        for (const reply of session.answer(text).replies) {
          expect(reply.length).toBeLessThanOrEqual(MAX_PACKET);
          const reader = new PacketReader({ maxBytes: MAX_PACKET, expandRuns: true });
          const [event, ...rest] = reader.push(framePacket(reply));
          expect([event?.kind, rest]).toEqual(['packet', []]);
          if (text.startsWith('m') && !reply.startsWith('E')) expect(hexToBytes(reply)).toBeDefined();
        }
    }),
    { numRuns: 5000 },
  );
});
