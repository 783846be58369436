import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { compareReports, mirror } from '../../tools/pvh-report/diff/compare.ts';
import { compareConsoles, normaliseLine } from '../../tools/pvh-report/diff/console.ts';
import { renderComparison } from '../../tools/pvh-report/diff/render.ts';
import { pairUp } from '../../tools/pvh-report/diff/sequence.ts';
import { comparePhases } from '../../tools/pvh-report/diff/timing.ts';
import { readReport } from '../../tools/pvh-report/report.ts';
import { anyCrash, PANIC } from './crashes.ts';
import { type MadeUpCrash, scratchFolder } from './support.ts';

const folder = scratchFolder();
afterAll(() => folder.remove());

const report = async (crash: MadeUpCrash) => readReport(await folder.report(crash));

const other: MadeUpCrash = {
  ...PANIC,
  frames: ['shutdown', 'die', 'trap', 'trap_entry', 'sum_ring', 'audit'],
};

describe('verdict', () => {
  test.each<[string, MadeUpCrash, MadeUpCrash, string, RegExp]>([
    ['the same report', PANIC, PANIC, 'same', /identical/],
    [
      'another time, another place in memory',
      PANIC,
      { ...PANIC, name: 'two', console: PANIC.console?.replace('0.2', '7.3'), registers: { rax: '1' } },
      'same',
      /ending, message and the first 2 frames agree/,
    ],
    [
      'callers beyond the third',
      PANIC,
      { ...PANIC, frames: [...(PANIC.frames ?? []).slice(0, 5), 'boot'] },
      'same',
      /2 frames/,
    ],
    [
      'a suffix of the compiler',
      PANIC,
      { ...PANIC, frames: ['panic', 'mount_root.isra.0', 'start_services', 'sample_main'] },
      'same',
      /2 frames/,
    ],
    ['another build of the kernel', PANIC, { ...PANIC, buildId: 'bb' }, 'same', /2 frames/],
    ['another function', PANIC, other, 'different', /function at the top/],
    [
      'another caller',
      PANIC,
      { ...PANIC, frames: ['panic', 'mount_root', 'retry', 'sample_main'] },
      'different',
      /frame 2 differs/,
    ],
    ['another ending', PANIC, { ...PANIC, reason: 'watchdog' }, 'different', /ended in different ways/],
    [
      'a dump, which does not tell how its domain ended',
      PANIC,
      { ...PANIC, state: 'dump' },
      'same',
      /^message and the first 2 frames agree$/,
    ],
    ['a dump of another crash', PANIC, { ...other, state: 'dump' }, 'different', /function at the top/],
    [
      'a gdb stub and a dump, without a message',
      { ...PANIC, state: 'live', console: 'hello\n' },
      { ...PANIC, state: 'dump', console: 'hello\n' },
      'same',
      /^the first 2 frames agree$/,
    ],
    [
      'no names, a dump',
      { ...PANIC, frames: [1, 2, 3] },
      { ...PANIC, frames: [1, 2, 3], state: 'dump' },
      'same',
      /^message, kernel and the first 3 addresses agree$/,
    ],
    [
      'only the message, a dump',
      { console: 'Panic: a\n' },
      { console: 'Panic: a\n', state: 'dump' },
      'same',
      /^the messages agree; there are no stacks/,
    ],
    [
      'a domain that runs has not ended',
      PANIC,
      { ...PANIC, state: 'running' },
      'different',
      /different ways/,
    ],
    [
      'another message',
      PANIC,
      { ...PANIC, console: 'Panic: no init\n' },
      'different',
      /messages on the console/,
    ],
    [
      'no names, the same kernel',
      { ...PANIC, frames: [1, 2, 3] },
      { ...PANIC, frames: [1, 2, 3], name: 'two' },
      'same',
      /kernel/,
    ],
    [
      'no names, another address',
      { ...PANIC, frames: [1, 2, 3] },
      { ...PANIC, frames: [4, 2, 3] },
      'different',
      /address/,
    ],
    [
      'no names, another kernel, no message',
      { frames: [1], console: 'a', buildId: 'x' },
      { frames: [1], console: 'a', buildId: 'y' },
      'not comparable',
      /collect with -s/,
    ],
    ['only the message', { console: 'Panic: a\n' }, { console: 'x\nPanic: a\n' }, 'same', /no stacks/],
    ['nothing on one side', PANIC, { name: 'empty' }, 'not comparable', /neither stack nor console/],
  ])('%s', async (_, a, b, verdict, rule) => {
    const { judgement } = compareReports(await report(a), await report(b));
    expect(judgement.verdict).toBe(verdict);
    expect(judgement.rule).toMatch(rule);
  });
});

test('what a dump never has is missing, no difference', async () => {
  const dump = { ...PANIC, state: 'dump', config: undefined, xenLog: undefined };
  const { config, xenLog, missing } = compareReports(await report(PANIC), await report(dump));
  expect({ config, xenLog }).toEqual({ config: [], xenLog: { a: [], b: [] } });
  expect(missing).toEqual(
    ['configuration', 'xl-dmesg.txt'].map((what) => ({ what, a: undefined, b: 'not in this report' })),
  );
});

