// The record of a guest: target.json and memory.core, from which everything that is derived is made, at once or later.
// memory.core is a dump-core file, for every other tool too; with memory
// alone where a vCPU's page tables are not known.

import { type DumpImage, UNKNOWABLE, writeDumpCore } from '../../../core/dump/dump-core.ts';
import type { VcpuRegisters } from '../../../core/machine/registers.ts';
import { openDumpCore } from '../../../core/target/dump-core.ts';
import type { Target, TargetVcpu } from '../../../core/target/target.ts';
import { memorySource } from '../../../symbols/bytes.ts';
import { InternalError } from '../../../symbols/errors.ts';
import type { Problem } from '../evidence.ts';
import { chooseFrames } from './choose-frames.ts';
import type { Image } from './image-order.ts';
import { PAGE, Snapshot } from './snapshot.ts';
import { parseTarget, renderTarget, type TakenMemory } from './target-file.ts';

/** Headers, notes and the names of sections. */
const HEADERS = 8192;
const VCPU_BYTES = 8192;

export interface TargetRecord {
  /** target.json */
  readonly targetJson: string;
  /** memory.core */
  readonly memory: Uint8Array;
  /** Undefined when nobody asked for it; nothing is made from it. */
  readonly image?: Image | Problem | undefined;
}

/** Without these nothing is found: a dump of Xen has them of each vCPU. */
const isUsable = ({ registers }: TargetVcpu): boolean =>
  registers?.cr3 !== undefined && registers.fs.base !== undefined && registers.gs.base !== undefined;

/** Xen writes no EFER of vCPUs into a dump; a record of one that is not known would say that it is 0. */
const isWhole = ({ registers }: TargetVcpu): boolean =>
  registers?.efer !== undefined && registers.tr !== undefined && registers.gdtr !== undefined;

function versionOf(text = ''): DumpImage['xen'] {
  const {
    major = '0',
    minor = '0',
    extra = '',
  } = /^(?<major>\d{1,4})\.(?<minor>\d{1,4})(?<extra>.*)$/.exec(text)?.groups ?? {};
  return { major: Number(major), minor: Number(minor), extra };
}

/** What a dump-core file says beside memory. */
export function dumpHeader({ vcpus, identity }: Target): Pick<DumpImage, 'vcpus' | 'unknown' | 'xen'> {
  const known = vcpus.flatMap(({ id, online, registers }, index) =>
    registers && id === index ? [{ id, online, registers: registers satisfies VcpuRegisters }] : [],
  );
  const xen = versionOf(identity.xenVersion);
  if (known.length !== vcpus.length) return { vcpus: [], xen };
  if (vcpus.every(isWhole)) return { vcpus: known, xen };
  if (!vcpus.every(isUsable)) return { vcpus: [], xen };
  const unknown = UNKNOWABLE.filter((name) => known.some(({ registers }) => registers[name] === undefined));
  return { vcpus: known, unknown, xen };
}

/** @throws InternalError for a frame that was not read. */
function writeMemory(snapshot: Snapshot, gfns: readonly number[]): Uint8Array {
  const { vcpus } = snapshot;
  const bytes = new Uint8Array(HEADERS + vcpus.length * VCPU_BYTES + gfns.length * (PAGE + 8) + 2 * PAGE);
  const size = writeDumpCore(
    { write: (offset, piece) => bytes.set(piece, offset) },
    {
      ...dumpHeader(snapshot),
      frames: gfns.map((gfn) => {
        const page = snapshot.page(gfn);
        if (!page) throw new InternalError(`frame ${gfn} was not read`);
        return [gfn, page] as const;
      }),
    },
  );
  return bytes.subarray(0, size);
}

/** Why the memory of a target cannot be kept; undefined when it can. */
export const notRecordable = ({ readVirtual }: Target): string | undefined =>
  readVirtual &&
  'this source translates addresses itself and gives no physical memory: symbols cannot be added to this report later';

/**
 * Reads what a report needs of a guest, once.
 * @param look looks at it as a report does, without a file of symbols.
 * @param takeImage makes an image in which the frames of the record are, whatever else is in it.
 */
export async function recordTarget(
  target: Target,
  look: (target: Target) => Promise<void>,
  takeImage?: (gfns: ReadonlySet<number>) => Promise<Image | Problem>,
): Promise<TargetRecord> {
  const snapshot = new Snapshot(target);
  const { gfns, leftOut } = await chooseFrames(snapshot, () => look(snapshot));
  const image = await takeImage?.(new Set(gfns));
  const memory: TakenMemory = {
    taken: 'stacks',
    frames: gfns.length,
    leftOut,
    ...(image && 'memory' in image && { image: image.memory }),
  };
  return { targetJson: renderTarget(target, memory), memory: writeMemory(snapshot, gfns), image };
}

/** A guest as a report has it. @throws FormatError */
export function openRecord({ targetJson, memory }: TargetRecord, source: string): Target {
  const { kind, identity, lacks, vcpus, paging } = parseTarget(targetJson, `${source}: target.json`);
  const core = openDumpCore(memorySource(`${source}: memory.core`, memory));
  return {
    kind,
    description: `what ${source} has of a guest`,
    identity,
    lacks,
    vcpus,
    ...(paging && { paging }),
    frames: core.frames,
    readPhysical: (address, into) => core.readPhysical(address, into),
    close: () => core.close(),
  };
}
