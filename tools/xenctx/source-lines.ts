// Where a frame is in the source: behind its line, and the functions into which it was inlined below it.
import type { Frame } from '../../symbols/unwind/frame.ts';
import type { GuestKernel } from '../shared/guest-kernel.ts';
import { type SourceText, sourceText } from '../shared/source-text.ts';
import { instructionOf } from '../shared/unwinding.ts';

/** Undefined when it is not known. */
export const sourceOf = (kernel: GuestKernel, frame: Frame): SourceText | undefined =>
  sourceText(kernel.lines(instructionOf(frame)), kernel.sourcePrefixes());

/** ` (file.c:12)`; nothing when it is not known. */
export const placeOf = (source: SourceText | undefined): string => (source ? ` (${source.place})` : '');

/** A line for each function into which the one before was inlined. */
export const inlinedLines = (source: SourceText | undefined): string[] =>
  (source?.inlinedBy ?? []).map((place) => `   (inlined by) ${place}`);
