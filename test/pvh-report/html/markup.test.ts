import { describe, expect, test } from 'vitest';
import { readLog, renderLog } from '../../../tools/pvh-report/html/log-view.ts';
import { escapeText, html, Markup } from '../../../tools/pvh-report/html/markup.ts';
import { severityOf } from '../../../tools/pvh-report/html/severity.ts';
import { makeTimeline } from '../../../tools/pvh-report/html/timeline.ts';

describe('text becomes HTML', () => {
  test.each([
    ['markup', '<b a="1" c=\'2\'>&amp;', '&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;'],
    ['colours are left out', '\x1b[0;32m  OK  \x1b[0m done', '  OK   done'],
    ['other controls have pictures', 'a\x00\x1b]b\x7f', 'a␀␛]b␡'],
    ['C1 controls have numbers', '\x9b31m\x85', '[U+009B]31m[U+0085]'],
    ['tabs and line ends stay', 'a\tb\nc', 'a\tb\nc'],
    ['what turns text is named', '\u202e\u2066\u200f', '[U+202E][U+2066][U+200F]'],
    ['what hides is named', '\u200b\u00ad\ufeff', '[U+200B][U+00AD][U+FEFF]'],
    ['line and paragraph separators', '\u2028\u2029', '[U+2028][U+2029]'],
    ['halves of characters', 'a\ud800b\udc00', 'a\ufffdb\ufffd'],
    ['what is nobody’s', '\ue000\u{10ffff}', '[U+E000][U+10FFFF]'],
    ['letters of all scripts stay', 'é漢😀שלום', 'é漢😀שלום'],
    ['no text grows without end', '\u202e'.repeat(5000), `${'[U+202E]'.repeat(100)}${'\ufffd'.repeat(4900)}`],
  ])('%s', (_, text, shown) => {
    expect(escapeText(text)).toBe(shown);
  });

  test('values of a template are text, unless they are markup', () => {
    expect(html`<p>${'<'}${1}${undefined}${[html`<b>${'&'}</b>`, '>']}${new Markup('<i>')}</p>`.text).toBe(
      '<p>&lt;1<b>&amp;</b>&gt;<i></p>',
    );
  });
});

describe('how bad a line is', () => {
  test.each([
    ['[    1.0] Kernel panic - not syncing: VFS', 'fatal'],
    ['[    1.0] BUG: kernel NULL pointer dereference, address: 0', 'fatal'],
    ['[    1.0] Oops: 0002 [#1] PREEMPT SMP NOPTI', 'fatal'],
    ['[    1.0] general protection fault, probably for non-canonical address', 'fatal'],
    ['Unhandled exception 14 (page fault), error code 0002', 'fatal'],
    ['(XEN) d1v0 shut down, reason code 3 (crash)', 'fatal'],
    ['(XEN) d1v0 shut down, reason code 0 (poweroff)', undefined],
    ['[    1.0] WARNING: CPU: 0 PID: 1 at kernel/x.c:1', 'warning'],
    ['[    1.0] rcu: INFO: rcu_preempt self-detected stall on CPU', 'warning'],
    ['[    1.0] EXT4-fs error (device xvda)', 'warning'],
    ['<2>[    1.0] machine check', 'fatal'],
    ['<4>[    1.0] something', 'warning'],
    ['<6>[    1.0] something', undefined],
    ['[    1.0] Run /init as init process', undefined],
  ])('%s', (line, severity) => {
    expect(severityOf(line)).toBe(severity);
  });
});

describe('a log', () => {
  test('lines are numbered from 1, ends of either kind', () => {
    const { lines } = readLog('a\r\nb\n\nc\n');
    expect(lines.map(({ number, text }) => `${number} ${text}`)).toEqual(['1 a', '2 b', '3 ', '4 c']);
  });

  test('of more lines than a browser holds, first and last keep their numbers', () => {
    const { lines, leftOut } = readLog('x\n'.repeat(500_000));
    expect(lines.length).toBe(400_000);
    expect([lines[99_999]?.number, lines[100_000]?.number, lines.at(-1)?.number]).toEqual([
      100_000, 200_001, 500_000,
    ]);
    expect(leftOut).toBe('200000 characters between the lines 100000 and 200001 are not shown here');
    const pieces = renderLog({ lines: lines.slice(99_998, 100_002) }, 'L').text;
    expect(pieces.match(/start=\d+/g)).toEqual(['start=99999', 'start=200001']);
  });

  test('a text without lines is cut, too', () => {
    const { lines, leftOut } = readLog('x'.repeat(30 << 20));
    expect(lines.map(({ text }) => text.length < 5000)).toEqual([true, true]);
    expect(leftOut).toContain('not shown');
  });
});

describe('a timeline', () => {
  const timeline = (guest: string, xen: string) => {
    const { moments, order } = makeTimeline(readLog(guest).lines, readLog(xen).lines);
    return [
      order.split(/[:.]/)[0],
      ...moments.map(({ from, time, text }) => `${from} ${time ?? '-'} ${text}`),
    ];
  };

  test('wall clocks on both sides: in the order of time', () => {
    expect(
      timeline(
        '[2026-11-22 10:00:01] [    0.000000] Linux version 6.1\n[2026-11-22 10:00:05] [    4.000000] Kernel panic - not syncing: x\n',
        '(XEN) [2026-11-22 10:00:00] d1: created\n(XEN) [2026-11-22 10:00:03.5] d1v0 a word\n(XEN) [2026-11-22 10:00:06] Domain 1 (vcpu#0) crashed on cpu#0:\n',
      ),
    ).toEqual([
      'Both logs have wall-clock times',
      'Xen 2026-11-22 10:00:00 d1: created',
      'guest 2026-11-22 10:00:01 Linux version 6.1',
      'Xen 2026-11-22 10:00:03.5 d1v0 a word',
      'guest 2026-11-22 10:00:05 Kernel panic - not syncing: x',
      'Xen 2026-11-22 10:00:06 Domain 1 (vcpu#0) crashed on cpu#0:',
    ]);
  });

  test('no clock in common: by what the lines are about, and it says so', () => {
    expect(
      timeline(
        '[    0.000000][    T0] Linux version 6.1\n[    0.100000] calm\n[    1.000000] Kernel panic - not syncing: x\n',
        '(XEN) [   99.000000] d1: a word\n(XEN) [  100.000000] d1v0 shut down, reason code 3 (crash)\n(XEN) CPU:    0\n',
      ),
    ).toEqual([
      'The two logs have no clock in common',
      'Xen 99.000000 d1: a word',
      'guest 0.000000 Linux version 6.1',
      'guest 1.000000 Kernel panic - not syncing: x',
      'Xen 100.000000 d1v0 shut down, reason code 3 (crash)',
    ]);
  });

  test('is bounded, and keeps what is fatal', () => {
    const { moments, leftOut } = makeTimeline(
      readLog(`${'warn\n'.repeat(3000)}Kernel panic - not syncing: x\n${'warn\n'.repeat(3000)}`).lines,
      [],
    );
    expect(moments.length).toBeLessThanOrEqual(400);
    expect(moments.length + leftOut).toBe(6001);
    expect(moments.filter(({ severity }) => severity === 'fatal')).toHaveLength(1);
  });
});
