import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { NameTakenError, Registry } from '../../core/domain/registry.ts';
import { deriveUuid } from '../../core/domain/uuid.ts';
import { XEN_LOG_BYTES, XenLog } from '../../core/domain/xen-log.ts';
import { copySparse, createFile, replaceFile } from '../../core/host/files.ts';
import { withLock } from '../../core/host/lock.ts';
import { identifyProcess, isAlive } from '../../core/host/process-identity.ts';
import { domainRecord } from '../support/domain-record.ts';
import { temporaryFolders } from '../support/xl.ts';

const folder = temporaryFolders();

const allocate = (registry: Registry, name: string): Promise<{ domid: number }> =>
  registry.allocate(name, (domid) => ({
    config: `name="${name}"\n`,
    record: domainRecord({ domid, name, state: 'creating', process: identifyProcess() }),
  }));

describe('registry', () => {
  test('numbers go up and are not reused', async () => {
    const registry = new Registry(folder());
    expect((await allocate(registry, 'a')).domid).toBe(1);
    expect((await allocate(registry, 'b')).domid).toBe(2);
    registry.remove(2);
    expect((await allocate(registry, 'c')).domid).toBe(3);
    expect(registry.list().map(({ domid, name }) => [domid, name])).toEqual([
      [1, 'a'],
      [3, 'c'],
    ]);
    expect(registry.readConfig(3)).toBe('name="c"\n');
    expect(registry.find('3')?.name).toBe('c');
    expect(registry.find('c')?.domid).toBe(3);
    expect(registry.find('2')).toBeUndefined();
  });

  test('of two at once with one name, one wins', async () => {
    const registry = new Registry(folder());
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => allocate(registry, 'twin')));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of results)
      if (result.status === 'rejected') {
        expect(result.reason).toBeInstanceOf(NameTakenError);
        expect(result.reason.message).toContain('Domain with name "twin" already exists (domain 1).');
      }
    expect(registry.list()).toHaveLength(1);
  });

  test('a domain whose process has gone is lost, whatever its record says', async () => {
    const registry = new Registry(folder());
    await allocate(registry, 'a');
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    const owner = identifyProcess(child.pid);
    registry.write(domainRecord({ name: 'a', process: owner }));
    expect(registry.read(1)?.state).toBe('running');
    // The same pid at another start time is another process.
    registry.write(domainRecord({ name: 'a', process: { ...owner, startTime: 'boot:1' } }));
    expect(registry.read(1)?.state).toBe('lost');
    registry.write(domainRecord({ name: 'a', process: owner }));
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(isAlive(owner)).toBe(false);
    expect(registry.read(1)?.state).toBe('lost');
    expect(registry.list()[0]?.process).toBeUndefined();
    await expect(allocate(registry, 'a')).rejects.toThrow('It was lost');
  });

  test('what a killed process left half-made is never shown, and goes', async () => {
    const registry = new Registry(folder());
    registry.prepare();
    const half = join(registry.stateDir, 'domains/.new.5');
    mkdirSync(half);
    mkdirSync(join(registry.stateDir, 'domains/7'));
    mkdirSync(join(registry.stateDir, 'domains/8'));
    writeFileSync(join(registry.stateDir, 'domains/8/domain.json'), '{"schema": 1, "dom');
    mkdirSync(join(registry.stateDir, 'domains/9'));
    writeFileSync(
      join(registry.stateDir, 'domains/9/domain.json'),
      JSON.stringify(domainRecord({ domid: 4 })),
    );
    expect(registry.list()).toEqual([]);
    await allocate(registry, 'a');
    expect(existsSync(half)).toBe(false);
  });

  test('rename checks the name', async () => {
    const registry = new Registry(folder());
    await allocate(registry, 'a');
    await allocate(registry, 'b');
    await expect(registry.rename(2, 'a')).rejects.toBeInstanceOf(NameTakenError);
    expect((await registry.rename(2, 'c')).name).toBe('c');
    expect(registry.find('c')?.domid).toBe(2);
    await expect(registry.rename(9, 'x')).rejects.toThrow("Domain '9' does not exist.");
  });

  test('a derived uuid is a version 8 uuid and depends on every part', () => {
    const uuid = deriveUuid('guest', 0);
    expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(deriveUuid('guest', 0)).toBe(uuid);
    expect(deriveUuid('guest', 1)).not.toBe(uuid);
  });
});

describe('lock', () => {
  test('one at a time', async () => {
    const path = join(folder(), 'lock');
    let inside = 0;
    let most = 0;
    const work = (): Promise<void> =>
      withLock(path, async () => {
        most = Math.max(most, ++inside);
        await new Promise((resolve) => setTimeout(resolve, 2));
        inside--;
      });
    await Promise.all(Array.from({ length: 10 }, work));
    expect(most).toBe(1);
    expect(existsSync(path)).toBe(false);
  });

  test("a dead owner's lock is taken over", async () => {
    const path = join(folder(), 'lock');
    writeFileSync(path, JSON.stringify({ pid: 2 ** 22 + 1, startTime: 'x' }));
    expect(await withLock(path, () => 'mine')).toBe('mine');
  });
});

describe('files', () => {
  test('a file whose writing fails leaves nothing', () => {
    const dir = folder();
    const path = join(dir, 'f');
    replaceFile(path, 'old');
    expect(() =>
      createFile(path, (file) => {
        file.write(0, Buffer.from('half'));
        throw new Error('no space');
      }),
    ).toThrow('no space');
    expect(readdirSync(dir)).toEqual(['f']);
  });

  test('a sparse copy keeps bytes and holes', () => {
    const dir = folder();
    createFile(join(dir, 'a'), (file) => {
      file.write(5 << 20, Buffer.from('end'));
      file.extend(8 << 20);
    });
    copySparse(join(dir, 'a'), join(dir, 'b'));
    const { size, blocks } = statSync(join(dir, 'b'));
    expect(size).toBe(8 << 20);
    expect(blocks * 512).toBeLessThan(1 << 20);
  });
});

describe('xl dmesg', () => {
  const clock = (): Date => new Date('2026-11-22T10:59:00.123Z');

  test('lines with and without time', () => {
    const log = new XenLog(join(folder(), 'xen.log'), clock);
    log.append('d1: created', 'bell \x07');
    log.appendRaw('(d1) hello');
    expect(log.read(false)).toEqual(['(XEN) d1: created', '(XEN) bell \\x07', '(d1) hello']);
    expect(log.read(true)[2]).toBe('(d1) [2026-11-22 10:59:00] hello');
    log.clear();
    expect(log.read(false)).toEqual([]);
  });

  test('old lines go when it is full', () => {
    const path = join(folder(), 'xen.log');
    const log = new XenLog(path, clock);
    const line = 'x'.repeat(10_000);
    for (let i = 0; i < 300; i++) log.append(`${i} ${line}`);
    expect(statSync(path).size).toBeLessThan(XEN_LOG_BYTES + 2 * line.length);
    const lines = log.read(false);
    expect(lines.at(-1)).toBe(`(XEN) 299 ${line}`);
    expect(lines[0]).toMatch(/^\(XEN\) \d+ x+$/);
  });
});
