// What a replay came to, held against what was recorded.
import type { Domain } from '../../../core/domain/domain.ts';
import type { DomainRecord } from '../../../core/domain/record.ts';
import type { ReplayEvent } from '../../../core/domain/replay.ts';
import { writeDumpCore } from '../../../core/dump/dump-core.ts';
import { openDumpCore } from '../../../core/target/dump-core.ts';
import type { Target } from '../../../core/target/target.ts';
import { hex16 } from '../../../symbols/address.ts';
import { memorySource } from '../../../symbols/bytes.ts';
import type { CrashRegister } from '../crash.ts';
import { compareRegisters } from '../diff/registers.ts';
import { type PortableRecord, parseRecord, renderRecord } from '../domain-file.ts';
import type { Recorded } from './recorded.ts';

/** A domain that was run again, where it stopped. */
export interface Replayed {
  readonly domain: Domain;
  /** As it was built. */
  readonly record: DomainRecord;
  readonly event: Exclude<ReplayEvent, { kind: 'going' }>;
  /** Inputs that it was given. */
  readonly given: number;
  /** What the guest wrote; undefined when it was too much to be kept. */
  readonly console: string | undefined;
}

export interface ReplayDifference {
  readonly what: string;
  readonly recorded: string;
  readonly replayed: string;
  /** Of a register: how the two values are related. Of memory: how much differs. */
  readonly relation?: string;
}

export interface ReplayComparison {
  readonly verdict: 'same' | 'different';
  /** Most telling first. */
  readonly differences: readonly ReplayDifference[];
  readonly end: { readonly recorded: string; readonly replayed: string };
  /** How much there was to compare. */
  readonly compared: {
    readonly inputs: number;
    readonly vcpus: number;
    readonly consoleLines: number;
    readonly frames: number;
  };
}

const PAGE = 4096;
const WORD = 8;
/** As collect marks what it left out of a long log. */
const LEFT_OUT = /^\[\.\.\. \d+ bytes left out \.\.\.\]$/;

type Table = readonly (readonly [what: string, (record: PortableRecord) => unknown])[];

/** What was settled before the guest ran. */
const SETUP: Table = [
  ['kernel', ({ kernel }) => kernel.sha256],
  ['ramdisk', ({ ramdisk }) => ramdisk?.sha256],
  ['memory', ({ memoryKiB }) => `${memoryKiB / 1024} MiB`],
  ['vCPUs', ({ vcpus }) => vcpus.length],
  ['seed', ({ seed }) => seed],
  ['wall clock', ({ wallclock }) => wallclock.seconds],
  ['command line', ({ cmdline }) => cmdline],
];

const END: Table = [
  ['instruction', ({ shutdownInstruction }) => shutdownInstruction],
  ['reason', ({ shutdownReason }) => shutdownReason],
  ['problem', ({ problem }) => problem],
  ['virtual time', ({ virtualNanoseconds }) => `${virtualNanoseconds} ns`],
];

function rowsOf(table: Table, was: PortableRecord, is: PortableRecord): ReplayDifference[] {
  return table.flatMap(([what, of]) => {
    const [recorded, replayed] = [String(of(was) ?? 'none'), String(of(is) ?? 'none')];
    return recorded === replayed ? [] : [{ what, recorded, replayed }];
  });
}

const placeOf = (place: {
  readonly instruction: number;
  readonly at: number;
  readonly slice: number;
}): string => `instruction ${place.instruction}, ${place.at} ns, slice ${place.slice}`;

/** An input that did not find its place, or those that were left. */
function inputRows({ inputs }: Recorded, { domain, event, given }: Replayed): ReplayDifference[] {
  const next = inputs[given];
  if (next === undefined) return [];
  if (event.kind !== 'astray')
    return [{ what: 'inputs', recorded: `${inputs.length}`, replayed: `${given}` }];
  const here = { instruction: domain.retired(), at: domain.now(), slice: domain.slices };
  return [
    { what: `input ${given + 1} (${next.input.kind})`, recorded: placeOf(next), replayed: placeOf(here) },
  ];
}

const GOING_ON = { past: 'runs on', idle: 'waits for ever', astray: 'came elsewhere' } as const;

/** How it ended, or where it is. */
function endOf({ event, domain }: Replayed): string {
  if (event.kind === 'shutdown') return `${event.reason} at instruction ${event.instruction}`;
  const places = domain.dumpImage().vcpus.map(({ id, registers }) => `vcpu${id} at ${hex16(registers.rip)}`);
  return `${GOING_ON[event.kind]} at instruction ${domain.retired()}: ${places.join(', ')}`;
}

/** The vCPUs as the file of a preserved domain gives them: a report has them from there. */
function vcpusOf(domain: Domain): Target['vcpus'] {
  const image = { ...domain.dumpImage(), frames: [] };
  const bytes = new Uint8Array((4 + 2 * image.vcpus.length) * PAGE);
  const size = writeDumpCore({ write: (offset, piece) => bytes.set(piece, offset) }, image);
  return openDumpCore(memorySource('the replayed domain', bytes.subarray(0, size))).vcpus;
}

/** Each part of a set of registers with its name, in hexadecimal. */
function partsOf(name: string, value: unknown): CrashRegister[] {
  if (typeof value === 'bigint') return [{ name, value: hex16(value) }];
  if (typeof value === 'number') return [{ name, value: value.toString(16) }];
  if (value instanceof Uint8Array)
    return Array.from({ length: value.length / WORD }, (_, word) => ({
      name: `${name}+${(WORD * word).toString(16)}`,
      value: Buffer.from(value.subarray(WORD * word, WORD * (word + 1))).toString('hex'),
    }));
  return Object.entries(value ?? {}).flatMap(([part, inner]) =>
    partsOf(name === '' ? part : `${name}.${part}`, inner),
  );
}

