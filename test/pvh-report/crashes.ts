// Made-up crashes for what compares them.
import fc from 'fast-check';
import type { MadeUpCrash } from './support.ts';

/** A crash with something of everything that `diff` compares. */
export const PANIC: MadeUpCrash = {
  frames: ['shutdown', 'panic', 'mount_root', 'start_services', 'sample_main', 'start'],
  registers: {
    rax: '1',
    rdi: 'ffffffff82000010 init_task+0x10',
    rsp: 'ffffc90000017e60',
    rflags: '246',
    cr3: '101a000',
  },
  console: '[    0.100000] hello\n[    0.200000] Panic: no root\n',
  config: 'name = "one"\nmemory = 16\n',
  xenLog: '(XEN) d1v0 crashed\n',
  buildId: 'aa',
};

/** Few words, so that reports have much in common. */
const word = fc.constantFrom('panic', 'mount_root', 'retry', 'f.isra.0', 'do_idle', 'asm_exc_page_fault');
const line = fc.constantFrom(
  ...['hello', '[    1.500000] disk: slow', 'Panic: no root', '[    2.5] Panic: no root', 'x 1', 'x 2', ''],
);
export const anyCrash: fc.Arbitrary<MadeUpCrash> = fc.record({
  reason: fc.constantFrom('crash', 'reboot'),
  buildId: fc.option(fc.constantFrom('aa', 'bb'), { nil: undefined }),
  frames: fc.array(fc.oneof(word, fc.integer({ min: 1, max: 3 })), { maxLength: 8 }),
  registers: fc.dictionary(
    fc.constantFrom('rax', 'rsp', 'cr4'),
    fc.constantFrom('1', '2', 'ffffc90000017e60'),
  ),
  console: fc.option(
    fc.array(line, { maxLength: 12 }).map((lines) => lines.join('\n')),
    { nil: undefined },
  ),
  config: fc.constantFrom(
    ...['memory = 16\n', 'name = ', ...['a b', 'b a', 'b a c=1', 'c=2'].map((words) => `extra = "${words}"`)],
  ),
  xenLog: fc.array(line, { maxLength: 3 }).map((lines) => lines.join('\n')),
});
