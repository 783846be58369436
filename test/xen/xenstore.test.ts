import { describe, expect, test } from 'vitest';
import { ringPut, ringTake } from '../../core/xen/ring.ts';
import { encodeMessage, joinStrings, text } from '../../core/xen/xenstore/message.ts';
import { StoreError } from '../../core/xen/xenstore/tree.ts';
import { XenTestGuest } from '../support/xen-guest.ts';

const T = {
  CONTROL: 0,
  DIRECTORY: 1,
  READ: 2,
  GET_PERMS: 3,
  WATCH: 4,
  UNWATCH: 5,
  START: 6,
  END: 7,
  DOMAIN_PATH: 10,
  WRITE: 11,
  MKDIR: 12,
  RM: 13,
  SET_PERMS: 14,
  EVENT: 15,
  ERROR: 16,
  RESET_WATCHES: 21,
  DIRECTORY_PART: 22,
} as const;
const STORE_PAGE = 0xfeffc000;
const REQ = { buffer: 0, size: 1024, cons: 2048, prod: 2052 };
const RSP = { buffer: 1024, size: 1024, cons: 2056, prod: 2060 };
const EVTCHN_send = 4;
const STORE_PORT = 1;

/** A guest's driver of the ring: requests out, replies and watch events in. */
class Client {
  readonly guest = new XenTestGuest({ vcpus: 2 });
  #in = new Uint8Array();
  #id = 0;

  page(): DataView {
    const frame = this.guest.machine.mappedFrame(STORE_PAGE / 4096);
    return this.guest.machine.frameDataView(frame ?? -1);
  }

  send(bytes: Uint8Array): void {
    for (let sent = 0; sent < bytes.length; ) {
      sent += ringPut(this.page(), REQ, bytes.subarray(sent));
      this.kick();
    }
  }

  kick(): void {
    expect(this.guest.op(32, EVTCHN_send, [[0, 4, STORE_PORT]])).toBe(0);
  }