test('comparing is symmetric', async () => {
  const all = await Promise.all(
    [
      PANIC,
      other,
      { ...PANIC, reason: 'reboot' },
      { ...PANIC, frames: ['a', 'b', 'a', 'c'] },
      { ...other, frames: ['b', 'a', 'c', 'b'] },
    ].map(report),
  );
  for (const a of all)
    for (const b of all) expect(compareReports(b, a)).toEqual(mirror(compareReports(a, b)));
});

test('comparing a report with itself finds nothing', async () => {
  const a = await report(PANIC);
  const comparison = compareReports(a, a);
  expect(comparison).toMatchObject({ conditions: [], config: [], xenLog: { a: [], b: [] }, missing: [] });
  expect(comparison.console?.divergence).toBeUndefined();
  expect(comparison.registers.every(({ relation }) => relation === 'equal')).toBe(true);
  expect(renderComparison(comparison)).toMatch(/^same crash: the reports are identical\n/);
});

test('what differs is told by kind', async () => {
  const comparison = compareReports(
    await report(PANIC),
    await report({
      ...PANIC,
      frames: ['shutdown', 'panic', 'mount_root', 'retry', 'start_services', 'sample_main', 'start'],
      registers: {
        rax: '2',
        rdi: 'ffffffff82000020 init_task+0x20',
        rsp: 'ffffc9000abc7e60',
        rflags: '046',
        cr3: '201a000',
      },
      console: '[    0.300000] hello\n[    0.400000] disk: slow\n[    0.500000] Panic: no root\n',
      config: 'memory = 32\n# a comment\nname = "one"\n',
      xenLog: '(XEN) d7v0 crashed\n(XEN) d7v0 more\n',
      missing: [{ item: 'xenstore', reason: 'not recorded', required: false }],
    }),
  );
  expect(comparison.registers.map(({ name, relation, bits }) => [name, bits ?? relation])).toEqual([
    ['rax', 'small numbers'],
    ['rdi', 'same symbol'],
    ['rsp', 'same page offset'],
    ['rflags', ['IF']],
    ['cr3', 'differs'],
  ]);
  expect(comparison.config).toEqual([{ what: 'memory', a: '"16"', b: '"32"', harmless: false }]);
  expect(comparison.stack.rows.filter((row) => row.in !== 'both')).toEqual([{ in: 'b', text: 'retry' }]);
  expect(comparison.console?.divergence).toMatchObject({
    line: 2,
    seconds: { a: 0.2, b: 0.4 },
    before: ['hello'],
    a: [],
    b: ['disk: slow'],
    after: ['Panic: no root'],
  });
  expect(comparison.xenLog).toEqual({ a: [], b: ['(XEN) dNv0 more'] });
  expect(comparison.missing).toEqual([{ what: 'xenstore', a: undefined, b: 'not recorded' }]);
});

test('the text never has more than 80 lines', async () => {
  const lines = (letter: string) => Array.from({ length: 500 }, (_, i) => `${letter}${i}`);
  const loud = (letter: string): MadeUpCrash => ({
    frames: lines(letter),
    registers: Object.fromEntries(
      lines('r')
        .slice(0, 200)
        .map((name, i) => [name, `${letter}${i}`]),
    ),
    console: lines(letter).join('\n'),
    config: lines(letter)
      .map((name) => `${name} = 1\n`)
      .join(''),
    xenLog: lines(letter).join('\n'),
    buildId: letter,
    missing: lines(letter).map((item) => ({ item, reason: 'none', required: false })),
  });
  const text = renderComparison(compareReports(await report(loud('a')), await report(loud('b'))));
  expect(text.split('\n').length - 1).toBeLessThanOrEqual(80);
  expect(text).toContain('more (--json has all)');
});

test.each([
  ['[    7.136787] evm: HMAC attrs: 0x1\r', 'evm: HMAC attrs: 0x1'],
  ['[   12.000001][    T1] Run /init', 'Run /init'],
  ['(XEN) [2026-11-22 10:59:00] d1v0: text', '(XEN) d1v0: text'],
  ['RIP: 0010:[<ffffffff81a03db3>] at 0xffffc90000617c60', 'RIP: 0010:[<<hex>>] at <hex>'],
])('console line %j becomes %j', (line, normal) => expect(normaliseLine(line)).toBe(normal));

test('any comparison is symmetric, reflexive and fits', async () => {
  await fc.assert(
    fc.asyncProperty(anyCrash, anyCrash, async (one, two) => {
      const [a, b] = [await report(one), await report(two)];
      const comparison = compareReports(a, b);
      expect(compareReports(b, a)).toEqual(mirror(comparison));
      expect(renderComparison(comparison).split('\n').length).toBeLessThanOrEqual(81);
      expect(compareReports(a, a)).toMatchObject({
        judgement: { verdict: 'same' },
        conditions: [],
        changed: 0,
        vcpus: [],
        config: [],
        xenLog: { a: [], b: [] },
        missing: [],
        ...(one.console !== undefined && { console: { numbers: 0, hunks: [], only: { a: [], b: [] } } }),
      });
    }),
    { seed: 1, numRuns: 100 },
  );
});

