// Every reader of foreign bytes on some thousand damaged inputs; `npm run fuzz` takes a million. And the harness itself: what
// hangs, takes memory or throws is found, named, and the job goes on behind it.
import { afterAll, describe, expect, test } from 'vitest';
import { Fuzzer } from './harness.ts';
import { makeInput } from './mutate.ts';
import { FAULTY } from './targets/faulty.ts';
import { TARGETS } from './targets.ts';

/** More with FUZZ_COUNT, other ones with FUZZ_SEED. */
const COUNT = Number(process.env['FUZZ_COUNT'] ?? 500);
const SEED = Number(process.env['FUZZ_SEED'] ?? 0x5eed);

const fuzzer = new Fuzzer();
afterAll(() => fuzzer[Symbol.asyncDispose]());

describe.each(TARGETS)('$name', (target) => {
  test('reads its seeds', () => {
    for (const [index, bytes] of target.seeds().entries())
      expect(target.run(bytes.slice()), `seed ${index}`).toBeGreaterThan(0);
  });
  test(`${COUNT} damaged inputs`, async () => {
    const { failures, progress } = await fuzzer.run({
      target: target.name,
      seed: SEED,
      from: 0,
      to: COUNT,
    });
    expect(failures).toEqual([]);
    expect(progress.done).toBe(COUNT);
    expect(progress.read).toBeGreaterThan(0);
  });
});

describe('the harness', () => {
  test('equal numbers give equal inputs, others give others', () => {
    const seeds = [Uint8Array.from({ length: 100 }, (_, index) => index)];
    const inputs = Array.from({ length: 200 }, (_, number) =>
      Buffer.from(makeInput('x', seeds, 1, number)).toString('hex'),
    );
    expect(makeInput('x', seeds, 1, 77)).toEqual(new Uint8Array(Buffer.from(inputs[77] ?? '', 'hex')));
    expect(new Set(inputs).size).toBeGreaterThan(190);
  });
  test('seeds stay as they are, Buffers too', () => {
    const seeds = [Buffer.alloc(100, 1)];
    for (let number = 0; number < 200; number++) makeInput('x', seeds, 1, number);
    expect(seeds[0]?.every((byte) => byte === 1)).toBe(true);
  });
  test('finds what is wrong in a reader, names the input and goes on', async () => {
    // With this seed each of the four faults comes once.
    const [seed, count] = [160, 14];
    const seeds = FAULTY.seeds();
    const kinds = ['', 'error', 'memory', 'memory', 'hang'];
    const expected = Array.from({ length: count }, (_, number) => {
      const [fault = 0] = makeInput(FAULTY.name, seeds, seed, number);
      return [number, kinds[fault] ?? ''] as const;
    }).filter(([, kind]) => kind !== '');
    await using impatient = new Fuzzer(8000);
    const found: (readonly [number, string])[] = [];
    const { failures, failed } = await impatient.run(
      { target: FAULTY.name, seed, from: 0, to: count },
      ({ number, kind }) => found.push([number, kind]),
    );
    expect(expected.length).toBe(4);
    expect(failed).toBe(expected.length);
    for (const failure of found) expect(expected).toContainEqual(failure);
    expect(new Set(found.map(([, kind]) => kind))).toEqual(new Set(['error', 'memory', 'hang']));
    expect(failures.find(({ kind }) => kind === 'error')?.detail).toContain('no FormatError');
  });
});
