// Domains of a real Xen host, as far as a machine that is none can tell. test/xenlab has the rest.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Registry } from '../../core/domain/registry.ts';
import { notXenHost } from '../../core/host/xen-host.ts';
import { NoSuchDomainError, openTarget } from '../../core/target/open.ts';
import { Channel } from '../../core/target/xen-channel.ts';
import { Native } from '../../core/target/xen-native.ts';

const folder = mkdtempSync(join(tmpdir(), 'pvh-xen-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe.runIf(notXenHost() !== undefined)('where there is no Xen host', () => {
  const registry = new Registry(join(folder, 'state'));

  test.each(['xen:3', 'xen:guest', 'xen:'])('%s says why', (spec) =>
    expect(openTarget(spec, { registry })).rejects.toThrow(/^this is (no Xen host|a Xen guest)/),
  );
  test('a number alone says nothing of Xen hosts', () =>
    expect(openTarget('3', { registry })).rejects.toThrow(NoSuchDomainError));
  test('the guard says why it cannot pause', async () => {
    // As built: the guard is a process of its own.
    const module = new URL('../../dist/core/target/xen-pause.js', import.meta.url).href;
    const { holdPaused }: typeof import('../../core/target/xen-pause.ts') = await import(module);
    const native = await Native.load();
    expect(() => holdPaused(native, 3)).toThrow(
      /^domain 3 could not be paused: this is (no Xen host|a Xen guest)/,
    );
  });
  test('pvh: means our runtime', () =>
    expect(openTarget('pvh:3', { registry })).rejects.toThrow(/^no domain .* 'pvh:3'/));
});

describe('a channel', () => {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

  test('carries bytes both ways, then tells of the end', async () => {
    const [one, other] = Channel.pair(await Native.load());
    one.send(Buffer.from('there'));
    expect(text(other.receive(3, 1000))).toBe('the');
    expect(text(other.receive(9, 1000))).toBe('re');
    other.send(Buffer.from('back'));
    other.close();
    other.close();
    expect(text(one.receive(9, 1000))).toBe('back');
    expect(one.receive(9, 1000)).toHaveLength(0);
    expect(() => one.send(Buffer.from('nobody'))).toThrow('write: broken pipe');
    one.close();
  });
  test('does not wait for ever', async () => {
    const [one, other] = Channel.pair(await Native.load());
    expect(() => one.receive(1, 20)).toThrow('no answer in 0.02 s');
    one.close();
    other.close();
  });
  test('connects to a socket, or says which one is not there', async () => {
    const path = join(folder, 'socket');
    const native = await Native.load();
    expect(() => Channel.connect(native, path)).toThrow(`${path}: no such file or directory`);
    const server = createServer((socket) => socket.end());
    await new Promise<void>((ready) => server.listen(path, ready));
    Channel.connect(native, path).close();
    await new Promise((closed) => server.close(closed));
  });
});
