// Which guest-physical memory a gdb stub holds. The protocol has no question for it; probing would read devices, and QEMU's stub
// answers zeros where there is nothing. So: the stub's memory map, else what QEMU's monitor says of its address space.
import { FormatError } from '../../symbols/errors.ts';
import type { GdbClient } from '../gdb/client.ts';
import { xmlElements, xmlNumber } from '../gdb/client-description.ts';
import { disjointRuns, framesOf, type Run } from './file-runs.ts';

/** Physical addresses end there. */
const MAX_PHYSICAL = 2 ** 52;

const runOf = (start: number, length: number): Run[] =>
  start + length <= MAX_PHYSICAL ? [{ start, length, offset: start }] : [];

/** `memory` elements of type ram and rom (Debugging with GDB, Memory Map Format). */
function mapRuns(xml: string): Run[] {
  const runs: Run[] = [];
  for (const element of xmlElements(xml, 'memory map')) {
    if (element.name !== 'memory' || !/^r[ao]m$/.test(element.attributes.get('type') ?? '')) continue;
    const [start, length] = [xmlNumber(element, 'start'), xmlNumber(element, 'length')];
    if (start === undefined || length === undefined)
      throw new FormatError('memory without start or length', { source: 'memory map' });
    runs.push(...runOf(start, length));
  }
  return runs;
}

/** The flat view of the address space "memory" in `info mtree -f` (QEMU 2.10 on, softmmu/memory.c). */
function flatViewRuns(text: string): Run[] {
  const view = text.split(/^FlatView #/m).find((part) => /^ AS "memory"/m.test(part)) ?? '';
  return [...view.matchAll(/^ {2}([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, r[ao]m\)/gm)].flatMap(
    ([, first, last]) => {
      const start = Number(`0x${first}`);
      return runOf(start, Number(`0x${last}`) + 1 - start);
    },
  );
}

/** Frames that can be read, in physical mode of the stub. Undefined when nothing tells. */
export function readFrames(client: GdbClient): (readonly [number, number])[] | undefined {
  const map = client.has('qXfer:memory-map:read') ? client.readObject('memory-map:read:') : undefined;
  const runs = map === undefined ? flatViewRuns(client.monitor('info mtree -f') ?? '') : mapRuns(map);
  const frames = framesOf(disjointRuns(runs));
  return frames.length > 0 ? frames : undefined;
}
