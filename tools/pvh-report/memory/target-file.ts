// target.json: the vCPUs and the identity of a guest exactly as they were read, unknown left unknown. With memory.core it is a Target
// again.
import { GENERAL_REGISTERS, type VcpuRegisters } from '../../../core/machine/registers.ts';
import type { KernelPaging, Target, TargetVcpu } from '../../../core/target/target.ts';
import { hex16 } from '../../../symbols/address.ts';
import { FormatError } from '../../../symbols/errors.ts';
import {
  asArray,
  asBoolean,
  asNumber,
  asObject,
  asOptional,
  asString,
  parseJson,
} from '../../shared/json.ts';

const TARGET_SCHEMA = 'pvh-report-target/1';

const NEEDED = [...GENERAL_REGISTERS, 'rip', 'rflags'] as const;
const OPTIONAL = [
  ...(['cr0', 'cr2', 'cr3', 'cr4', 'cr8', 'dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7'] as const),
  ...(['efer', 'star', 'lstar', 'cstar', 'fmask', 'kernel_gs_base'] as const),
  ...(['sysenter_cs', 'sysenter_esp', 'sysenter_eip', 'pat', 'tsc_aux'] as const),
] as const;
const NEEDED_SEGMENTS = ['cs', 'ss', 'ds', 'es', 'fs', 'gs'] as const;
const OPTIONAL_SEGMENTS = ['tr', 'ldtr'] as const;
const TABLES = ['gdtr', 'idtr'] as const;
const FXSAVE_SIZE = 512;
/** HVM_MAX_VCPUS of Xen. */
const MAX_VCPUS = 512;
const MAX_LACKS = 256;

/** How much of the guest's memory is in a report. */
export type MemoryTaken = 'none' | 'stacks';
const TAKEN: readonly MemoryTaken[] = ['none', 'stacks'];

export interface TakenMemory {
  readonly taken: MemoryTaken;
  /** Frames in memory.core. */
  readonly frames: number;
  /** Frames for which there was no room. */
  readonly leftOut: number;
  readonly image?: ImageMemory | undefined;
}

/** What is in an image of the memory, in frames. */
export interface ImageMemory {
  /** Everything, or what is the kernel's. */
  readonly taken: 'kernel' | 'all';
  readonly frames: number;
  /** Of those: the kernel does not tell what they are used for. */
  readonly unknown: number;
  readonly leftOut: {
    readonly free: number;
    /** Anonymous memory of programs. */
    readonly user: number;
    /** Content of files. */
    readonly cache: number;
    /** The source lists them and does not give them. */
    readonly unreadable: number;
  };
}

type Field = readonly [name: string, value: unknown];

/** bigints as 16 hex digits, bytes as hex digits; what is not known is left out. */
function portable(value: unknown): unknown {
  if (typeof value === 'bigint') return hex16(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, part]): Field[] =>
      part === undefined ? [] : [[name, portable(part)]],
    ),
  );
}

/** In one order, whatever the source's is. */
function registersFields(registers: VcpuRegisters): unknown {
  const names = [
    ...NEEDED,
    ...OPTIONAL,
    ...NEEDED_SEGMENTS,
    ...OPTIONAL_SEGMENTS,
    ...TABLES,
    'fxsave',
  ] as const;
  return portable(Object.fromEntries(names.map((name) => [name, registers[name]])));
}

/** Which source this is, what it does not know, and its vCPUs; without folders of this host. */
export function renderTarget(
  { kind, identity, lacks, vcpus, paging }: Omit<TargetFile, 'memory'>,
  memory: TakenMemory,
): string {
  const document = {
    schema: TARGET_SCHEMA,
    kind,
    identity,
    lacks,
    memory,
    ...(paging && { paging }),
    vcpus: vcpus.map(({ id, online, missing, registers }) => ({
      id,
      online,
      missing,
      ...(registers && { registers: registersFields(registers) }),
    })),
  };
  return `${JSON.stringify(document, undefined, 1)}\n`;
}

type Object = ReturnType<typeof asObject>;

function asWord(value: unknown, place: string): bigint {
  const text = asString(value, place);
  if (!/^[0-9a-f]{16}$/.test(text)) throw new FormatError('not 16 hex digits', { source: place });
  return BigInt(`0x${text}`);
}

function asNatural(value: unknown, place: string): number {
  const number = asNumber(value, place);
  if (number < 0) throw new FormatError('below 0', { source: place });
  return number;
}

function asSegment(value: unknown, place: string): VcpuRegisters['cs'] {
  const segment = asObject(value, place);
  return {
    selector: asNatural(segment['selector'], `${place}.selector`) & 0xffff,
    base: asOptional(asWord, segment['base'], `${place}.base`),
    limit: asOptional(asNatural, segment['limit'], `${place}.limit`),
    attributes: asOptional(asNatural, segment['attributes'], `${place}.attributes`),
  };
}

function asTable(value: unknown, place: string): NonNullable<VcpuRegisters['gdtr']> {
  const table = asObject(value, place);
  return { base: asWord(table['base'], `${place}.base`), limit: asNatural(table['limit'], `${place}.limit`) };
}

