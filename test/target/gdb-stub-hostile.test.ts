// Stubs that lie, are silent, or talk without end: a typed error in bounded time, and the guest is told to go on.
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GdbStubError } from '../../core/gdb/client.ts';
import { readDescription } from '../../core/gdb/client-description.ts';
import { openGdbStub } from '../../core/target/gdb-stub.ts';
import { FormatError, MemoryFault } from '../../symbols/errors.ts';
import { CORE_DESCRIPTION, ScriptedStub, type StubScript } from '../support/scripted-stub.ts';

/** Where no answer comes: more than a busy machine takes to start the thread that waits for one. */
const TIMEOUT_MS = 3000;

/** rax 1 and so on; 17 of 8 bytes, 7 of 4. */
const registers = [
  ...Array.from(
    { length: 17 },
    (_, index) => `${(index + 1).toString(16).padStart(2, '0')}${'00'.repeat(7)}`,
  ),
  ...Array.from({ length: 7 }, (_, index) => `${(index + 0x20).toString(16)}000000`),
].join('');

/** A small honest stub, over which a test lays its lies. */
const honest: StubScript = [
  ['^qSupported', 'PacketSize=1000;qXfer:features:read+'],
  ['^qXfer:features:read:target.xml:0,', `l${CORE_DESCRIPTION}`],
  ['^qfThreadInfo', 'm1,2'],
  ['^qsThreadInfo', 'l'],
  ['^(Hg|D)', 'OK'],
  ['^g$', registers],
  ['^mffffffff81000', '42'.repeat(2048)],
  ['^m', 'E14'],
];
const started = (...lies: StubScript): Promise<ScriptedStub> => ScriptedStub.start([...lies, ...honest]);

test('a stub with little: virtual memory only, and what it lacks is named', async () => {
  await using stub = await started();
  const target = openGdbStub(stub.place);
  const [vcpu] = target.vcpus;
  expect(target.vcpus).toHaveLength(2);
  expect(vcpu?.registers).toMatchObject({ rax: 1n, rip: 17n, rflags: 0x20n, cs: { selector: 0x21 } });
  expect(vcpu?.registers?.cr3).toBeUndefined();
  expect(target.lacks.join()).toMatch(/CR3.*EFER.*physical memory: the gdb stub reads by virtual addresses/);
  expect(target.frames).toEqual([]);
  expect(() => target.readPhysical(0x1000, new Uint8Array(1))).toThrow(MemoryFault);
  const bytes = new Uint8Array(4);
  target.readVirtual?.(1, 0xffffffff81000ffen - 2n, bytes);
  expect([...bytes]).toEqual([0x42, 0x42, 0x42, 0x42]);
  expect(() => target.readVirtual?.(1, 0xffffffff81000ffen, bytes)).toThrow(
    expect.objectContaining({ space: 'virtual', address: 0xffffffff81001000n }),
  );
  target.close();
  expect(await stub.seen()).toEqual(expect.arrayContaining(['Hg1', 'Hg2', 'D']));
  expect((await stub.seen()).at(-1)).toBe('D');
  expect(() => target.readVirtual?.(0, 0n, bytes)).toThrow(GdbStubError);
  target.close();
});

describe('a guest that was found stopped stays so', () => {
  const hex = (text: string): string => `O${Buffer.from(text).toString('hex')}`;
  test.each<[string, boolean, StubScript]>([
    ['QEMU that has not started it', false, [['^qRcmd,', hex('VM status: paused (prelaunch)\r\n'), 'OK']]],
    [
      'QEMU 7.2 that tells of no stop',
      false,
      [
        ['^qRcmd,696e666f2073', hex('VM status: paused\r\n'), 'OK'],
        ['^qRcmd,696e666f2076', hex('7.2.22 (Debian)\r\n'), 'OK'],
      ],
    ],
    [
      'QEMU 7.2 that tells of a stop',
      true,
      [
        ['^qRcmd,696e666f2073', hex('VM status: paused\r\n'), 'OK'],
        ['^qRcmd,696e666f2076', hex('7.2.22 (Debian)\r\n'), 'OK'],
        ['^qSupported', 'T02thread:01;', 'PacketSize=1000'],
      ],
    ],
    [
      'QEMU 10, which does not tell',
      true,
      [
        ['^qRcmd,696e666f2073', hex('VM status: paused\r\n'), 'OK'],
        ['^qRcmd,696e666f2076', hex('10.0.0\r\n'), 'OK'],
      ],
    ],
    ['a stub without a monitor', true, []],
  ])('%s: goes on %s', async (_, goesOn, lies) => {
    await using stub = await started(...lies);
    openGdbStub(stub.place).close();
    const saysGoodbye = async (): Promise<boolean> => (await stub.seen()).includes('D');
    if (goesOn) await expect.poll(saysGoodbye, { timeout: 30_000 }).toBe(true);
    else {
      await sleep(500);
      expect(await saysGoodbye()).toBe(false);
    }
  });
});

