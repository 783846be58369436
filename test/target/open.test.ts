// The three ways to a Target (dump file, preserved domain, running domain) give the same guest, and refusals say why.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { ControlServer } from '../../core/domain/control-server.ts';
import type { DomainRecord } from '../../core/domain/record.ts';
import { Registry } from '../../core/domain/registry.ts';
import { type DumpImage, writeDumpCore } from '../../core/dump/dump-core.ts';
import { createFile } from '../../core/host/files.ts';
import { identifyProcess } from '../../core/host/process-identity.ts';
import { NoSuchDomainError, openTarget } from '../../core/target/open.ts';
import { FormatError, MemoryFault } from '../../symbols/errors.ts';
import { registersWith } from '../support/registers.ts';

const image: DumpImage = {
  vcpus: [{ id: 0, online: true, registers: registersWith({ rip: 0x1234n, efer: 0xd01n }) }],
  xen: { major: 4, minor: 17, extra: '.0-pvh' },
  frames: [
    [1, new Uint8Array(4096).fill(1)],
    [2, new Uint8Array(4096).fill(2)],
  ],
};

const recordOf = (domid: number, name: string, values: Partial<DomainRecord>): DomainRecord => ({
  schema: 1,
  domid,
  name,
  uuid: '00000000-0000-4000-8000-000000000000',
  state: 'shutdown',
  paused: false,
  idle: false,
  memoryKiB: 131072,
  vcpus: [],
  virtualNanoseconds: 0,
  createdAt: '2026-01-01T00:00:00Z',
  kernel: { path: '/vmlinuz', sha256: '' },
  cmdline: '',
  seed: 1,
  wallclock: { seconds: 0, source: 'fixed' },
  actions: {
    on_poweroff: 'destroy',
    on_reboot: 'restart',
    on_crash: 'preserve',
    on_watchdog: 'destroy',
    on_soft_reset: 'soft-reset',
  },
  preserved: false,
  ...values,
});

let folder: string;
let registry: Registry;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pvh-target-'));
});
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  registry = new Registry(mkdtempSync(join(folder, 'state-')));
});

async function add(name: string, values: Partial<DomainRecord>): Promise<DomainRecord> {
  return registry.allocate(name, (domid) => ({ record: recordOf(domid, name, values), config: '' }));
}
const writeCore = (path: string) => createFile(path, (file) => writeDumpCore(file, image));

describe('a target', () => {
  let server: ControlServer | undefined;
  afterEach(() => server?.close());

  /** Each way: makes the guest reachable and tells what to ask for. */
  const ways: [string, () => Promise<string>][] = [
    [
      'dump-core',
      async () => {
        const path = join(folder, 'core.file');
        writeCore(path);
        return path;
      },
    ],
    [
      'preserved',
      async () => {
        const { domid } = await add('kept', { state: 'shutdown', preserved: true });
        writeCore(registry.files(domid).core);
        writeFileSync(registry.files(domid).console, 'Kernel panic\r\n');
        return 'kept';
      },
    ],
    [
      'live',
      async () => {
        const { domid } = await add('running', { state: 'running', process: identifyProcess() });
        server = new ControlServer(registry.files(domid).socket, {
          answer(request, onGone) {
            if (request.op !== 'snapshot') return { ok: false, error: request.op };
            const path = join(folder, 'snapshot');
            writeCore(path);
            onGone(() => rmSync(path));
            return { ok: true, path };
          },
          typed: () => undefined,
          attached: () => undefined,
        });
        await server.listen();
        writeFileSync(registry.files(domid).console, 'Linux version 6.1\r\n');
        return String(domid);
      },
    ],
  ];
  test.each(ways)('%s', async (kind, make) => {
    const target = await openTarget(await make(), { registry });
    expect(target.kind).toBe(kind);
    expect(target.vcpus).toMatchObject([{ id: 0, online: true, registers: { rip: 0x1234n, efer: 0xd01n } }]);
    expect(target.frames).toEqual([[1, 2]]);
    const into = new Uint8Array(2);
    target.readPhysical(0x1fff, into);
    expect([...into]).toEqual([1, 2]);
    expect(() => target.readPhysical(0x2fff, into)).toThrow(MemoryFault);
    target.close();
    expect(() => target.readPhysical(0x1000, into)).toThrow();
  });

  test('a domain brings its name and its console, a file does not', async () => {
    const [, [, preserved]] = ways as [unknown, (typeof ways)[number]];
    const target = await openTarget(await preserved(), { registry });
    expect(target.identity).toMatchObject({ name: 'kept', domid: 1, xenVersion: '4.17.0-pvh' });
    expect(new TextDecoder().decode(target.console)).toBe('Kernel panic\r\n');
    target.close();
  });

  test('the snapshot of a running domain leaves no file', async () => {
    const spec = await ways[2]?.[1]();
    const target = await openTarget(spec ?? '', { registry });
    await vi.waitFor(() => expect(existsSync(join(folder, 'snapshot'))).toBe(false));
    target.close();
  });
});

