// Any mixture of what rules look for: what is redacted has no leak, keeps its lines, and has nothing left for a second run.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { openDocument } from '../../../tools/pvh-report/redact/document.ts';
import { Redactor } from '../../../tools/pvh-report/redact/redact.ts';
import { RULES } from '../../../tools/pvh-report/redact/rules.ts';
import { Vault } from '../../../tools/pvh-report/redact/vault.ts';

const key = Buffer.from('a key for tests, of no worth');

const fragment = fc.oneof(
  fc.constantFrom(...RULES.map(({ example }) => example.before)),
  fc.constantFrom(
    ...[
      'password=',
      'token=',
      'host=',
      'user=',
      'login: ',
      '://',
      '@',
      '/home/',
      '-----BEGIN PRIVATE KEY-----',
      '-----END',
    ],
    ...[
      '10.1.2.3',
      'fd00::1',
      '00:16:3e:00:00:01',
      'virt7',
      'mmuster',
      '.example-shop.com',
      'ip-10-1-2-3',
      'deadbeefdeadbeef',
    ],
    ...[
      '\n',
      '\r\n',
      ' ',
      '"',
      "'",
      ',',
      ';',
      ':',
      '=',
      '\\n',
      '\\"',
      '&',
      '%40',
      '\u001b[1m',
      'ali\u001b[0mce',
      '\u00e9',
      '\0',
      '[',
      ']',
      '.',
      '-',
    ],
    ...['[... 12 bytes left out ...]', 'x'.repeat(160), 'RIP: 0010:panic+0x1/0x2', '[<ffffffff81000000>]'],
  ),
  fc.string({ maxLength: 8 }),
);
const text = fc.array(fragment, { maxLength: 24 }).map((parts) => parts.join(''));

function redact(content: Uint8Array, file: string, known: readonly string[]) {
  const vault = new Vault(key, new Set(), known, new Map());
  const redactor = new Redactor(vault, new Set());
  const document = openDocument(file, content);
  redactor.learn([document]);
  const { bytes, leaks } = redactor.redact(document);
  return { made: bytes, leaks: [...leaks, ...redactor.leaks(file, bytes)], standIns: redactor.used };
}

test.each([
  ['console.log', (said: string) => said],
  [
    'any.json',
    (said: string) =>
      JSON.stringify({ cmdline: said, list: [said, { password: said, name: said }] }, undefined, 2),
  ],
])('%s of anything', (file, wrap) => {
  fc.assert(
    fc.property(text, (said) => {
      const before = Buffer.from(wrap(said), 'utf8');
      const once = redact(before, file, []);
      expect(once.leaks).toEqual([]);
      const lines = (bytes: Uint8Array): number => Buffer.from(bytes).toString('utf8').split('\n').length;
      expect(lines(once.made)).toBe(lines(before));
      if (file.endsWith('.json')) JSON.parse(Buffer.from(once.made).toString('utf8'));
      const twice = redact(once.made, file, once.standIns);
      expect(Buffer.from(twice.made).toString('utf8')).toBe(Buffer.from(once.made).toString('utf8'));
    }),
    { seed: 7, numRuns: 1500 },
  );
});

test('where a rule finds something its sign is in the line', () => {
  const signed = RULES.flatMap((rule) => (rule.sign ? [{ ...rule, sign: rule.sign }] : []));
  fc.assert(
    fc.property(text, (said) => {
      for (const { pattern, sign, accept } of signed)
        for (const { 0: found, groups } of said.matchAll(pattern)) {
          if (accept?.(Object.values(groups ?? {}).join(''), '') === false) continue;
          expect(found.replace(/^\s|\s$/g, '')).not.toContain('\n');
          expect(found.search(sign), found).not.toBe(-1);
        }
    }),
    { seed: 7, numRuns: 1500 },
  );
});

test('consoles made to be slow are not', () => {
  for (const unit of [
    '-----BEGIN PRIVATE KEY-----a',
    'a.',
    'a-',
    '://a:',
    'ip=:',
    'login: ',
    '1:',
    'password=',
    'eyJaaaaaaaa.',
    '@a.',
    ' 1 ',
    'Linux a ',
  ]) {
    const said = Buffer.from(unit.repeat(300_000 / unit.length));
    expect(redact(said, 'console.log', []).leaks).toEqual([]);
  }
});
