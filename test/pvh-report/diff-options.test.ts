// What --ignore, --only and --baseline leave out of a comparison, and that it is said.
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { type Comparison, compareReports, mirror } from '../../tools/pvh-report/diff/compare.ts';
import { noiseOf } from '../../tools/pvh-report/diff/noise.ts';
import { renderComparison } from '../../tools/pvh-report/diff/render.ts';
import { parseScope, SECTIONS } from '../../tools/pvh-report/diff/scope.ts';
import { readReport } from '../../tools/pvh-report/report.ts';
import { anyCrash, PANIC } from './crashes.ts';
import { pvhReport } from './run.ts';
import { type MadeUpCrash, scratchFolder } from './support.ts';

const folder = scratchFolder();
afterAll(() => folder.remove());

const file = (crash: MadeUpCrash) => folder.report(crash);
const report = async (crash: MadeUpCrash) => readReport(await file(crash));

const diff = (...argv: string[]) => pvhReport('diff', ...argv);

const monday: MadeUpCrash = {
  ...PANIC,
  console: '[    0.1] hello\n[    0.15] crng: ready\n[    0.2] disk: up\n[    0.3] Panic: no root\n',
  config: 'name = "one"\nmemory = 16\nextra = "quiet seed=1"\n',
};
const tuesday: MadeUpCrash = {
  ...monday,
  frames: ['shutdown', 'panic', 'mount_root', 'start_services', 'retry', 'start'],
  registers: { rax: '2', rdi: '7', rsp: 'ffffc9000abc7e60', rflags: '047' },
  console: '[    0.1] hello\n[    0.2] disk: slow\n[    0.25] disk: up\n[    0.3] Panic: no root\n',
  config: 'name = "one"\nmemory = 32\nextra = "debug seed=2"\n',
  xenLog: '(XEN) d7v0 crashed\n(XEN) d7v0 more\n',
  buildId: 'bb',
  missing: [{ item: 'xenstore', reason: 'not recorded', required: false }],
};

describe('wrong usage', () => {
  test.each([
    [
      ['--ignore', 'console,weather'],
      /--ignore weather: no section weather; there are: conditions stack vcpus/,
    ],
    [['--only', 'weather:rain*'], /--only weather:rain\*: no section weather/],
    [['--only', 'stack', '--ignore', 'stack'], /nothing to look at/],
  ])('%j', async (options, message) => {
    const a = await file(monday);
    const { status, out, err } = await diff(a, a, ...options);
    expect({ status, out }).toEqual({ status: 2, out: '' });
    expect(err).toMatch(message);
  });

  test('a baseline that is no report, and a page over one', async () => {
    const [a, b] = [await file(monday), folder.write('text', new TextEncoder().encode('text'))];
    expect(await diff(a, a, '--baseline', b)).toMatchObject({ status: 2, out: '' });
    expect(await diff(a, a, '--html', b, '--baseline', b)).toMatchObject({ status: 2, out: '' });
  });
});

/** Names in a comparison that differ, by section. */
const differing = ({ stack, registers, config, console, xenLog, timing, ...rest }: Comparison) => ({
  conditions: rest.conditions.map(({ what }) => what),
  stack: stack.rows.filter((row) => row.in !== 'both').map(({ text }) => text),
  vcpus: rest.vcpus.map(({ what }) => what),
  registers: registers.filter(({ relation }) => relation !== 'equal').map(({ name }) => name),
  config: config.map(({ what }) => what),
  console: [...(console?.only.a ?? []), ...(console?.only.b ?? [])].map(({ text }) => text),
  xenLog: [...xenLog.a, ...xenLog.b],
  timing: timing.filter(({ differs }) => differs).map(({ phase }) => phase),
  missing: rest.missing.map(({ what }) => what),
});

const all = {
  conditions: ['kernel'],
  stack: ['retry', 'sample_main'],
  vcpus: [],
  registers: ['rax', 'rdi', 'rsp', 'rflags'],
  config: ['extra, words', 'memory'],
  console: ['crng: ready', 'disk: slow'],
  xenLog: ['(XEN) dNv0 more'],
  timing: [],
  missing: ['xenstore'],
};

