// Whatever bytes a config file has, reading it ends, and fails only as a ConfigError.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { loadGuestConfig } from '../../core/domain/config.ts';
import { ConfigError } from '../../core/domain/config-file.ts';

const keys = [
  'name',
  'type',
  'pvh',
  'kernel',
  'memory',
  'vcpus',
  'on_crash',
  'cpuid',
  'wallclock',
  'seed',
  'disk',
  'x',
];
const piece = fc.oneof(
  fc.constantFrom(
    ...keys,
    ' ',
    '\n',
    '=',
    '+=',
    '[',
    ']',
    ',',
    ';',
    '#',
    '"',
    "'",
    '\\',
    '\\x41',
    '\0',
    '\r',
    '\t',
  ),
  fc.constantFrom('"pvh"', '"k"', '1', '0x10', '99999999999999999999', '-1', '"preserve"', '"host"'),
  fc.string({ unit: 'binary', maxLength: 4 }),
);

test('any text', () => {
  let read = 0;
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), fc.boolean(), (pieces, whole) => {
      const text = pieces.join('');
      const before = whole ? 'name="g"\ntype="pvh"\nkernel="k"\nmemory=8\n' : '';
      try {
        loadGuestConfig(before + text, 'f.cfg', 0);
        read++;
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        expect(error.lines.join('').length).toBeGreaterThan(0);
      }
    }),
    { numRuns: 3000, seed: 4, interruptAfterTimeLimit: 5000 },
  );
  expect(read).toBeGreaterThan(0);
});
