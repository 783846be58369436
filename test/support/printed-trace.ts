// Frames of a panicked kernel's last trace, as that kernel printed it and as xenctx shows it: to be compared one by one.

const FRAME = /^ *([\w.]+\+0x[0-9a-f]+\/0x[0-9a-f]+)(?: \[\w+\])?$/;

const framesIn = (lines: readonly string[]): string[] =>
  lines.flatMap((line) => FRAME.exec(line)?.[1] ?? /^RIP: .*/.exec(line)?.[0] ?? []);

const below = (frames: readonly string[]): string[] =>
  frames.slice(frames.findLastIndex((frame) => /^v?panic\+/.test(frame)) + 1);

/** Frames and RIP lines of the last trace on a console, from the caller of panic outwards; lines with `?` are no frames. */
export function printedFrames(console: string): string[] {
  const lines = console.split('\n').map((line) => line.replace(/^\[ *\d+\.\d+\](?:\[ *\w+\])? /, ''));
  return below(framesIn(lines.slice(lines.lastIndexOf('Call Trace:') + 1)));
}

/** The same of the trace of the vCPU that panicked, as xenctx shows it. */
export function unwoundFrames(text: string): string[] {
  const [trace = ''] = text
    .split('Call Trace:\n')
    .slice(1)
    .filter((part) => / v?panic\+/.test(part));
  return below(framesIn((trace.split('\n\n')[0] ?? '').split('\n')));
}
