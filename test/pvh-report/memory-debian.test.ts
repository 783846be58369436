// `collect --memory=kernel` and `--memory=all` of a stock Debian kernel: what is left out is what the guest itself says it has.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decompress } from 'fzstd';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ImageMemory } from '../../tools/pvh-report/memory/target-file.ts';
import { unpackReport } from '../../tools/pvh-report/report.ts';
import { readHead } from '../../tools/pvh-report/triage/head.ts';
import { Host } from '../kernel/guest.ts';
import { debianArchive, debianKernel } from '../support/debian.ts';
import { busyboxInitramfs, INIT_PROLOGUE } from '../support/initramfs.ts';
import { collectReport } from './crashed.ts';

/** Pages of a program's memory and of a file, each full of one letter. */
const PAGES = 2048;
const INIT = `${INIT_PROLOGUE}
head -c ${PAGES * 4096} /dev/zero | tr '\\0' y >/file
x=$(head -c ${PAGES * 4096} /dev/zero | tr '\\0' x)
sed 's/^/MEMINFO /' /proc/meminfo
echo 1 >/proc/sys/kernel/sysrq
echo c >/proc/sysrq-trigger
`;

interface Opened {
  readonly path: string;
  readonly memory: ImageMemory;
  /** The report's own file of the image, unpacked. */
  readonly core: string;
}

describe.runIf(debianArchive)('a Debian kernel that panicked', { timeout: 240_000 }, () => {
  let host: Host;
  let domid: number;
  let kernel: Opened;
  let all: Opened;

  const taken = async (part: 'kernel' | 'all'): Promise<Opened> => {
    const { path } = collectReport(
      host,
      domid,
      `--memory=${part}`,
      '-o',
      join(host.stateDir, `${part}.tar.gz`),
    );
    const folder = join(host.stateDir, part);
    mkdirSync(folder);
    execFileSync('tar', ['xzf', path, '-C', folder, '--strip-components=1']);
    const core = join(folder, 'memory-image.core');
    writeFileSync(core, decompress(readFileSync(`${core}.zst`)));
    const { image } = (await unpackReport(path)).manifest.memory ?? {};
    if (!image) throw new Error('no image');
    return { path, memory: image, core };
  };

  beforeAll(async () => {
    host = new Host();
    const ramdisk = join(host.stateDir, 'initrd.gz');
    writeFileSync(ramdisk, busyboxInitramfs(INIT));
    domid = host.createLinux('guest', {
      kernel: debianKernel('linux-image-cloud-amd64').vmlinuz,
      ramdisk,
      extra: 'console=hvc0',
    });
    await host.untilShutdown(domid);
    kernel = await taken('kernel');
    all = await taken('all');
  }, 300_000);
  afterAll(() => host?.[Symbol.dispose]());

  test('xenctx prints of both what it prints of the domain', () => {
    for (const flags of [['-f', '-a', '-C'], ['--dmesg'], ['--all-tasks']]) {
      const live = host.ok('xenctx', ...flags, String(domid));
      expect(host.ok('xenctx', ...flags, all.core)).toBe(live);
      expect(host.ok('xenctx', ...flags, kernel.core)).toBe(live);
    }
  });

  test('the kernel says as much of it is free, of programs and of files', () => {
    const console = host.console(domid);
    const pages = (name: string): number =>
      Number(new RegExp(`MEMINFO ${name}: +(\\d+) kB`).exec(console)?.[1]) / 4;
    const { frames, leftOut } = kernel.memory;
    const { free, user, cache, unreadable } = leftOut;
    expect(frames + free + user + cache).toBe(all.memory.frames);
    expect([unreadable, all.memory.leftOut]).toEqual([0, { free: 0, user: 0, cache: 0, unreadable: 0 }]);
    const near = (is: number, should: number): void => {
      expect(Math.abs(is - should)).toBeLessThan(should * 0.05 + 256);
    };
    near(free, pages('MemFree'));
    near(user, pages('AnonPages'));
    near(cache, pages('Cached'));
  });

  test('pages of a program and of a file are in all of the memory, not in that of the kernel', () => {
    const count = (core: string, letter: string): number => {
      const bytes = readFileSync(core);
      const page = Buffer.alloc(4096, letter);
      let found = 0;
      for (let at = 0; at + 4096 <= bytes.length; at += 4096)
        if (bytes.compare(page, 0, 4096, at, at + 4096) === 0) found++;
      return found;
    };
    for (const letter of ['x', 'y']) {
      expect(count(all.core, letter)).toBeGreaterThan(PAGES * 0.9);
      // Free pages that the kernel keeps at hand for each CPU do not say that they are free: through them came what these hold.
      expect(count(kernel.core, letter)).toBeLessThan(PAGES * 0.5);
    }
  });

  test('the kernel alone makes the smaller report, and both are whole', () => {
    expect(readFileSync(kernel.path).length).toBeLessThan(readFileSync(all.path).length);
    // Triage reads no more than the beginning of it.
    expect(readHead(all.path)?.manifest.memory?.image).toEqual(all.memory);
    for (const { path } of [kernel, all])
      expect(host.run('pvh-report', 'verify', path)).toMatchObject({ status: 0, stderr: '' });
  });
});