function registerRows(recorded: Target['vcpus'], replayed: Target['vcpus']): ReplayDifference[] {
  return recorded.flatMap(({ id, online, registers: was }): ReplayDifference[] => {
    const other = replayed.find((vcpu) => vcpu.id === id);
    const state = (up: boolean | undefined): string =>
      up === undefined ? 'absent' : up ? 'online' : 'offline';
    if (other?.online !== online)
      return [{ what: `vcpu${id}`, recorded: state(online), replayed: state(other?.online) }];
    if (was === undefined) return [];
    const { rip, rsp, rflags, ...others } = was;
    return compareRegisters(partsOf('', { rip, rsp, rflags, ...others }), partsOf('', other.registers))
      .filter(({ relation }) => relation !== 'equal')
      .map(({ name, relation, a, b, bits }) => ({
        what: `vcpu${id} ${name}`,
        recorded: a,
        replayed: b,
        relation: bits?.join(' ') ?? relation,
      }));
  });
}

const linesOf = (text: string): string[] => text.replaceAll('\r', '').split('\n');

interface Compared {
  /** Lines, frames. */
  readonly count: number;
  readonly rows: readonly ReplayDifference[];
}

function compareConsoles(was: Recorded, is: Replayed): Compared {
  if (was.console === undefined || is.console === undefined || was.isRedacted) return { count: 0, rows: [] };
  const [a, b] = [linesOf(was.console), linesOf(is.console)];
  // The line before the mark may be half a line.
  const cut = was.isConsoleCut ? a.findIndex((line) => LEFT_OUT.test(line)) - 1 : -1;
  const count = cut < 0 ? Math.max(a.length, b.length) : cut;
  for (let line = 0; line < count; line++)
    if (a[line] !== b[line]) {
      const [recorded, replayed] = [a[line] ?? '(the end)', b[line] ?? '(the end)'];
      return { count, rows: [{ what: `console line ${line + 1}`, recorded, replayed }] };
    }
  // Behind the last line end there is no line.
  return { count: cut < 0 && a.at(-1) === '' ? count - 1 : count, rows: [] };
}

/** Where the first word of two frames differs; undefined when they are equal. */
function firstDifference(a: Uint8Array, b: Uint8Array): number | undefined {
  if (Buffer.compare(a, b) === 0) return undefined;
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return at - (at % WORD);
}

function compareMemory({ memory, isRedacted }: Recorded, { domain }: Replayed): Compared {
  if (memory === undefined || isRedacted) return { count: 0, rows: [] };
  const wanted = new Set(
    memory.frames.flatMap(([first, length]) => Array.from({ length }, (_, index) => first + index)),
  );
  const count = wanted.size;
  const page = new Uint8Array(PAGE);
  const zeros = new Uint8Array(PAGE);
  let differing = 0;
  let first: Omit<ReplayDifference, 'relation'> | undefined;
  for (const [gfn, bytes = zeros] of domain.dumpImage().frames) {
    if (!wanted.delete(gfn)) continue;
    memory.readPhysical(gfn * PAGE, page);
    const at = firstDifference(page, bytes);
    if (at === undefined) continue;
    differing++;
    const word = (of: Uint8Array): string => Buffer.from(of.subarray(at, at + WORD)).toString('hex');
    first ??= {
      what: `memory 0x${(gfn * PAGE + at).toString(16)}`,
      recorded: word(page),
      replayed: word(bytes),
    };
  }
  const [absent] = wanted;
  if (absent !== undefined)
    first ??= { what: `memory 0x${(absent * PAGE).toString(16)}`, recorded: 'there', replayed: 'not there' };
  const relation = `${differing + wanted.size} of ${count} frames differ`;
  return { count, rows: first === undefined ? [] : [{ ...first, relation }] };
}

/** Where it ended otherwise, registers and memory say nothing: then only how it ended and its console are compared. */
export function compareReplay(recorded: Recorded, replayed: Replayed): ReplayComparison {
  const { record: was, inputs } = recorded;
  const { domain, event, record } = replayed;
  const is = parseRecord(
    renderRecord({
      ...record,
      ...(event.kind === 'shutdown' && {
        shutdownReason: event.reason,
        shutdownInstruction: event.instruction,
        problem: event.problem,
      }),
      virtualNanoseconds: domain.now(),
    }),
    'the replayed domain',
  );
  const end = {
    recorded: `${was.shutdownReason ?? 'an end'} at instruction ${was.shutdownInstruction}`,
    replayed: endOf(replayed),
  };
  const isOver = event.kind === 'shutdown';
  const isThere = isOver && event.instruction === was.shutdownInstruction;
  const vcpus = isThere ? recorded.vcpus : [];
  const console = compareConsoles(recorded, replayed);
  const memory = isThere ? compareMemory(recorded, replayed) : { count: 0, rows: [] };
  const differences = [
    ...rowsOf(SETUP, was, is),
    ...inputRows(recorded, replayed),
    ...(isOver ? rowsOf(END, was, is) : [{ what: 'end', ...end }]),
    ...(isThere ? registerRows(vcpus, vcpusOf(domain)) : []),
    ...console.rows,
    ...memory.rows,
  ];
  return {
    verdict: differences.length === 0 ? 'same' : 'different',
    differences,
    end,
    compared: {
      inputs: inputs.length,
      vcpus: vcpus.length,
      consoleLines: console.count,
      frames: memory.count,
    },
  };
}
