// What xl says about wrong arguments and wrong configurations, against captures of Xen 4.17 (test/golden/xen-4.17/errors).
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolders, xl } from '../support/xl.ts';

const folder = temporaryFolders();
const golden = (name: string): string => {
  const path = new URL(`../golden/xen-4.17/errors/${name}`, import.meta.url);
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
};

describe('as xl', () => {
  const rows: [string, string, number][] = [
    ['xl-list-99', 'list 99', 1],
    ['xl-list-name', 'list nosuch', 1],
    ['xl-list-bad', 'list -q', 2],
    ['xl-destroy-nosuch', 'destroy nosuch', 1],
    ['xl-badcmd', 'frobnicate', 1],
    ['xl-vcpu-list-nosuch', 'vcpu-list nosuch', 1],
    ['xl-domid-nosuch', 'domid nosuch', 1],
    ['xl-domname-99', 'domname 99', 1],
    ['xl-create-noarg', 'create', 6],
    ['xl-create-nofile', 'create /nonexistent.cfg', 3],
    ...['pause', 'unpause', 'console', 'uptime', 'shutdown', 'list -l'].map(
      (command): [string, string, number] => ['xl-list-name', `${command} nosuch`, 1],
    ),
    ['xl-list-name', 'dump-core nosuch /tmp/x', 1],
    ['xl-list-name', 'trigger nosuch nmi', 1],
  ];
  test.each(rows)('%s: xl %s', async (name, command, status) => {
    expect(await xl(folder(), ...command.split(' '))).toEqual({
      status,
      out: golden(`${name}.out`),
      err: golden(`${name}.err`),
    });
  });

  // Help texts are ours, so only stderr and the usage line can be equal.
  test.each([
    ['destroy', '', 1],
    ['dump-core', 's', 2],
  ])('xl %s without arguments', async (command, plural, count) => {
    const { status, out, err } = await xl(folder(), command);
    expect(status).toBe(2);
    expect(err).toBe(golden(`xl-${command}-noarg.err`));
    expect(err).toBe(`'xl ${command}' requires at least ${count} argument${plural}.\n\n`);
    expect(out).toMatch(new RegExp(`^Usage: xl \\[-vtTfN\\] ${command} `));
  });

  test('xl without anything', async () => {
    const { status, out } = await xl(folder());
    expect(status).toBe(1);
    expect(out).toContain('xl full list of subcommands:\n\n create              Create a domain');
  });

  test.each([
    ['console=hvc0', 'dry', 131072],
    ['memory=64 name="over"', 'over', 65536],
  ])('xl create -n with %s', async (overrides, name, memory) => {
    const dir = folder();
    const config = join(dir, 'dry.cfg');
    writeFileSync(
      config,
      `name = "dry"\ntype = "pvh"\nkernel = "/root/vmlinuz"\nramdisk = "/root/domu-initrd.gz"\nextra = "console=hvc0"\nmemory = 128\nvcpus = 1\non_crash = "preserve"\n`,
    );
    const words = overrides.includes('memory') ? overrides.split(' ') : [];
    const { status, out, err } = await xl(dir, 'create', '-n', config, ...words);
    expect([status, err]).toEqual([0, `Parsing config from ${config}\n`]);
    const uuid = /[0-9a-f]{8}-[0-9a-f-]{27}/;
    expect(out.replace(uuid, 'UUID')).toBe(
      golden('create-dryrun.out')
        .replace(uuid, 'UUID')
        .replace('"dry"', `"${name}"`)
        .replaceAll('131072', String(memory)),
    );
  });
});

describe('xl create with a wrong configuration', () => {
  /** Runs xl create on a captured configuration. */
  async function create(name: string): Promise<{ status: number; err: string }> {
    const dir = folder();
    const config = join(dir, `${name}.cfg`);
    writeFileSync(config, golden(`create-${name}.cfg`));
    const { status, err } = await xl(dir, 'create', config);
    expect((await xl(dir, 'list')).out.split('\n')).toHaveLength(2);
    return { status, err: err.replaceAll(dir, '/root/cfg') };
  }

  test.each(['missingkernel', 'noname', 'badtype', 'badcrash', 'emptycfg', 'syntax', 'syntax2'])(
    '%s',
    async (name) => {
      const { status, err } = await create(name);
      expect(status).toBe(1);
      // Ours shows the line and the column beside it.
      expect(err.replace(/^ .*\n/gm, '')).toBe(golden(`create-${name}.err`));
    },
  );

  // Where xl prints a cascade of libxl's own lines, one sentence says it here. The exit status is the same.
  test.each([
    ['badmem', "parameter `memory' is not a valid number\nmemory is not a number: say how many MiB"],
    ['nomem', 'No memory specified'],
    ['zeromem', 'memory=0: a guest needs at least 1 MiB'],
    ['hugemem', 'memory=99999: this runtime gives a guest at most 3584 MiB'],
    ['manyvcpus', 'vcpus=500: a guest has 1 to 32 vCPUs'],
    ['nokernel', 'xl: cannot open kernel /nonexistent/vmlinuz: No such file or directory'],
  ])('%s', async (name, message) => {
    const { status, err } = await create(name);
    expect(status).toBe(3);
    expect(err).toContain(message);
  });
});