describe('--ignore and --only', () => {
  test.each<[string[], string[], Partial<typeof all>]>([
    [[], [], {}],
    [[], ['registers,missing'], { registers: [], missing: [] }],
    [[], ['configuration:mem*', 'xen-log:*more'], { config: ['extra, words'], xenLog: [] }],
    [[], ['config:extra', 'config:nothing'], { config: ['memory'] }],
    [
      [],
      ['registers:r?[ix]', 'registers:r?i', 'stack:retry'],
      { registers: ['rax', 'rsp', 'rflags'], stack: ['sample_main'] },
    ],
    [[], ['console:*crng*'], { console: ['disk: slow'] }],
    [[], ['console:crng', 'console:DISK*', 'console:'], {}],
    [SECTIONS.filter((name) => name !== 'config'), [], { config: [] }],
    [
      ['conditions,stack,config,xenLog,missing', 'registers:r*', 'console:disk*'],
      [],
      { console: ['disk: slow'] },
    ],
    [['conditions,stack,config,xenLog,missing,registers'], [], { console: [] }],
    [
      ['conditions,stack,config,xenLog,missing,console', 'registers:rax'],
      ['console:*slow'],
      { registers: ['rax'], console: ['crng: ready'] },
    ],
  ])('--only %j --ignore %j', async (only, ignore, left) => {
    const [a, b] = [await report(monday), await report(tuesday)];
    const comparison = compareReports(a, b, { scope: parseScope(only, ignore) });
    const found = differing(comparison);
    expect({ ...found, stack: found.stack.sort() }).toEqual({ ...all, ...left });
    expect(comparison.judgement).toEqual(compareReports(a, b).judgement);
  });

  test('line numbers are those of the whole console', async () => {
    const [a, b] = [await report(monday), await report(tuesday)];
    const scope = parseScope([], ['console:crng*', 'console:hello']);
    const comparison = compareReports(a, b, { scope });
    expect(comparison.console).toMatchObject({
      lines: { a: 4, b: 4 },
      divergence: { line: 1, before: [], a: [], b: ['disk: slow'], after: ['disk: up', 'Panic: no root'] },
      hunks: [{ at: { a: 3, b: 2 }, lines: { a: 0, b: 1 } }],
    });
    expect(renderComparison(comparison)).toContain(
      'first difference in line 3 / 2, at 0.200 s / 0.200 s; 1 in all',
    );
  });

  test('what is left out is said in every form, and does not change the verdict', async () => {
    const [a, b] = [await file(monday), await file({ ...tuesday, console: 'Panic: no init\n' })];
    const whole = await diff(a, b, '--json');
    const options = ['--ignore', 'registers,console', '--ignore', 'config:memory', '--ignore', 'config:no'];
    const said = [
      'the verdict is not changed by what is left out, but rests on some of it: console',
      'left out: registers, console',
      'ignored: config:memory (1), config:no (nothing)',
    ];
    const text = await diff(a, b, ...options);
    for (const line of said) expect(text.out.split('\n')).toContain(line);
    expect(text.out).not.toMatch(/^(Registers|Console)/m);
    const json = await diff(a, b, '--json', ...options);
    expect(JSON.parse(json.out)).toMatchObject({
      judgement: JSON.parse(whole.out).judgement,
      registers: [],
      leftOut: { sections: ['registers', 'console'], decisive: ['console'] },
    });
    expect(JSON.parse(json.out)).not.toHaveProperty('console');
    const page = await diff(a, b, '--html', '-', ...options);
    for (const line of said) expect(page.out).toContain(`<p class="note">${line}</p>`);
    expect(page.out).toContain('id="configuration"');
    expect(page.out).not.toMatch(/id="(registers|console)"/);
    expect([text, json, page].map(({ status }) => status)).toEqual([1, 1, 1]);
    expect(JSON.parse(whole.out)).not.toHaveProperty('leftOut');
  });

  test.each<[string, string[]]>([
    ['stack:mount_root', ['stack']],
    ['stack:sample_main', []],
    ['console:Panic*', ['console']],
    ['console:crng*', []],
    ['registers', []],
  ])('--ignore %s touches what the verdict rests on: %j', async (ignore, decisive) => {
    const wanted = { scope: parseScope([], [ignore]) };
    expect(compareReports(await report(monday), await report(tuesday), wanted).leftOut?.decisive).toEqual(
      decisive,
    );
  });

  test('a page of some sections of the stack has nothing of the others', async () => {
    const [a, b] = [await file(monday), await file(tuesday)];
    const { out } = await diff(a, b, '--html', '-', '--only', 'vcpus');
    expect(out).toContain('Other vCPUs');
    expect(out).not.toMatch(/mount_root<|id="(registers|missing)"|What else changed/);
  });
});

