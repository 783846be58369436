// What a comparison does not show, in words.
import type { LeftOut } from './sieve.ts';

const listed = (counts: readonly (readonly [string, number])[]): string =>
  counts.map(([what, count]) => `${what} (${count === 0 ? 'nothing' : count})`).join(', ');

/** A line each. */
export function leftOutLines(leftOut: LeftOut | undefined): string[] {
  if (leftOut === undefined) return [];
  const { sections, ignored, only, noise, baselines, decisive } = leftOut;
  const others = baselines.filter(({ verdict }) => verdict !== 'same');
  return [
    ...(decisive.length > 0
      ? [`the verdict is not changed by what is left out, but rests on some of it: ${decisive.join(', ')}`]
      : []),
    ...(others.length > 0
      ? [
          `${others.length} of ${baselines.length} baselines not the same crash as A, so real differences may be taken for noise: ${others.map(({ path }) => path).join(', ')}`,
        ]
      : []),
    ...(sections.length > 0 ? [`left out: ${sections.join(', ')}`] : []),
    ...(only.length > 0 ? [`looked at only: ${only.join(', ')}`] : []),
    ...(ignored.length > 0
      ? [`ignored: ${listed(ignored.map(({ pattern, count }) => [pattern, count]))}`]
      : []),
    ...(baselines.length > 0
      ? [
          `noise, as between A and its baselines: ${noise.length === 0 ? 'nothing' : listed(noise.map(({ section, count }) => [section, count]))}`,
        ]
      : []),
  ];
}