test('a process that refuses the snapshot is quoted', async () => {
  const { domid } = await add('busy', { state: 'running', process: identifyProcess() });
  const server = new ControlServer(registry.files(domid).socket, {
    answer: () => ({ ok: false, error: 'no space left' }),
    typed: () => undefined,
    attached: () => undefined,
  });
  await server.listen();
  await expect(openTarget('busy', { registry })).rejects.toThrow('no space left');
  server.close();
});

describe('a domain that ends while it is asked', () => {
  /** A domain whose process, asked for a snapshot, does `end` instead and hangs up. */
  async function ending(name: string, end: (domid: number) => void): Promise<() => number> {
    const { domid } = await add(name, { state: 'running', process: identifyProcess() });
    let asked = 0;
    const server = new ControlServer(registry.files(domid).socket, {
      answer() {
        asked++;
        end(domid);
        server.close();
        return new Promise(() => undefined);
      },
      typed: () => undefined,
      attached: () => undefined,
    });
    await server.listen();
    return () => asked;
  }
  const change = (domid: number, values: Partial<DomainRecord>): void =>
    registry.write({ ...recordOf(domid, 'web', values) });

  test('it panicked: the preserved domain is opened', async () => {
    await ending('web', (domid) => {
      writeCore(registry.files(domid).core);
      change(domid, { state: 'shutdown', shutdownReason: 'crash', preserved: true });
    });
    const target = await openTarget('web', { registry });
    expect(target.kind).toBe('preserved');
    target.close();
  });
  test('it takes a moment until its record says so', async () => {
    await ending('web', (domid) => {
      setTimeout(() => change(domid, { state: 'shutdown', shutdownReason: 'poweroff' }), 200);
    });
    await expect(openTarget('web', { registry })).rejects.toThrow('has ended (poweroff)');
  });
  test('it was destroyed', async () => {
    await ending('web', (domid) => registry.remove(domid));
    await expect(openTarget('web', { registry })).rejects.toThrow(NoSuchDomainError);
  });
  test('it runs on, and does not answer: that is told, once', async () => {
    const asked = await ending('web', () => undefined);
    await expect(openTarget('web', { registry })).rejects.toThrow(/the domain's process ended without/);
    expect(asked()).toBe(1);
  });
});

test.each([
  ['lost', { state: 'running', process: { pid: 2 ** 22 + 1, startTime: 'never' } }, 'was lost'],
  ['ended', { state: 'shutdown', shutdownReason: 'poweroff' }, 'has ended (poweroff)'],
  ['half made', { state: 'creating', process: identifyProcess() }, 'still being created'],
] as const)('a domain that is %s is refused', async (_, values, message) => {
  await add('web', values);
  await expect(openTarget('web', { registry })).rejects.toThrow(message);
});

describe('files that are none', () => {
  test('nothing of this name', async () => {
    await expect(openTarget('nosuch', { registry })).rejects.toThrow(NoSuchDomainError);
    await expect(openTarget(join(folder, 'nosuch'), { registry })).rejects.toThrow(
      'nosuch: no such file or directory',
    );
  });
  test('another format', async () => {
    const path = join(folder, 'notes.txt');
    writeFileSync(path, 'hello');
    await expect(openTarget(path, { registry })).rejects.toThrow(FormatError);
  });
  test.each([
    [
      'text',
      'hello',
      /xl dump-core file: not an ELF file; ELF memory dump: not an ELF file; kdump file: no.*; saved domain: starts as no/,
    ],
    ['nothing', '', 'the file is empty'],
    ['xl save', 'Xen saved domain, xl format\n', 'an image of xl save whose header is cut off'],
    ['gzip', '\x1f\x8b\x08\0', 'compressed with gzip: unpack it first'],
    ['old diskdump', 'DISKDUMP', 'diskdump of before 2006'],
  ])('each kind says why it is not its: %s', async (name, content, message) => {
    const path = join(folder, `${name}.file`);
    writeFileSync(path, content, 'latin1');
    await expect(openTarget(path, { registry })).rejects.toThrow(message);
  });
  test('a preserved domain whose core is damaged', async () => {
    const { domid } = await add('hurt', { preserved: true });
    writeFileSync(registry.files(domid).core, '\x7fELF');
    await expect(openTarget('hurt', { registry })).rejects.toThrow(FormatError);
  });
});
