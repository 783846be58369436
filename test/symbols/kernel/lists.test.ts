// Tasks and modules whose lists are damaged: what lies before the damage is told, and so is the damage.
import { describe, expect, test } from 'vitest';
import { attempt, LinuxMemory, walkList } from '../../../symbols/kernel/linux-memory.ts';
import { listModules } from '../../../symbols/kernel/modules.ts';
import { PerCpu } from '../../../symbols/kernel/per-cpu.ts';
import { taintLetters } from '../../../symbols/kernel/taints.ts';
import { allTasks } from '../../../symbols/kernel/tasks.ts';
import { GuestBytes, layoutsFrom, MODULE_MEMBERS, TASK_MEMBERS } from '../../support/guest-bytes.ts';

const BASE = 0xffff_8880_0010_0000n;
const at = (offset: number): bigint => BASE + BigInt(offset);

const layouts = layoutsFrom({ ...TASK_MEMBERS, ...MODULE_MEMBERS }, { module_memory: 16 });

const memory = (): GuestBytes => new GuestBytes(BASE, 8);
const link = (view: GuestBytes, from: bigint, to: bigint): void =>
  view.view(from, 8).setBigUint64(0, to, true);

describe('tasks', () => {
  const [INIT, A, B, T] = [0, 0x400, 0x800, 0xc00].map(at) as [bigint, bigint, bigint, bigint]; // four in, four out
  const SIGNAL = at(0x2000);

  /** init_task, processes A and B, and T as second thread of A. */
  function guest(): GuestBytes {
    const bytes = memory();
    for (const [index, task] of [INIT, A, B, T].entries()) {
      const view = bytes.view(task, 128);
      view.setUint32(4, index === 2 ? 0x402 : 1, true);
      view.setUint32(12, index, true);
      view.setUint32(16, index === 3 ? 1 : index, true);
      view.setUint8(72, 'iabt'.charCodeAt(index));
      view.setBigUint64(56, SIGNAL + BigInt((index % 3) * 64), true);
    }
    link(bytes, INIT + 24n, A + 24n);
    link(bytes, A + 24n, B + 24n);
    link(bytes, B + 24n, INIT + 24n);
    for (const [index, threads] of [[INIT], [A, T], [B]].entries()) {
      const head = SIGNAL + BigInt((index === 0 ? 0 : index) * 64) + 8n;
      let last = head;
      for (const thread of threads) {
        link(bytes, last, thread + 40n);
        last = thread + 40n;
      }
      link(bytes, last, head);
    }
    return bytes;
  }

  function told(bytes: GuestBytes): { tasks: string[]; problems: string[] } {
    const problems: string[] = [];
    const linux = new LinuxMemory(bytes, (name) => (name === 'init_task' ? INIT : undefined), layouts);
    const tasks = allTasks(
      linux,
      { value: new PerCpu(linux) },
      {
        damaged: (list, { address, reason }) => problems.push(`${list} ${address - BASE}: ${reason}`),
        unreadable: (address, reason) => problems.push(`${address - BASE}: ${reason}`),
      },
    );
    return { tasks: [...tasks].map(({ comm, pid, state }) => `${comm}${pid}${state}`), problems };
  }

  test('whole', () => {
    expect(told(guest())).toEqual({ tasks: ['i0S', 'a1S', 't3S', 'b2I'], problems: [] });
  });
  test('a list that comes back to its middle', () => {
    const bytes = guest();
    link(bytes, B + 24n, A + 24n);
    expect(told(bytes)).toEqual({
      tasks: ['i0S', 'a1S', 't3S', 'b2I'],
      problems: [`tasks ${0x818}: it comes back to a link, not to its head`],
    });
  });
  test('a link to nowhere', () => {
    const bytes = guest();
    link(bytes, A + 24n, 0x1234n);
    const { tasks, problems } = told(bytes);
    expect(tasks).toEqual(['i0S', 'a1S', 't3S']);
    expect(problems).toEqual([
      expect.stringMatching(/: virtual 000000000000121c: not mapped/),
      expect.stringMatching(/^tasks .*: virtual 0000000000001234: not mapped/),
    ]);
  });
  test('tasks without end that cannot be read', () => {
    const bytes = new GuestBytes(BASE, 32);
    bytes.view(INIT, 128).setUint32(12, 0, true);
    // Each has its links in memory and its name nowhere.
    const links = 6000;
    for (let index = 0; index < links; index++)
      link(bytes, index === 0 ? INIT + 24n : at(0x2000 + index * 16), at(0x2000 + (index + 1) * 16));
    const far = layoutsFrom({ ...TASK_MEMBERS, 'task_struct.comm': [1 << 20, 16] }, {});
    const linux = new LinuxMemory(bytes, (name) => (name === 'init_task' ? INIT : undefined), far);
    let unreadable = 0;
    const damage: string[] = [];
    const quiet = {
      damaged: (_: string, { reason }: { reason: string }) => damage.push(reason),
      unreadable: () => unreadable++,
    };
    expect([...allTasks(linux, { missing: 'none' }, quiet)]).toEqual([]);
    expect(unreadable).toBeLessThan(5000);
    expect(damage).toContain('more than 262144 tasks, or 4096 that cannot be read');
  });
  test('a thread of two processes', () => {
    const bytes = guest();
    link(bytes, SIGNAL + 128n + 8n, T + 40n);
    expect(told(bytes)).toEqual({
      tasks: ['i0S', 'a1S', 't3S', 'b2I'],
      problems: [`threads ${0xc00}: a thread of two processes`],
    });
  });
});