describe('--baseline', () => {
  /** Like monday, on another day. */
  const again: MadeUpCrash = {
    ...monday,
    registers: { rax: '1', rdi: '9', rsp: 'ffffc90000bb7e60', rflags: '247' },
    console: '[    0.1] hello\n[    0.15] usb: ready\n[    0.2] disk: up\n[    0.3] Panic: no root\n',
    config: 'name = "three"\nmemory = 16\nextra = "quiet seed=3"\n',
  };

  test('what A and it differ in is no difference of A and B', async () => {
    const [a, b] = [await report(monday), await report(tuesday)];
    const comparison = compareReports(a, b, { noise: await noiseOf(a, [await report(again)]) });
    const found = differing(comparison);
    expect({ ...found, stack: found.stack.sort() }).toEqual({
      ...all,
      // rdi and rsp move from run to run, and CF; rax and IF do not.
      registers: ['rax', 'rflags'],
      console: ['disk: slow'],
    });
    expect(comparison.leftOut).toMatchObject({
      noise: [
        { section: 'registers', count: 2 },
        { section: 'console', count: 1 },
      ],
      baselines: [{ verdict: 'same' }],
      decisive: [],
    });
    expect(renderComparison(comparison)).toContain(
      '\nnoise, as between A and its baselines: registers (2), console (1)\n',
    );
  });

  test.each<[string, Partial<MadeUpCrash>, Partial<MadeUpCrash>, Partial<typeof all>]>([
    [
      'a register that differs in another way',
      { registers: { rax: '1', rdi: '7' } },
      { registers: { rax: 'ffffffff82000010', rdi: '9' } },
      { registers: ['rax'] },
    ],
    [
      'a flag that did not differ',
      { registers: { rflags: '247' } },
      { registers: { rflags: '046' } },
      { registers: ['rflags'] },
    ],
    [
      'a word that was there',
      { config: 'extra = "quiet seed=9"' },
      { config: 'extra = "seed=4"' },
      { config: ['extra, words'] },
    ],
    [
      'a value of a word',
      { config: 'extra = "quiet seed=9"' },
      { config: 'extra = "quiet seed=4"' },
      { config: [] },
    ],
    [
      'a line more often than chance has it',
      { console: 'tick\nPanic: no root\n' },
      { console: 'tick\ntick\ntick\nPanic: no root\n' },
      { console: ['tick'] },
    ],
    [
      'a line as often as chance has it',
      { console: 'tock\ntick\ntick\nPanic: no root\n' },
      { console: 'tick\ntick\nPanic: no root\n' },
      { console: [] },
    ],
    [
      'lines in another order',
      { console: 'y\nx\nPanic: no root\n' },
      { console: 'Panic: no root\ny\nx\n' },
      { console: [] },
    ],
  ])('%s', async (_, baseline, other, left) => {
    const plain: MadeUpCrash = {
      frames: monday.frames ?? [],
      registers: { rax: '1', rdi: '2', rflags: '246' },
      console: 'x\ny\nPanic: no root\n',
      config: 'extra = "quiet seed=1"',
    };
    const a = await report(plain);
    const noise = await noiseOf(a, [await report({ ...plain, ...baseline })]);
    const found = differing(compareReports(a, await report({ ...plain, ...other }), { noise }));
    expect(found).toMatchObject(left);
  });

  test('times count when they are further apart', async () => {
    const at = (seconds: string): MadeUpCrash => ({
      console: `[    ${seconds}] Kernel panic - not syncing: x\n`,
    });
    const a = await report(at('2.000000'));
    const noise = await noiseOf(a, [await report(at('3.000000'))]);
    const timing = async (seconds: string) =>
      differing(compareReports(a, await report(at(seconds)), { noise })).timing;
    expect(await timing('2.900000')).toEqual([]);
    expect(await timing('9.000000')).toEqual(['until the crash']);
  });

  test('one that is another crash is told', async () => {
    const [a, b] = [await file(monday), await file(tuesday)];
    const other = await file({ ...monday, reason: 'reboot' });
    const { out, status } = await diff(a, b, '--baseline', await file(again), other);
    expect(status).toBe(0);
    expect(out).toContain(
      `1 of 2 baselines not the same crash as A, so real differences may be taken for noise: ${other}\n`,
    );
  });
});

const anySelector = fc
  .tuple(fc.constantFrom(...SECTIONS), fc.constantFrom('', ':*', ':', ':r*', ':x*', ':*root'))
  .map((parts) => parts.join(''));

test('whatever is left out, comparing is symmetric and reflexive, and the verdict stays', async () => {
  await fc.assert(
    fc.asyncProperty(
      anyCrash,
      anyCrash,
      anyCrash,
      fc.array(anySelector, { maxLength: 3 }),
      fc.array(anySelector, { maxLength: 3 }),
      async (one, two, three, only, ignore) => {
        const [a, b, c] = [await report(one), await report(two), await report(three)];
        const scope = parseScope(
          only.length > 0 ? [...only, 'missing'] : [],
          ignore.filter((name) => name !== 'missing'),
        );
        const noise = await noiseOf(a, [c]);
        const comparison = compareReports(a, b, { scope, noise });
        expect(compareReports(b, a, { scope, noise })).toEqual(mirror(comparison));
        const whole = compareReports(a, b);
        expect(comparison.judgement).toEqual(whole.judgement);
        expect(renderComparison(comparison).split('\n').length).toBeLessThanOrEqual(81);
        const nothing = Object.fromEntries(SECTIONS.map((name) => [name, []]));
        expect(differing(compareReports(a, a, { scope, noise }))).toEqual(nothing);
        // If B itself is like A, everything they differ in is noise.
        expect(differing(compareReports(a, b, { noise: await noiseOf(a, [c, b]) }))).toEqual(nothing);
        // And A is like itself.
        const { leftOut, ...same } = compareReports(a, b, { noise: await noiseOf(a, [a]) });
        expect(leftOut?.noise).toEqual([]);
        expect(same).toEqual(whole);
      },
    ),
    { seed: 1, numRuns: 100 },
  );
});
