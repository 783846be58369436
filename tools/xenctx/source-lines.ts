// Where a frame is in the source, behind its line and below it.
import type { SourceFrame } from '../../symbols/dwarf/debug-info.ts';

const place = ({ file, line }: SourceFrame): string =>
  file === undefined ? '' : ` (${file}:${line === undefined ? '?' : line})`;

/** ` (file.c:12)` of the innermost function; nothing when it is not known. */
export const placeOf = ([innermost]: readonly SourceFrame[]): string => (innermost ? place(innermost) : '');

/** A line for each function into which the one before was inlined. */
export const inlinedLines = (frames: readonly SourceFrame[]): string[] => {
  if (frames.length < 2) return [];
  const [innermost, ...outer] = frames;
  return [
    `   ${innermost?.function ?? '?'}`,
    ...outer.map((frame) => `   (inlined by) ${frame.function ?? '?'}${place(frame)}`),
  ];
};