test('more links than can be', () => {
  const bytes = memory();
  for (let index = 0; index < 1000; index++) link(bytes, at(index * 16), at((index + 1) * 16));
  const linux = new LinuxMemory(bytes, () => undefined, undefined);
  const reasons: string[] = [];
  const links = [...walkList(linux, BASE, 100, ({ reason }) => reasons.push(reason))];
  expect(links.length).toBe(100);
  expect(reasons).toEqual(['more than 100 links']);
});

test('modules: one that cannot be read leaves the others', () => {
  const bytes = memory();
  const modules = [at(0x100), at(0x400)] as const;
  link(bytes, BASE, modules[0] + 8n);
  link(bytes, modules[0] + 8n, modules[1] + 8n);
  link(bytes, modules[1] + 8n, BASE);
  bytes.view(modules[0] + 24n, 1).setUint8(0, 0x61);
  bytes.view(modules[0] + 80n, 8).setBigUint64(0, 0x3003n, true);
  bytes.view(modules[0] + 88n, 8).setBigUint64(0, 0xffff_ffff_c000_0000n, true);
  bytes.view(modules[0] + 96n, 8).setUint32(0, 0x1000, true);
  bytes.view(modules[1] + 88n, 8).setBigUint64(0, 1n, true);
  bytes.view(modules[1] + 96n, 8).setUint32(0, 0x7fff_ffff, true);
  const linux = new LinuxMemory(bytes, () => BASE, layouts);
  const reasons: string[] = [];
  expect(listModules(linux, ({ reason }) => reasons.push(reason))).toMatchObject([
    {
      name: 'a',
      state: 'live',
      taints: 'PFOE',
      ranges: [{ kind: 'text', base: 0xffff_ffff_c000_0000n, size: 4096 }],
    },
  ]);
  expect(reasons).toEqual(['a module with 2147483647 bytes of text']);
});

test('modules that all have the largest symbol table there can be', () => {
  const bytes = memory();
  const KALLSYMS = at(0x4000);
  /** Zeros without end: no symbol is defined. */
  const zeros = 1n << 63n;
  const count = 20;
  for (let index = 0; index <= count; index++) {
    const [module, next] = [at(index * 0x100), at(((index + 1) % (count + 1)) * 0x100)];
    link(bytes, index === 0 ? BASE : module + 8n, next === BASE ? BASE : next + 8n);
    bytes.view(module + 200n, 8).setBigUint64(0, KALLSYMS, true);
  }
  bytes.view(KALLSYMS, 8).setBigUint64(0, zeros, true);
  bytes.view(KALLSYMS + 8n, 4).setUint32(0, 1 << 20, true);
  for (const member of [16n, 24n]) bytes.view(KALLSYMS + member, 8).setBigUint64(0, zeros, true);
  const source = {
    read: (address: bigint, into: Uint8Array) =>
      address >= zeros && address < BASE ? into.fill(0) : bytes.read(address, into),
  };
  const linux = new LinuxMemory(source, () => BASE, layouts);
  const modules = listModules(linux, ({ reason }) => expect.fail(reason));
  expect(modules.length).toBe(count);
  const failed = modules.filter((module) => attempt(() => module.symbols()).missing !== undefined);
  // 24 MB each, 256 MB in all.
  expect(failed.length).toBe(10);
});

test.each([
  ['0', ''],
  ['0x1', 'P'],
  ['0x200', 'GW'],
  ['0x3281', 'PDWOE'],
  ['0x10000000000', 'G?'],
])('taints %s are %j', (mask, letters) => {
  expect(taintLetters(BigInt(mask))).toBe(letters);
});
