// npm run fuzz -- [--target elf] [--count 1000000] [--seed 1] [--only 123 [--save file]]: damaged inputs for every reader of
// foreign bytes. Without --target all of them, one after the other. --only reads one input again, as a failure names it.
// Exit status 1 when an input made a reader hang, throw what it must not, or ask for too much memory.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type Failure, Fuzzer, type FuzzJob, type FuzzResult } from './harness.ts';
import { makeInput } from './mutate.ts';
import { findTarget, TARGETS } from './targets.ts';

const { values } = parseArgs({
  options: {
    target: { type: 'string', multiple: true },
    count: { type: 'string', default: '100000' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    save: { type: 'string' },
  },
});

function wholeNumber(option: 'count' | 'seed' | 'only'): number {
  const number = Number(values[option]);
  if (Number.isInteger(number) && number >= 0 && number < 2 ** 32) return number;
  throw new Error(`--${option} ${values[option]}: not a whole number below 2^32`);
}

const describeFailure = ({ number, kind, detail }: Failure, { target, seed }: FuzzJob): string =>
  `${target}: ${kind} at input ${number}: ${detail.split('\n').slice(0, 8).join('\n')}\n` +
  `  again: npm run fuzz -- --target ${target} --seed ${seed} --only ${number}`;

function summary({ target, from, to }: FuzzJob, { progress, seconds, failed }: FuzzResult): string {
  const { done, refused, read, slowest, greediest } = progress;
  const per = (count: number): string => (count / Math.max(done, 1)).toFixed(1);
  return (
    `${target}: ${to - from} inputs, ${Math.round(done / seconds)}/s, ${Math.round((100 * refused) / Math.max(done, 1))} % refused, ` +
    `${per(read)} things read each, slowest ${slowest.ms.toFixed(0)} ms (${slowest.number}), ` +
    `most memory ${(greediest.bytes / 2 ** 20).toFixed(1)} MiB (${greediest.number}), ${failed} failed`
  );
}

const names = values.target ?? TARGETS.map(({ name }) => name);
const seed = wholeNumber('seed');
const [from, to] =
  values.only === undefined ? [0, wholeNumber('count')] : [wholeNumber('only'), wholeNumber('only') + 1];
await using fuzzer = new Fuzzer();
for (const target of names) {
  const { seeds } = findTarget(target);
  if (values.save !== undefined) writeFileSync(values.save, makeInput(target, seeds(), seed, from));
  const job: FuzzJob = { target, seed, from, to };
  const result = await fuzzer.run(job, (failure) => console.log(describeFailure(failure, job)));
  console.log(summary(job, result));
  if (result.failed > 0) process.exitCode = 1;
}