function asFxsave(value: unknown, place: string): Uint8Array {
  const text = asString(value, place);
  if (text.length !== FXSAVE_SIZE * 2 || !/^[0-9a-f]+$/.test(text))
    throw new FormatError(`not ${FXSAVE_SIZE} bytes`, { source: place });
  return Uint8Array.from(Buffer.from(text, 'hex'));
}

function parseRegisters(value: unknown, place: string): VcpuRegisters {
  const given: Object = asObject(value, place);
  const take = <Name extends string, T>(
    names: readonly Name[],
    as: (value: unknown, place: string) => T,
  ): Record<Name, T> =>
    Object.fromEntries(names.map((name) => [name, as(given[name], `${place}.${name}`)])) as Record<Name, T>; // fromEntries forgets the keys
  const may =
    <T>(as: (value: unknown, place: string) => T) =>
    (each: unknown, where: string): T | undefined =>
      asOptional(as, each, where);
  return {
    ...take(NEEDED, asWord),
    ...take(OPTIONAL, may(asWord)),
    ...take(NEEDED_SEGMENTS, asSegment),
    ...take(OPTIONAL_SEGMENTS, may(asSegment)),
    ...take(TABLES, may(asTable)),
    fxsave: asOptional(asFxsave, given['fxsave'], `${place}.fxsave`),
  };
}

function parsePaging(value: unknown, place: string): KernelPaging {
  const paging = asObject(value, place);
  const levels = paging['levels'];
  if (levels !== 4 && levels !== 5) throw new FormatError('neither 4 nor 5 levels', { source: place });
  return { root: asNatural(paging['root'], `${place}.root`), levels };
}

function parseImage(value: unknown, place: string): ImageMemory {
  const image = asObject(value, place);
  const { taken } = image;
  if (taken !== 'kernel' && taken !== 'all')
    throw new FormatError('of a kind that is not known', { source: place });
  const leftOut = asObject(image['leftOut'], `${place}.leftOut`);
  const count = (name: string): number => asNatural(leftOut[name], `${place}.leftOut.${name}`);
  return {
    taken,
    frames: asNatural(image['frames'], `${place}.frames`),
    unknown: asNatural(image['unknown'], `${place}.unknown`),
    leftOut: {
      free: count('free'),
      user: count('user'),
      cache: count('cache'),
      unreadable: count('unreadable'),
    },
  };
}

/** @throws FormatError */
export function parseMemory(value: unknown, place: string): TakenMemory {
  const memory = asObject(value, place);
  const taken = TAKEN.find((each) => each === memory['taken']);
  if (taken === undefined) throw new FormatError('of a kind that is not known', { source: place });
  return {
    taken,
    frames: asNatural(memory['frames'], `${place}.frames`),
    leftOut: asNatural(memory['leftOut'], `${place}.leftOut`),
    image: asOptional(parseImage, memory['image'], `${place}.image`),
  };
}

/** All that target.json has. */
export type TargetFile = Pick<Target, 'kind' | 'identity' | 'vcpus' | 'lacks' | 'paging'> & {
  /** Absent in reports from before memory was kept. */
  readonly memory: TakenMemory | undefined;
};

/** @throws FormatError */
export function parseTarget(text: string, source: string): TargetFile {
  const top = asObject(parseJson(text, source), source);
  if (top['schema'] !== TARGET_SCHEMA) throw new FormatError(`not of schema ${TARGET_SCHEMA}`, { source });
  const bounded = (name: string, limit: number): readonly unknown[] => {
    const list = asArray(top[name], `${source}: ${name}`);
    if (list.length > limit) throw new FormatError(`more than ${limit} ${name}`, { source });
    return list;
  };
  const identity = asObject(top['identity'], `${source}: identity`);
  return {
    kind: asString(top['kind'], `${source}: kind`),
    identity: {
      domid: asOptional(asNumber, identity['domid'], `${source}: identity.domid`),
      name: asOptional(asString, identity['name'], `${source}: identity.name`),
      uuid: asOptional(asString, identity['uuid'], `${source}: identity.uuid`),
      xenVersion: asOptional(asString, identity['xenVersion'], `${source}: identity.xenVersion`),
    },
    lacks: bounded('lacks', MAX_LACKS).map((each) => asString(each, `${source}: lacks`)),
    memory: asOptional(parseMemory, top['memory'], `${source}: memory`),
    paging: asOptional(parsePaging, top['paging'], `${source}: paging`),
    vcpus: bounded('vcpus', MAX_VCPUS).map((value): TargetVcpu => {
      const vcpu = asObject(value, `${source}: vcpus`);
      const missing = asOptional(asString, vcpu['missing'], `${source}: missing`);
      const registers = asOptional(parseRegisters, vcpu['registers'], `${source}: registers`);
      return {
        id: asNatural(vcpu['id'], `${source}: id`),
        online: asBoolean(vcpu['online'], `${source}: online`),
        ...(missing !== undefined && { missing }),
        ...(registers && { registers }),
      };
    }),
  };
}
