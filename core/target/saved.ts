// A saved domain (`xl save`, or the streams of libxl and libxc inside) as a Target. Pages are read where they lie.
import type { ByteSource } from '../../symbols/bytes.ts';
import { FormatError } from '../../symbols/errors.ts';
import { readVcpu, VCPU_CONTEXT_SIZE } from '../dump/vcpu-context.ts';
import { framesOf, type Run, readRuns } from './file-runs.ts';
import { readHvmContext } from './hvm-context.ts';
import { PV_LACKS_REGISTERS, pvVcpu, readVcpu32, VCPU_CONTEXT_32_SIZE } from './pv-context.ts';
import { notSaved, openEnvelope } from './saved-envelope.ts';
import { type Area, readSavedImage, type SavedImage } from './saved-records.ts';
import type { Target, TargetIdentity, TargetVcpu } from './target.ts';

/** Text of a member of an object of which nothing is known; control characters are not kept. */
function textOf(holder: unknown, name: string): string | undefined {
  if (typeof holder !== 'object' || holder === null) return undefined;
  const value: unknown = Object.entries(holder).find(([key]) => key === name)?.[1];
  return typeof value === 'string' ? value.replace(/[^\x20-\x7e]/g, '?').slice(0, 256) : undefined;
}

/** Name and UUID by the configuration that xl saved: `c_info` of libxl_domain_config. */
function configured(config: string | undefined): TargetIdentity {
  if (config === undefined) return {};
  try {
    const parsed: unknown = JSON.parse(config);
    const info: unknown = parsed && Object.entries(parsed).find(([key]) => key === 'c_info')?.[1];
    return { name: textOf(info, 'name'), uuid: textOf(info, 'uuid') };
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

function pvVcpus(source: ByteSource, { pvContexts, guestWidth }: SavedImage): TargetVcpu[] {
  const size = guestWidth === 4 ? VCPU_CONTEXT_32_SIZE : VCPU_CONTEXT_SIZE;
  const read = ([id, { offset, length }]: [number, Area]): TargetVcpu => {
    const there = Math.min(length, source.size - offset);
    if (there < size) return { id, online: true, missing: `its record is short: ${there} bytes` };
    const context = source.read(offset, size);
    return { id, ...(guestWidth === 4 ? readVcpu32(context) : pvVcpu(readVcpu(context))) };
  };
  return [...pvContexts].map(read).sort((a, b) => a.id - b.id);
}

function lacksOf(image: SavedImage, vcpus: readonly TargetVcpu[]): string[] {
  const { pv, cutAt, resent, unknownTypes } = image;
  const lacks: string[] = pv ? [...PV_LACKS_REGISTERS] : [];
  if (cutAt !== undefined)
    lacks.push(
      `memory and registers: the file is cut off at 0x${cutAt.toString(16)}, what came behind is missing${resent ? '; pages were sent more than once, and what is there of one may be an earlier copy' : ''}`,
    );
  if (unknownTypes.length > 0)
    lacks.push(
      `records of types that are not known: ${unknownTypes.map((type) => `0x${type.toString(16)}`).join(', ')}`,
    );
  if (vcpus.length === 0) lacks.push('registers: the file has no vCPU');
  lacks.push('console: not in a saved domain');
  return lacks;
}

/** Target over an opened file. Use openSaved. */
class SavedTarget implements Target {
  readonly kind = 'saved';
  readonly description: string;
  readonly identity: TargetIdentity;
  readonly vcpus: readonly TargetVcpu[];
  readonly lacks: readonly string[];
  readonly #source: ByteSource;
  readonly #runs: readonly Run[];
  readonly #release: () => void;

  constructor(source: ByteSource, release: () => void, missing: readonly string[]) {
    const { config, offset } = openEnvelope(source);
    const image = readSavedImage(source, offset);
    const { hvmContext, runs, xenVersion, cutAt } = image;
    if (runs.length === 0)
      throw new FormatError('saved domain without a page of memory', {
        source: source.name,
        offset: cutAt ?? offset,
      });
    if (image.pv) this.vcpus = pvVcpus(source, image);
    else this.vcpus = hvmContext ? readHvmContext(source, hvmContext.offset, hvmContext.length) : [];
    this.description = `saved domain ${source.name}`;
    this.identity = { ...configured(config), xenVersion };
    this.lacks = [...missing, ...lacksOf(image, this.vcpus)];
    this.#source = source;
    this.#runs = runs;
    this.#release = release;
  }

  get frames(): readonly (readonly [number, number])[] {
    return framesOf(this.#runs);
  }

  readPhysical(address: number, into: Uint8Array): void {
    readRuns(this.#source, this.#runs, address, into);
  }

  close(): void {
    this.#release();
  }
}

/**
 * Opens a saved domain. Physical addresses of a PV guest are pseudo-physical: Xen rewrites its page tables so.
 * @param release called once by close().
 * @param missing what is known to be missing before the file is looked into.
 * @throws FormatError when it is none, damaged, or cut off before its first page.
 */
export function openSaved(
  source: ByteSource,
  release: () => void = () => undefined,
  missing: readonly string[] = [],
): Target {
  const refusal = notSaved(source);
  if (refusal !== undefined) throw new FormatError(refusal, { source: source.name });
  return new SavedTarget(source, release, missing);
}
