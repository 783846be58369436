// The command line: which layout is meant, and what `--lines` is, which xenctx has for something else.
import { describe, expect, test } from 'vitest';
import { exitStatusFor, parseOptions, XenctxExit } from '../../tools/xenctx/options.ts';

const split = (text: string): string[] => text.split(' ').filter((word) => word !== '');

describe('the layout', () => {
  test.each([
    ['web', 'auto'],
    ['-C -a -s vmlinux web', 'auto'],
    ['--unwind=scan web', 'scan'],
    ['--unwind cfi web', 'cfi'],
    ['--classic web', undefined],
    ['-f web', undefined],
    ['-S web', undefined],
    ['-d 0xffff888000000000 web', undefined],
    ['-m 0xffff888000000000 -C web', undefined],
    ['-f --unwind=orc web', 'orc'],
  ])('%s', (text, way) => {
    expect(parseOptions(split(text)).unwind).toBe(way);
  });
});

test('without VCPU only --classic means vCPU 0, whatever that one does', () => {
  expect(
    ['web', '-f web', '-m 0 web', '--classic web', 'web 1'].map((text) => parseOptions(split(text)).vcpu),
  ).toEqual([undefined, undefined, undefined, 0, 1]);
});

describe('--lines', () => {
  test.each([
    ['--lines web', { domain: 'web', lines: 5, sourceLines: true }],
    ['web --lines', { domain: 'web', lines: 5, sourceLines: true }],
    ['--lines -C web', { domain: 'web', lines: 5, sourceLines: true }],
    ['--lines 3', { domain: '3', lines: 5, sourceLines: true }],
    ['--source-lines 3 1', { domain: '3', vcpu: 1, lines: 5, sourceLines: true }],
    ['--lines 20 web', { domain: 'web', lines: 20, sourceLines: false }],
    ['web --lines 20', { domain: 'web', lines: 20, sourceLines: false }],
    ['--lines=20 web', { domain: 'web', lines: 20, sourceLines: false }],
    ['--lines MAX web', { domain: 'web', lines: 0x7ffffffe, sourceLines: false }],
    ['-l 20 --lines web', { domain: 'web', lines: 20, sourceLines: true }],
    ['--lines --lines 7 web', { domain: 'web', lines: 7, sourceLines: true }],
    ['--classic --lines 7 web', { domain: 'web', lines: 7, sourceLines: false }],
  ])('%s', (text, wanted) => {
    expect(parseOptions(split(text))).toMatchObject(wanted);
  });
  test("is xenctx's own with --classic", () => {
    expect(() => parseOptions(['--classic', 'web', '--lines'])).toThrow('requires an argument');
  });
});

test.each([
  ['--classic --unwind=orc web', 'both --classic and --unwind'],
  ['--unwind=magic web', "Unsupported value 'magic' for --unwind"],
  ['--registers-of-frame=top web', "Unsupported value 'top' for --registers-of-frame"],
  ['-C web 1', 'both --all-vcpus and [VCPU]'],
])('refused: %s', (text, message) => {
  expect(() => parseOptions(split(text))).toThrow(message);
});

test.each([
  ['--nosuch web', 2],
  ['--classic --nosuch web', 255],
  ['--nosuch -- --classic', 2],
  ['', 2],
  ['--help', 0],
])('exit status: %s', (text, status) => {
  const argv = split(text);
  let ended: unknown;
  try {
    parseOptions(argv);
  } catch (error) {
    ended = error;
  }
  expect(ended).toBeInstanceOf(XenctxExit);
  expect(ended instanceof XenctxExit && exitStatusFor(argv, ended.status)).toBe(status);
});
