// What the file of a report is called: domain, time and crash, so that a folder of them tells something.
import { sha256 } from './archive.ts';
import { functionName, type Signature } from './signature.ts';

/** UTC without colons, which no file system refuses; undefined when it is no time. */
function timeText(seconds: number): string | undefined {
  const date = new Date(Math.floor(seconds) * 1000);
  return Number.isNaN(date.getTime())
    ? undefined
    : date
        .toISOString()
        .replace(/\.\d+Z$/, 'Z')
        .replaceAll(':', '_');
}

/** Eight digits that tell crashes apart at a glance; `diff` tells whether two are the same. */
function crashDigits({ ending, title, frames }: Signature): string {
  const names = frames.map(({ symbol }) => (symbol === undefined ? '?' : functionName(symbol)));
  return sha256(new TextEncoder().encode(JSON.stringify([ending, title ?? null, names.slice(0, 3)]))).slice(
    0,
    8,
  );
}

/** @param folder how the name begins. @param time seconds since 1970: when it crashed by its own clock, or was looked at. */
export function reportName(folder: string, time: number | undefined, signature: Signature): string {
  const when = time === undefined ? undefined : timeText(time);
  return `${[folder, when, crashDigits(signature)].filter((part) => part !== undefined).join('_')}.tar.gz`;
}
