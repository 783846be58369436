import { expect, test } from 'vitest';
import { GuestOutput } from '../../core/domain/guest-output.ts';

test('console bytes come once, in order', () => {
  const output = new GuestOutput(1);
  output.addConsole(Buffer.from('a'));
  output.addConsole(Buffer.from('b'));
  expect(Buffer.from(output.takeConsole()).toString()).toBe('ab');
  expect(output.takeConsole()).toHaveLength(0);
});

test('a flood of lines is cut, the hypervisor is not', () => {
  const output = new GuestOutput(7);
  for (let i = 0; i < 1000; i++) output.addLine(`(d7) ${i}`);
  output.addLine('(XEN) d7v0 Triple fault');
  const lines = output.takeLines();
  expect(lines).toHaveLength(202);
  expect(lines.slice(199)).toEqual(['(d7) 199', '(XEN) d7v0 Triple fault', '(d7) ... 800 more lines']);
  output.addLine('(d7) again');
  expect(output.takeLines()).toEqual(['(d7) again']);
});