describe('what is no answer is an error with the stub in it', () => {
  const annex = (name: string, text: string): StubScript[number] => [`^qXfer:features:read:${name}:`, text];
  test.each<[string, RegExp, StubScript]>([
    ['silence', /127\.0\.0\.1:\d+: no answer within 3 s \(it serves one debugger/, [['^qSupported', '%raw']]],
    [
      'a hundred thousand acknowledgements',
      /no answer within/,
      [['^qSupported', `%raw${'+'.repeat(100_000)}`]],
    ],
    ['only stop packets', /no answer within/, [['^qSupported', ...Array<string>(1000).fill('T05')]]],
    ['a packet without end', /no answer within/, [['^qSupported', `%raw$${'x'.repeat(1 << 20)}`]]],
    [
      'a packet that is too long',
      /damaged packet: more than \d+ bytes/,
      [['^qSupported', 'x'.repeat(1 << 20)]],
    ],
    ['a wrong checksum', /damaged packet: checksum "00"/, [['^qSupported', '%raw$PacketSize=400#00']]],
    ['runs that make it too long', /damaged packet/, [['^qSupported', `x${'*~'.repeat(60_000)}`]]],
    ['no target description', /no target description \(target\.xml\)/, [['^qXfer', '']]],
    [
      'a description without end',
      /features:read:target\.xml does not end/,
      [['^qXfer', `m${'x'.repeat(4000)}`]],
    ],
    ['a description that stands still', /makes no progress/, [['^qXfer', 'm']]],
    [
      'includes in a circle',
      /includes "target.xml": too many/,
      [annex('target.xml', 'l<xi:include href="target.xml"/>')],
    ],
    [
      'includes that multiply',
      /too many/,
      [
        annex('target.xml', `l${'<xi:include href="a.xml"/>'.repeat(60)}`),
        annex('a.xml', `l${'<xi:include href="b.xml"/>'.repeat(60)}`),
        annex('b.xml', 'l'),
      ],
    ],
    [
      'an include that is a path',
      /includes "\.\.\/x y"/,
      [annex('target.xml', 'l<xi:include href="../x y"/>')],
    ],
    ['a comment without end', /no -->/, [annex('target.xml', `l${'<!--'.repeat(900)}`)]],
    [
      'a register of 10^15 bits',
      /register "rax" of 1000000000000000 bits/,
      [annex('target.xml', 'l<reg name="rax" bitsize="1000000000000000"/>')],
    ],
    ['a list of threads that is none', /no list of threads: "mx;y"/, [['^qfThreadInfo', 'mx;y']]],
    ['threads without end', /more than 512 threads/, [['^q.ThreadInfo', `m${'1,'.repeat(99)}1`]]],
    ['a thread that cannot be chosen', /Hg1: "E01"/, [['^Hg', 'E01']]],
    [
      'a monitor that does not end',
      /'info status' does not end/,
      [['^qRcmd', ...Array<string>(300).fill(`O${'41'.repeat(4096)}`)]],
    ],
  ])('%s', async (_, message, lies) => {
    await using stub = await started(...lies);
    const isSilence = message.source.includes('no answer');
    let error: unknown;
    try {
      openGdbStub(stub.place, isSilence ? TIMEOUT_MS : undefined).close();
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toSatisfy((it) => it instanceof GdbStubError || it instanceof FormatError);
    expect(String(error)).toMatch(message);
    await expect.poll(async () => (await stub.seen()).at(-1), { timeout: 30_000 }).toBe('D');
  });

  test.each<[string, string, RegExp]>([
    ['nothing at all', '', /gives no registers/],
    ['an error', 'E01', /gives no registers: E01/],
    ['registers that are not available', 'xx'.repeat(164), /does not give rax/],
    ['half of them', registers.slice(0, 200), /does not give r12/],
    ['letters', 'zz'.repeat(164), /does not give rax/],
  ])('%s instead of registers: the vCPU says why it has none', async (_, answer, why) => {
    await using stub = await started(['^g$', answer], ['^p', 'E01']);
    const target = openGdbStub(stub.place);
    expect(target.vcpus[0]).toMatchObject({ id: 0, missing: expect.stringMatching(why) });
    target.close();
  });

  test('a stub that goes away in the middle: reading says so, each time at once', async () => {
    const stub = await started();
    const target = openGdbStub(stub.place);
    await stub[Symbol.asyncDispose]();
    for (let count = 0; count < 3; count++)
      expect(() => target.readVirtual?.(0, 0xffffffff81000000n, new Uint8Array(8))).toThrow(GdbStubError);
    target.close();
  });

  test('short answers and odd ones are memory that cannot be read', async () => {
    for (const answer of ['42', '4', 'OK', '42'.repeat(4096), 'E.no such memory']) {
      await using stub = await started(['^m', answer]);
      const target = openGdbStub(stub.place);
      expect(() => target.readVirtual?.(0, 0x1000n, new Uint8Array(8))).toThrow(MemoryFault);
      target.close();
    }
  });
});

test('whatever stands in a description, it is read or refused', () => {
  const piece = fc.constantFrom(
    '<',
    '>',
    '<!--',
    '-->',
    '<reg ',
    '<xi:include ',
    'name="rax" ',
    "href='a.xml'",
    'bitsize="64"',
    'regnum="7"',
    '"',
    '/>',
    ' ',
    '=',
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(piece, fc.string({ maxLength: 5 })), { maxLength: 60 }), (pieces) => {
      try {
        for (const { bits } of readDescription(() => pieces.join(''))) expect(bits % 8).toBe(0);
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
      }
    }),
    { seed: 4, numRuns: 5000 },
  );
});

describe('an address at which there is no stub', () => {
  test.each([
    ['unix:/nonexistent/gdb', /gdb stub at unix:\/nonexistent\/gdb: connect ENOENT/],
    ['unix:', /neither gdb:HOST:PORT nor gdb:unix:PATH/],
    ['localhost', /neither/],
    ['host:99999', /neither/],
    ['', /neither/],
  ])('%s', (place, message) => {
    expect(() => openGdbStub(place)).toThrow(message);
  });

  test('nobody listens there', async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) =>
      server.listen(0, '127.0.0.1', () => {
        const address = server.address();
        resolve(typeof address === 'object' ? (address?.port ?? 0) : 0);
      }),
    );
    await new Promise((resolve) => server.close(resolve));
    expect(() => openGdbStub(`127.0.0.1:${port}`)).toThrow(/ECONNREFUSED/);
  });
});
