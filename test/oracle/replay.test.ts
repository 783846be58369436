// The CPU against silicon: every case of the corpus gives what the recorded CPU gave (issue 2, table row 5).
import { beforeAll, describe, expect, test } from 'vitest';
import type { Corpus } from './corpus.ts';
import { coverageOf } from './coverage.ts';
import { describeMismatch } from './describe.ts';
import { openCorpus, openUserMachine } from './open.ts';
import { type Mismatch, replayCase } from './replay.ts';

/** 225,000 cases take about half a minute of one processor. */
const REPLAY_TIMEOUT = 900_000;

/** Cases a row that run with TF set. */
const STEPPED_EACH = 12;

describe('corpus recorded on silicon', () => {
  let corpus: Corpus;
  beforeAll(() => {
    corpus = openCorpus();
  });

  test('has at least 100,000 cases', () => {
    const total = [...corpus.rows.values()].reduce((sum, cases) => sum + cases.length, 0);
    expect(total).toBeGreaterThanOrEqual(100_000);
  });

  test('meets every opcode row that user mode can run', () => {
    const unmet = coverageOf(corpus).filter(({ cases, reason }) => cases === 0 && reason === undefined);
    expect(unmet.map(({ row }) => row)).toEqual([]);
  });

  test('the first cases of each row are the same when single-stepped', () => {
    const machine = openUserMachine();
    const mismatches = [...corpus.rows.values()].flatMap((cases) =>
      cases
        .filter(({ program }) => program.steps === 1)
        .slice(0, STEPPED_EACH)
        .map((recorded) => replayCase(machine, recorded, true))
        .filter((mismatch) => mismatch !== undefined),
    );
    expect(mismatches.slice(0, 5).map(describeMismatch).join('\n\n')).toBe('');
  });

  test(
    'replays without a mismatch',
    () => {
      const machine = openUserMachine();
      const mismatches: Mismatch[] = [];
      for (const cases of corpus.rows.values())
        for (const recorded of cases) {
          const mismatch = replayCase(machine, recorded);
          if (mismatch) mismatches.push(mismatch);
        }
      const shown = mismatches.slice(0, 5).map(describeMismatch).join('\n\n');
      expect(mismatches.length, shown).toBe(0);
    },
    REPLAY_TIMEOUT,
  );
});
