import { afterAll, describe, expect, test } from 'vitest';
import { compareReports, mirror } from '../../tools/pvh-report/diff/compare.ts';
import { normaliseLine } from '../../tools/pvh-report/diff/console.ts';
import { renderComparison } from '../../tools/pvh-report/diff/render.ts';
import { readReport } from '../../tools/pvh-report/report.ts';
import { type MadeUpCrash, packReport, scratchFolder } from './support.ts';

const folder = scratchFolder();
afterAll(() => folder.remove());

let made = 0;
const report = async (crash: MadeUpCrash) =>
  readReport(folder.write(`${++made}.tar.gz`, await packReport(crash)));

const panic: MadeUpCrash = {
  frames: ['shutdown', 'panic', 'mount_root', 'start_services', 'sample_main', 'start'],
  registers: { rax: '1', rdi: 'ffffffff82000010 init_task+0x10', rsp: 'ffffc90000017e60', rflags: '246' },
  console: '[    0.100000] hello\n[    0.200000] Panic: no root\n',
  config: 'name = "one"\nmemory = 16\n',
  xenLog: '(XEN) d1v0 crashed\n',
  buildId: 'aa',
};

const other: MadeUpCrash = {
  ...panic,
  frames: ['shutdown', 'die', 'trap', 'trap_entry', 'sum_ring', 'audit'],
};

describe('verdict', () => {
  test.each<[string, MadeUpCrash, MadeUpCrash, string, RegExp]>([
    ['the same report', panic, panic, 'same', /identical/],
    [
      'another time, another place in memory',
      panic,
      { ...panic, name: 'two', console: panic.console?.replace('0.2', '7.3'), registers: { rax: '1' } },
      'same',
      /ending, message and the first 2 frames agree/,
    ],
    [
      'callers beyond the third',
      panic,
      { ...panic, frames: [...(panic.frames ?? []).slice(0, 5), 'boot'] },
      'same',
      /2 frames/,
    ],
    [
      'a suffix of the compiler',
      panic,
      { ...panic, frames: ['panic', 'mount_root.isra.0', 'start_services', 'sample_main'] },
      'same',
      /2 frames/,
    ],
    ['another build of the kernel', panic, { ...panic, buildId: 'bb' }, 'same', /2 frames/],
    ['another function', panic, other, 'different', /function at the top/],
    [
      'another caller',
      panic,
      { ...panic, frames: ['panic', 'mount_root', 'retry', 'sample_main'] },
      'different',
      /frame 2 differs/,
    ],
    ['another ending', panic, { ...panic, reason: 'watchdog' }, 'different', /ended in different ways/],
    [
      'another message',
      panic,
      { ...panic, console: 'Panic: no init\n' },
      'different',
      /messages on the console/,
    ],
    [
      'no names, the same kernel',
      { ...panic, frames: [1, 2, 3] },
      { ...panic, frames: [1, 2, 3], name: 'two' },
      'same',
      /kernel/,
    ],
    [
      'no names, another address',
      { ...panic, frames: [1, 2, 3] },
      { ...panic, frames: [4, 2, 3] },
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
    ['nothing on one side', panic, { name: 'empty' }, 'not comparable', /neither stack nor console/],
  ])('%s', async (_, a, b, verdict, rule) => {
    const { judgement } = compareReports(await report(a), await report(b));
    expect(judgement.verdict).toBe(verdict);
    expect(judgement.rule).toMatch(rule);
  });
});

test('comparing is symmetric', async () => {
  const all = await Promise.all(
    [
      panic,
      other,
      { ...panic, reason: 'reboot' },
      { ...panic, frames: ['a', 'b', 'a', 'c'] },
      { ...other, frames: ['b', 'a', 'c', 'b'] },
    ].map(report),
  );
  for (const a of all)
    for (const b of all) expect(compareReports(b, a)).toEqual(mirror(compareReports(a, b)));
});

test('comparing a report with itself finds nothing', async () => {
  const a = await report(panic);
  const comparison = compareReports(a, a);
  expect(comparison).toMatchObject({ conditions: [], config: [], xenLog: { a: [], b: [] }, missing: [] });
  expect(comparison.console?.divergence).toBeUndefined();
  expect(comparison.registers.every(({ relation }) => relation === 'equal')).toBe(true);
  expect(renderComparison(comparison)).toMatch(/^same crash: the reports are identical\n/);
});

test('what differs is told by kind', async () => {
  const comparison = compareReports(
    await report(panic),
    await report({
      ...panic,
      frames: ['shutdown', 'panic', 'mount_root', 'retry', 'start_services', 'sample_main', 'start'],
      registers: { rax: '2', rdi: 'ffffffff82000020 init_task+0x20', rsp: 'ffffc9000abc7e60', rflags: '046' },
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
