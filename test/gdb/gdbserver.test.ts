// gdb itself over our server, on the sample guests: stacks, registers, memory, what cannot be changed, how it ends.
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { Host } from '../kernel/guest.ts';
import {
  backtraces,
  GdbServer,
  gdb,
  gdbFunctions,
  hasGdb,
  INTERRUPTED,
  xenctxFunctions,
} from '../support/gdb.ts';

const vmlinux = (name: string): string =>
  fileURLToPath(new URL(`../../samples/${name}/vmlinux`, import.meta.url));

/** The same frames, as far as gdb tells: it does not name what an exception pushed its registers from. */
function expectSame(backtrace: string, trace: string): void {
  const [shown, found] = [gdbFunctions(backtrace), xenctxFunctions(trace)];
  expect(shown).toEqual(found.map((name, index) => (shown[index] === INTERRUPTED ? INTERRUPTED : name)));
  expect(shown.length).toBeGreaterThan(2);
}

describe.runIf(hasGdb)('gdb with a preserved guest', { timeout: 120_000 }, () => {
  const host = new Host();
  afterAll(() => host[Symbol.dispose]());
  const crash = (name: string, vcpus = 1): Promise<string> =>
    host.untilShutdown(
      host.create(name, {
        kernel: `"${vmlinux(name)}"`,
        memory: '16',
        vcpus: String(vcpus),
        on_crash: '"preserve"',
      }),
    );

  test('the stack of a null dereference, through the exception; registers and memory; and nothing changes', async () => {
    const name = 'null-dereference';
    await crash(name);
    await using server = await GdbServer.start(host.stateDir, name, '-s', vmlinux(name), '--once');
    expect(server.address).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(server.greeting[1]).toBe(`  gdb ${vmlinux(name)} -ex 'target remote ${server.address}'`);
    const [bt = '', threads = '', registers = '', control = '', memory = '', ...rest] = await gdb(
      server,
      vmlinux(name),
      [
        'bt',
        'info threads',
        'info registers rip rsp eflags',
        'info registers cr0 cr3 cr4',
        'x/2xg $rsp',
        'x/xb 0',
        'monitor xenctx',
        'monitor phys 105000 10',
        'set var $rax = 1',
        'set var *(long *)$rsp = 1',
        'stepi',
        'continue',
        'bt',
      ],
    );
    const [unmapped, trace = '', physical, setRegister, setMemory, step, go, again = ''] = rest;
    const xenctx = host.ok('xenctx', '-s', vmlinux(name), name);
    expectSame(bt, xenctx);
    expectSame(bt, trace);
    expect(gdbFunctions(bt)).toContain(INTERRUPTED);
    expect(bt).toMatch(/ at samples\/null-dereference\/main\.c:\d+\n/);
    expect(threads).toMatch(/^\* 1 +Thread 1 \(vCPU 0\) /m);
    const field = (label: string): string | undefined =>
      new RegExp(`(?:^|\\s)${label}: ([0-9a-f]{16})`, 'm').exec(xenctx)?.[1];
    for (const label of ['rip', 'rsp'])
      expect(registers).toMatch(new RegExp(`^${label} +0x${field(label)?.replace(/^0+/, '')} `, 'm'));
    expect(registers).toMatch(/^eflags +0x\d+ +\[ .*IOPL=0 \]$/m);
    expect(control).toMatch(/^cr0 +0x80010033 +\[ PE MP ET NE WP PG \]$/m);
    expect(control).toMatch(/^cr3 +0x105000 /m);
    const words = /^Stack:\n ([0-9a-f]{16}) ([0-9a-f]{16}) /m.exec(xenctx)?.slice(1) ?? [];
    expect(memory).toMatch(new RegExp(`:\\s+0x${words[0]}\\s+0x${words[1]}`));
    expect(unmapped).toContain('Cannot access memory at address 0x0');
    expect(physical).toMatch(/^0000000000105000: ([0-9a-f]{2} ){16}/m);
    expect(setRegister).toContain('the guest can only be read');
    expect(setMemory).toContain('Cannot access memory');
    for (const text of [step, go]) expect(text).toContain('the guest does not run');
    expect(again).toBe(bt);
    expect(await server.ended()).toBe(0);
    expect(server.stderr).toBe('pvh-report: a debugger is there\npvh-report: the debugger has left\n');
    expect(host.ok('xenctx', '-s', vmlinux(name), name)).toBe(xenctx);
  });

  test('a thread for each vCPU, the one that crashed first; over a Unix socket, twice, ended with SIGINT', async () => {
    const name = 'crash-on-vcpu1';
    await crash(name, 2);
    const path = join(host.stateDir, 'gdb.sock');
    await using server = await GdbServer.start(
      host.stateDir,
      ...[name, '-s', vmlinux(name), '--listen', `unix:${path}`],
    );
    expect(server.address).toBe(path);
    const commands = ['info threads', 'thread apply all bt'];
    const first = await gdb(server, vmlinux(name), commands);
    expect(await gdb(server, vmlinux(name), commands)).toEqual(first);
    const [threads, all = ''] = first;
    expect(threads?.match(/^[* ] \d +Thread \d \(vCPU \d\)/gm)).toHaveLength(2);
    for (const [thread, backtrace] of backtraces(all))
      expectSame(backtrace, host.ok('xenctx', '-s', vmlinux(name), name, String(thread - 1)));
    expect(backtraces(all).size).toBe(2);
    server.interrupt();
    expect(await server.ended()).toBe(0);
    expect(await new Promise((resolve) => connect(path).on('error', () => resolve('nobody')))).toBe('nobody');
  });

  test('one debugger at a time, and whatever else comes along', async () => {
    await using server = await GdbServer.start(host.stateDir, 'null-dereference');
    const port = Number(server.address.split(':')[1]);
    const dial = () => connect(port, '127.0.0.1').on('error', () => undefined);
    const gone = (socket: ReturnType<typeof dial>) =>
      new Promise<string>((resolve) => {
        let text = '';
        socket.setEncoding('latin1').on('data', (piece: string) => {
          text += piece;
        });
        socket.on('close', () => resolve(text));
      });
    const first = dial();
    await new Promise((resolve) => first.once('connect', resolve));
    expect(await gone(dial())).toBe('');
    // Noise, half a packet, one that is too long; then one that is asked for, and goodbye.
    first.write(`GET / HTTP/1.1\r\n\r\n$qC$m${'0'.repeat(100_000)}#00$?#3f$D#44`);
    expect(await gone(first)).toMatch(/^-\+\$T05thread:1;#[0-9a-f]{2}\+\$OK#9a$/);
    // A client that asks and never reads is not waited for by the others once it has gone.
    const greedy = dial();
    greedy.pause();
    greedy.write(`${'$qXfer:features:read:target.xml:0,ffff#00'.repeat(5000)}`);
    await new Promise((resolve) => greedy.once('connect', resolve));
    greedy.destroy();
    await new Promise((resolve) => greedy.once('close', resolve));
    const [threads] = await gdb(server, undefined, ['info threads']);
    expect(threads).toContain('Thread 1 (vCPU 0)');
  });

  test.each([
    [
      ['no-such-domain'],
      'pvh-report: no domain and no dump file \'no-such-domain\'; "xl list" shows the domains\n',
    ],
    [
      ['null-dereference', '--listen', 'nowhere'],
      "pvh-report: --listen 'nowhere': neither HOST:PORT nor unix:PATH\n",
    ],
    [
      ['null-dereference', '--listen', 'unix:/no/such/folder/s'],
      'pvh-report: cannot listen on /no/such/folder/s: no such folder, or no permission',
    ],
  ])('%j: why not', (args, why) => {
    const { status, stderr } = host.run('pvh-report', 'gdbserver', ...args);
    expect([status, stderr.slice(0, why.length)]).toEqual([2, why]);
  });
});
