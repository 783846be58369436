import { expect, test } from 'vitest';
import { Progress } from '../../tools/shared/progress.ts';

function record(isTerminal: boolean, colour: boolean): { text: () => string; progress: Progress } {
  let text = '';
  const write = (part: string): void => {
    text += part;
  };
  return { text: () => text, progress: new Progress({ write, isTerminal, colour, columns: 80 }) };
}

test('off a terminal every step is one plain line', () => {
  const { text, progress } = record(false, false);
  progress.step('Reading', 0, 10);
  progress.step('Reading', 5, 10);
  progress.step('Loading');
  progress.clear();
  expect(text()).toBe('Reading\nLoading\n');
});

test('on a terminal one line changes and goes', () => {
  const { text, progress } = record(true, false);
  progress.step('Reading', 5, 10);
  expect(text()).toBe('\r\x1b[KReading ##########.......... 50%');
  progress.step('Loading');
  progress.clear();
  expect(text().endsWith('\r\x1b[KLoading ...\r\x1b[K')).toBe(true);
});

test('a long text is cut so that the line does not wrap', () => {
  const { text, progress } = record(true, false);
  progress.step(`Reading ${'x'.repeat(200)}`, 1, 2);
  expect(text().slice('\r\x1b[K'.length).length).toBeLessThan(80);
  expect(text()).toContain('xxx... ##########');
});

test('colour only when asked for', () => {
  const { text, progress } = record(true, true);
  progress.step('Reading', 5, 10);
  expect(text()).toContain('\x1b[32m#');
});