describe('sequences', () => {
  const small = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 40 });

  test('partners are equal and rise', () =>
    fc.assert(
      fc.property(small, small, (a, b) => {
        const partner = [...pairUp(Int32Array.from(a), Int32Array.from(b))];
        const pairs = partner.flatMap((at, index) => (at < 0 ? [] : [[index, at] as const]));
        for (const [inA, inB] of pairs) expect(a[inA]).toBe(b[inB]);
        for (const [index, [, inB]] of pairs.entries())
          expect(inB).toBeGreaterThan(pairs[index - 1]?.[1] ?? -1);
      }),
      { seed: 1 },
    ));

  test('what one inserted is found in a long sequence', () => {
    const a = Int32Array.from({ length: 50_000 }, (_, i) => (i * 7919) % 30_011);
    const inserted = [100, 25_000, 49_000];
    const b = Int32Array.from([...a].flatMap((entry, i) => (inserted.includes(i) ? [-1, entry] : [entry])));
    expect(pairUp(a, b)).toEqual(Int32Array.from(a, (_, i) => i + inserted.filter((at) => at <= i).length));
  });

  test('sequences without anything in common, or of one entry, come to an end', () => {
    const of = (entry: (i: number) => number) => Int32Array.from({ length: 100_000 }, (_, i) => entry(i));
    expect(
      pairUp(
        of((i) => i),
        of((i) => -i - 1),
      ).every((at) => at < 0),
    ).toBe(true);
    pairUp(
      of((i) => i % 2),
      of((i) => i % 3),
    );
    expect(
      pairUp(
        of(() => 1),
        of(() => 1).subarray(1),
      ).filter((at) => at >= 0),
    ).toHaveLength(99_999);
    pairUp(
      of((i) => i),
      of((i) => i).reverse(),
    );
  });
});

describe('consoles', () => {
  test('numbers, processes and times are no other words', () => {
    const a =
      '[    1.000000] CPU: 0 PID: 77 Comm: sh\r\n[    1.1] Memory: 100 of 200 at ffff888000001000\r\n';
    const b = '[    9.000000] CPU: 3 PID: 1 Comm: sh\n[    9.1] Memory: 150 of 300 at ffff888000002000\n';
    expect(compareConsoles(a, b)).toMatchObject({ numbers: 1, hunks: [], surplus: { a: 0, b: 0 } });
  });

  test('numbers of errors are', () =>
    expect(compareConsoles('failed (error -2)\n', 'failed (error -8)\n').hunks).toHaveLength(1));

  test('a console without end is compared as far as a million lines', () => {
    const endless = '\n'.repeat(1_100_000);
    expect(compareConsoles(endless, 'x\n')).toMatchObject({ lines: { a: 1_000_000, b: 1 } });
    expect(comparePhases(endless, endless)).toEqual([]);
  });

  test('after a line of one side they go on together', () => {
    const difference = compareConsoles('a\nb\nc\nd\n', 'a\nx\nx\nb\nc\ny\nd\n');
    expect(difference.hunks).toEqual([
      { at: { a: 2, b: 2 }, lines: { a: 0, b: 2 } },
      { at: { a: 4, b: 6 }, lines: { a: 0, b: 1 } },
    ]);
    expect(difference.only).toEqual({
      a: [],
      b: [
        { text: 'x', count: 2 },
        { text: 'y', count: 1 },
      ],
    });
    expect(difference.divergence).toMatchObject({ line: 2, before: ['a'], b: ['x', 'x'], after: ['b', 'c'] });
  });
});

test('phases are told apart beyond chance', () => {
  const log = (init: string, crash: string) =>
    `[    ${init}] Run /init as init process\n[    ${crash}] Kernel panic - not syncing: x\n`;
  expect(comparePhases(log('1.000000', '2.000000'), log('1.050000', '9.000000'))).toEqual([
    { phase: 'kernel', a: 1, b: 1.05, differs: false },
    { phase: 'until the crash', a: 1, b: 7.95, differs: true },
  ]);
  expect(comparePhases('x\n', log('1.000000', '2.000000'))).toMatchObject([
    { phase: 'kernel', a: undefined, differs: true },
    { phase: 'until the crash', differs: true },
  ]);
});

test('settings that cannot matter are told apart, command lines by word', async () => {
  const config = (name: string, extra: string) => `name = "${name}"\nmemory = 16\nextra = "${extra}"\n`;
  const a = await report({ ...PANIC, config: config('one', 'quiet console=hvc0') });
  const b = await report({ ...PANIC, config: config('two', 'console=hvc0  debug') });
  expect(compareReports(a, b).config).toMatchObject([
    { what: 'extra, words', harmless: false },
    { what: 'name', harmless: true },
  ]);
  expect(compareReports(a, b).changed).toBe(1);
  const c = await report({ ...PANIC, config: config('two', 'console=hvc0 quiet') });
  expect(compareReports(a, c).changed).toBe(0);
});