  /** Everything that waits in the reply ring, as [type, text with | for NUL]. */
  receive(): [number, string][] {
    const messages: [number, string][] = [];
    for (
      let bytes = ringTake(this.page(), RSP, 1024);
      bytes.length > 0;
      bytes = ringTake(this.page(), RSP, 1024)
    ) {
      this.#in = Uint8Array.from([...this.#in, ...bytes]);
      this.kick();
    }
    while (this.#in.length >= 16) {
      const view = new DataView(this.#in.buffer);
      const length = view.getUint32(12, true);
      const payload = this.#in.slice(16, 16 + length);
      messages.push([view.getUint32(0, true), Buffer.from(payload).toString('latin1').replaceAll('\0', '|')]);
      this.#in = this.#in.slice(16 + length);
    }
    return messages;
  }

  /** Sends a request of NUL-terminated strings, or of raw bytes; all that comes back. */
  ask(type: number, payload: readonly string[] | Uint8Array, tx_id = 0): [number, string][] {
    const bytes = payload instanceof Uint8Array ? payload : joinStrings(payload);
    this.send(encodeMessage({ type, req_id: ++this.#id, tx_id, payload: bytes }));
    return this.receive();
  }

  write(path: string, value: string, tx = 0): [number, string][] {
    return this.ask(T.WRITE, text(`${path}\0${value}`), tx);
  }
}

const OK = 'OK|';

describe('requests', () => {
  test.each<[string, number, string[], [number, string]]>([
    ['read relative', T.READ, ['domid'], [T.READ, '1']],
    ['read absolute', T.READ, ['/local/domain/1/name'], [T.READ, 'test']],
    ['read nothing', T.READ, ['nothing'], [T.ERROR, 'ENOENT|']],
    ['read below what is not its own', T.READ, ['/local/domain/0/name'], [T.ERROR, 'EACCES|']],
    ['read two paths', T.READ, ['domid', 'name'], [T.ERROR, 'EINVAL|']],
    ['read a bad path', T.READ, ['a//b'], [T.ERROR, 'EINVAL|']],
    ['read ..', T.READ, ['../2/name'], [T.ERROR, 'EINVAL|']],
    ['directory', T.DIRECTORY, ['cpu'], [T.DIRECTORY, '0|1|']],
    ['empty directory', T.DIRECTORY, ['data'], [T.DIRECTORY, '']],
    ['permissions', T.GET_PERMS, ['data'], [T.GET_PERMS, 'n1|']],
    ['permissions of the host', T.GET_PERMS, ['name'], [T.GET_PERMS, 'n0|r1|']],
    ['domain path', T.DOMAIN_PATH, ['7'], [T.DOMAIN_PATH, '/local/domain/7|']],
    ['mkdir in its own', T.MKDIR, ['data/a/b'], [T.MKDIR, OK]],
    ['mkdir in the host\u2019s', T.MKDIR, ['new'], [T.ERROR, 'EACCES|']],
    ['remove what is the host\u2019s', T.RM, ['name'], [T.ERROR, 'EACCES|']],
    ['remove its home', T.RM, ['/local/domain/1'], [T.ERROR, 'EINVAL|']],
    ['give a node away', T.SET_PERMS, ['data', 'n0'], [T.ERROR, 'EPERM|']],
    ['share a node', T.SET_PERMS, ['data', 'n1', 'r7'], [T.SET_PERMS, OK]],
    ['nonsense permission', T.SET_PERMS, ['data', 'x1'], [T.ERROR, 'EINVAL|']],
    ['control', T.CONTROL, ['print'], [T.ERROR, 'EACCES|']],
    ['unknown type', 77, [''], [T.ERROR, 'ENOSYS|']],
    ['unwatch what is not watched', T.UNWATCH, ['data', 't'], [T.ERROR, 'ENOENT|']],
    ['end of no transaction', T.END, ['T'], [T.ERROR, 'ENOENT|']],
  ])('%s', (_name, type, payload, reply) => {
    expect(new Client().ask(type, payload)).toEqual([reply]);
  });

  test('write, read back, and what the host sees of it', () => {
    const client = new Client();
    const seen: string[] = [];
    client.guest.xen.xenstore.watch('/local/domain/1', (path) => seen.push(path));
    expect(client.write('control/feature-reboot', '1')).toEqual([[T.WRITE, OK]]);
    expect(client.write('data/deep/er', '')).toEqual([[T.WRITE, OK]]);
    expect(client.guest.xen.understands('reboot')).toBe(true);
    expect(client.guest.xen.understands('poweroff')).toBe(false);
    expect(seen).toEqual(['/local/domain/1/control/feature-reboot', '/local/domain/1/data/deep/er']);
    expect(client.write('name', 'x')).toEqual([[T.ERROR, 'EACCES|']]);
    expect(client.write('domid/x', 'x')).toEqual([[T.ERROR, 'EACCES|']]);
  });

  test('a message larger than the ring, in and out', () => {
    const client = new Client();
    const value = 'v'.repeat(2048);
    expect(client.write('data/long', value)).toEqual([[T.WRITE, OK]]);
    expect(client.ask(T.READ, ['data/long'])).toEqual([[T.READ, value]]);
    expect(client.write('data/long', `${value}x`)).toEqual([[T.ERROR, 'ENOSPC|']]);
  });

  test('a directory larger than a message comes in parts', () => {
    const client = new Client();
    const names = Array.from({ length: 300 }, (_, i) => `a-rather-long-name-${i}`);
    for (const name of names) client.write(`data/${name}`, '');
    expect(client.ask(T.DIRECTORY, ['data'])).toEqual([[T.ERROR, 'E2BIG|']]);
    let listed = '';
    for (let offset = 0, end = false; !end; offset = listed.length) {
      const [[type, reply] = [0, '']] = client.ask(T.DIRECTORY_PART, ['data', String(offset)]);
      expect(type).toBe(T.DIRECTORY_PART);
      const part = reply.slice(reply.indexOf('|') + 1);
      end = part.endsWith('||') || part === '|';
      listed += end ? part.slice(0, -1) : part;
    }
    expect(listed.split('|').slice(0, -1)).toEqual(names);
  });
});

describe('watches', () => {
  test('fire at once, then for the node and below it, relative as they were set', () => {
    const client = new Client();
    expect(client.ask(T.WATCH, ['control/shutdown', 'tok'])).toEqual([
      [T.WATCH, OK],
      [T.EVENT, 'control/shutdown|tok|'],
    ]);
    expect(client.ask(T.WATCH, ['control/shutdown', 'tok'])).toEqual([[T.ERROR, 'EEXIST|']]);
    client.ask(T.WATCH, ['/local/domain/1/data', 'abs']);
    client.guest.xen.requestShutdown('poweroff');
    expect(client.receive()).toEqual([[T.EVENT, 'control/shutdown|tok|']]);
    expect(client.ask(T.READ, ['control/shutdown'])).toEqual([[T.READ, 'poweroff']]);
    expect(client.write('data/x', '1')).toEqual([
      [T.WRITE, OK],
      [T.EVENT, '/local/domain/1/data/x|abs|'],
    ]);
    expect(client.ask(T.UNWATCH, ['/local/domain/1/data', 'abs'])).toEqual([[T.UNWATCH, OK]]);
    expect(client.write('data/x', '2')).toEqual([[T.WRITE, OK]]);
  });

  test('removal tells the watchers above once, and those below of their own node', () => {
    const client = new Client();
    client.write('data/a/b', '');
    client.ask(T.WATCH, ['data', 'top']);
    client.ask(T.WATCH, ['data/a/b', 'leaf']);
    expect(client.ask(T.RM, ['data/a'])).toEqual([
      [T.RM, OK],
      [T.EVENT, 'data/a|top|'],
      [T.EVENT, 'data/a/b|leaf|'],
    ]);
    expect(client.ask(T.RM, ['data/a'])).toEqual([[T.RM, OK]]);
    expect(client.ask(T.RM, ['data/x/y'])).toEqual([[T.ERROR, 'ENOENT|']]);
  });

  test('the host raises a sysrq', () => {
    const client = new Client();
    client.ask(T.WATCH, ['control/sysrq', 's']);
    client.guest.xen.sysrq('c');
    expect(client.receive()).toEqual([[T.EVENT, 'control/sysrq|s|']]);
    expect(client.ask(T.READ, ['control/sysrq'])).toEqual([[T.READ, 'c']]);
  });

  test('reset forgets all of them', () => {
    const client = new Client();
    client.ask(T.WATCH, ['data', 't']);
    expect(client.ask(T.RESET_WATCHES, [''])).toEqual([[T.RESET_WATCHES, OK]]);
    expect(client.write('data/x', '')).toEqual([[T.WRITE, OK]]);
  });
});

describe('transactions', () => {
  const start = (client: Client): number => {
    const [[type, id] = [0, '']] = client.ask(T.START, ['']);
    expect(type).toBe(T.START);
    return Number.parseInt(id, 10);
  };

  test('changes appear at the end, and watches fire then', () => {
    const client = new Client();
    client.ask(T.WATCH, ['data', 't']);
    const tx = start(client);
    expect(client.write('data/x', '1', tx)).toEqual([[T.WRITE, OK]]);
    expect(client.ask(T.READ, ['data/x'])).toEqual([[T.ERROR, 'ENOENT|']]);
    expect(client.ask(T.READ, ['data/x'], tx)).toEqual([[T.READ, '1']]);
    expect(client.ask(T.END, ['T'], tx)).toEqual([
      [T.END, OK],
      [T.EVENT, 'data/x|t|'],
    ]);
    expect(client.ask(T.READ, ['data/x'])).toEqual([[T.READ, '1']]);
  });

  test('one that was called off leaves nothing', () => {
    const client = new Client();
    const tx = start(client);
    client.write('data/x', '1', tx);
    expect(client.ask(T.END, ['F'], tx)).toEqual([[T.END, OK]]);
    expect(client.ask(T.READ, ['data/x'])).toEqual([[T.ERROR, 'ENOENT|']]);
    expect(client.ask(T.READ, ['data/x'], tx)).toEqual([[T.ERROR, 'ENOENT|']]);
  });

  test.each([
    ['a value that it read changed', ['data/x', '2'], 'EAGAIN|', T.ERROR],
    ['something else changed', ['data/y/z', '2'], OK, T.END],
  ] as const)('%s meanwhile', (_name, [path, value], reply, type) => {
    const client = new Client();
    client.write('data/x', '1');
    client.write('data/y', '1');
    const tx = start(client);
    client.ask(T.READ, ['data/x'], tx);
    client.guest.xen.xenstore.write(`/local/domain/1/${path}`, value);
    expect(client.ask(T.END, ['T'], tx)).toEqual([[type, reply]]);
  });

  test('not inside another, and ten at most', () => {
    const client = new Client();
    const tx = start(client);
    expect(client.ask(T.START, [''], tx)).toEqual([[T.ERROR, 'EBUSY|']]);
    for (let i = 0; i < 9; i++) start(client);
    expect(client.ask(T.START, [''])).toEqual([[T.ERROR, 'ENOSPC|']]);
  });
});

describe('a hostile guest', () => {
  test('nodes and watches run out', () => {
    const client = new Client();
    let nodes = 0;
    while (client.write(`data/n${nodes}`, '')[0]?.[1] === OK) nodes++;
    expect(nodes).toBe(1000);
    expect(client.ask(T.RM, ['data/n0'])).toEqual([[T.RM, OK]]);
    expect(client.write('data/again', '')).toEqual([[T.WRITE, OK]]);
    let watches = 0;
    while (client.ask(T.WATCH, ['data', `t${watches}`])[0]?.[1] === OK) watches++;
    expect(watches).toBe(128);
  });

  test('replies that are not read hold further requests back', () => {
    const client = new Client();
    const request = encodeMessage({ type: T.READ, req_id: 1, tx_id: 0, payload: text('domid\0') });
    for (let i = 0; i < 500; i++) {
      ringPut(client.page(), REQ, request.subarray(0, request.length));
      client.kick();
    }
    const waiting = client.guest.xen.snapshot().store.output.length;
    expect(waiting).toBeLessThanOrEqual(21);
    expect(client.receive().length).toBeGreaterThan(waiting);
  });

  test('events that are not read are kept once each', () => {
    const client = new Client();
    client.ask(T.WATCH, ['data', 't']);
    for (let i = 0; i < 5000; i++) client.guest.xen.xenstore.write('/local/domain/1/data/x', String(i));
    expect(client.guest.xen.snapshot().store.output.length).toBeLessThan(3);
  });

  test.each([
    ['indices that cannot be', (page: DataView) => page.setUint32(REQ.prod, 5000, true), 2],
    [
      'a length beyond the limit',
      (page: DataView) => {
        const header = encodeMessage({ type: 2, req_id: 0, tx_id: 0, payload: new Uint8Array(0) });
        new DataView(header.buffer).setUint32(12, 4097, true);
        ringPut(page, REQ, header);
      },
      3,
    ],
  ])('%s: the guest is told and not listened to any more', (_name, breakIt, error) => {
    const client = new Client();
    breakIt(client.page());
    client.kick();
    expect(client.page().getUint32(2072, true)).toBe(error);
    client.page().setUint32(REQ.prod, client.page().getUint32(REQ.cons, true), true);
    ringPut(client.page(), REQ, encodeMessage({ type: 2, req_id: 1, tx_id: 0, payload: text('domid\0') }));
    client.kick();
    expect(client.receive()).toEqual([]);
  });

  test('console ring with impossible indices', () => {
    const guest = new XenTestGuest();
    guest.machine.writeU32(0xfeff_f000 + 3084, 0x8000_0000);
    expect(guest.op(32, EVTCHN_send, [[0, 4, 2]])).toBe(0);
    guest.xen.consoleInput(new Uint8Array(1 << 20));
    expect(guest.xen.snapshot().console.input.length).toBeLessThanOrEqual(65536);
    expect(guest.console).toBe('');
  });
});

describe('console', () => {
  test('output drains on send, input appears in the ring', () => {
    const guest = new XenTestGuest();
    const page = 0xfeff_f000;
    guest.machine.write(page + 1024 + 2040, Buffer.from('Hello, w'));
    guest.machine.write(page + 1024, Buffer.from('orld'));
    guest.machine.writeU32(page + 3080, 2040);
    guest.machine.writeU32(page + 3084, 2052);
    guest.op(32, EVTCHN_send, [[0, 4, 2]]);
    expect(guest.console).toBe('Hello, world');
    expect(guest.machine.readU32(page + 3080)).toBe(2052);
    guest.xen.consoleInput(Buffer.from('ls\n'));
    expect(Buffer.from(guest.machine.read(page, 3)).toString()).toBe('ls\n');
    expect(guest.machine.readU32(page + 3076)).toBe(3);
  });
});

describe('the host\u2019s side', () => {
  test('the tree of a new domain is libxl\u2019s', () => {
    const { xen } = new XenTestGuest({ vcpus: 2 });
    const lines = xen.xenstore
      .dump('/local/domain/1')
      .slice(1)
      .map(({ path, value, permissions }) => {
        const shown = permissions.map(({ domid, access }) => `${access}${domid}`).join(',');
        return `${path.slice('/local/domain/1/'.length)} = "${value}"   (${shown})`;
      });
    // The console's tty is known only once somebody attaches; the rest as in a capture of xenstore-ls -f -p.
    expect(lines).toMatchInlineSnapshot(`
      [
        "vm = "/vm/01234567-89ab-cdef-0123-456789abcdef"   (n0,r1)",
        "name = "test"   (n0,r1)",
        "cpu = ""   (n0,r1)",
        "cpu/0 = ""   (n0,r1)",
        "cpu/0/availability = "online"   (n0,r1)",
        "cpu/1 = ""   (n0,r1)",
        "cpu/1/availability = "online"   (n0,r1)",
        "memory = ""   (n0,r1)",
        "memory/static-max = "16384"   (n0,r1)",
        "memory/target = "16384"   (n0,r1)",
        "memory/videoram = "0"   (n0,r1)",
        "device = ""   (n0,r1)",
        "device/suspend = ""   (n0,r1)",
        "device/suspend/event-channel = ""   (n1)",
        "control = ""   (n0,r1)",
        "control/shutdown = ""   (n1)",
        "control/feature-poweroff = ""   (n1)",
        "control/feature-reboot = ""   (n1)",
        "control/feature-suspend = ""   (n1)",
        "control/sysrq = ""   (n1)",
        "control/platform-feature-multiprocessor-suspend = "1"   (n0,r1)",
        "control/platform-feature-xs_reset_watches = "1"   (n0,r1)",
        "data = ""   (n1)",
        "drivers = ""   (n1)",
        "feature = ""   (n1)",
        "attr = ""   (n1)",
        "error = ""   (n1)",
        "domid = "1"   (n0,r1)",
        "store = ""   (n0,r1)",
        "store/port = "1"   (n0,r1)",
        "store/ring-ref = "1044476"   (n0,r1)",
        "console = ""   (n0,r1)",
        "console/backend = "/local/domain/0/backend/console/1/0"   (n0,r1)",
        "console/backend-id = "0"   (n1,r0)",
        "console/limit = "1048576"   (n0,r1)",
        "console/type = "xenconsoled"   (n0,r1)",
        "console/output = "pty"   (n0,r1)",
        "console/tty = ""   (n0,r1)",
        "console/port = "2"   (n0,r1)",
        "console/ring-ref = "1044479"   (n0,r1)",
      ]
    `);
  });

  test('a path that is none', () => {
    const { xen } = new XenTestGuest();
    expect(() => xen.xenstore.write('/a b', '')).toThrow(StoreError);
    expect(xen.xenstore.read('/nothing')).toBeUndefined();
    expect(xen.xenstore.list('/local/domain')).toEqual(['0', '1']);
    xen.xenstore.remove('/local/domain/0');
    expect(xen.xenstore.list('/local/domain')).toEqual(['1']);
  });
});
