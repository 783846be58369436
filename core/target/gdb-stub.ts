// A guest behind a gdb remote stub (QEMU, Firecracker, our own gdbserver) as a Target. Connecting stops the guest; close() leaves it
// as it was found. Reads only: what it sets is which thread and which memory the stub reads, and it sets the latter back.
import { MemoryFault, PvhError } from '../../symbols/errors.ts';
import type { GdbClient } from '../gdb/client.ts';
import { type RegisterPlace, readDescription } from '../gdb/client-description.ts';
import { bytesToText, hexToBytes } from '../gdb/packet.ts';
import { parsePeerAddress } from '../host/blocking-connection.ts';
import { readFrames } from './gdb-stub-frames.ts';
import { firstAbsent, StubSpace } from './gdb-stub-memory.ts';
import { registerLacks, registerValues, vcpuRegisters } from './gdb-stub-registers.ts';
import { StubSession } from './gdb-stub-session.ts';
import type { Target, TargetIdentity, TargetVcpu } from './target.ts';

/** As many as Xen gives a guest, and more than QEMU does. */
const MAX_VCPUS = 512;
/** A stub answers at once, or it serves somebody else. */
const ANSWER_MS = 10_000;

/** Threads of the stub: one a vCPU. */
function readThreads(client: GdbClient): readonly string[] {
  const threads: string[] = [];
  for (let answer = client.ask('qfThreadInfo'); answer !== 'l'; answer = client.ask('qsThreadInfo')) {
    const found = /^m([0-9a-fp.-]+(?:,[0-9a-fp.-]+)*)$/i.exec(answer)?.[1]?.split(',');
    if (!found) throw client.error(`no list of threads: ${JSON.stringify(answer.slice(0, 80))}`);
    threads.push(...found);
    if (threads.length > MAX_VCPUS) throw client.error(`more than ${MAX_VCPUS} threads`);
  }
  return threads;
}

function readVcpu(
  session: StubSession,
  places: readonly RegisterPlace[],
  thread: string,
): Omit<TargetVcpu, 'id'> {
  const { client } = session;
  const about = hexToBytes(client.ask(`qThreadExtraInfo,${thread}`));
  // In the words of our own gdbserver; QEMU's vCPUs are all there is.
  const online = !/\boffline\b/.test(about ? bytesToText(about) : '');
  session.choose(thread);
  const packet = client.ask('g');
  if (/^E|^$/.test(packet))
    return { online, missing: `the gdb stub gives no registers: ${packet || 'no g packet'}` };
  const values = registerValues(places, packet, (number) => client.ask(`p${number.toString(16)}`));
  const registers = vcpuRegisters(values, places.some(({ name }) => name === 'rip') ? 64 : 32);
  if (typeof registers === 'string') return { online, missing: `the gdb stub does not give ${registers}` };
  return { online, registers };
}

class GdbStubTarget implements Target {
  readonly kind = 'gdb-stub';
  readonly description: string;
  readonly identity: TargetIdentity = {};
  readonly vcpus: readonly TargetVcpu[];
  readonly lacks: readonly string[];
  readonly frames: readonly (readonly [number, number])[];
  readonly readVirtual: Target['readVirtual'];
  readonly #session: StubSession;
  readonly #physical: StubSpace | undefined;
  readonly #framesKnown: boolean;

  constructor(session: StubSession, name: string) {
    const { client } = session;
    this.#session = session;
    this.description = `guest behind the gdb stub at ${name}`;
    const places = readDescription((annex) => client.readObject(`features:read:${annex}`));
    const threads = readThreads(client);
    this.vcpus = threads.map((thread, id) => ({ id, ...readVcpu(session, places, thread) }));
    const lacks = [...registerLacks(places), 'console: the gdb stub does not give it'];
    const paged = places.some(({ name }) => name === 'cr3');
    if (session.hasPhysical) {
      session.enter();
      this.#physical = new StubSpace(client, () => session.enter());
    } else lacks.push('physical memory: the gdb stub reads by virtual addresses only');
    const frames = session.hasPhysical ? readFrames(client) : [];
    if (!frames) lacks.push('frames: neither a memory map nor QEMU tells which memory there is');
    this.frames = frames ?? [];
    this.#framesKnown = frames !== undefined;
    if (!session.hasPhysical || !paged) this.readVirtual = virtualReader(session, threads);
    this.lacks = lacks;
  }

  readPhysical(address: number, into: Uint8Array): void {
    this.#session.assertOpen();
    const known = this.#framesKnown ? firstAbsent(this.frames, address, into.length) : undefined;
    const absent = known ?? (this.#physical ? this.#physical.read(BigInt(address), into) : address);
    if (absent !== undefined) throw new MemoryFault('physical', BigInt(absent), 'not in dump');
  }

  close(): void {
    this.#session.close();
  }
}

/** Memory as the stub's own walk through the page tables finds it. */
function virtualReader(session: StubSession, threads: readonly string[]): Target['readVirtual'] {
  const spaces = threads.map(
    (thread) => new StubSpace(session.client, () => session.enter(thread), threads.length),
  );
  return (vcpu, address, into) => {
    session.assertOpen();
    const absent = spaces[vcpu]?.read(address, into);
    if (absent !== undefined) throw new MemoryFault('virtual', absent, 'not mapped', 'says the gdb stub');
  };
}

/**
 * Connects to a stub, which stops the guest until close().
 * @param place `host:port` or `unix:path`.
 * @param timeoutMs that one answer may take.
 * @throws GdbStubError when it cannot be reached or does not answer as a stub does, FormatError when its target description is damaged.
 */
export function openGdbStub(place: string, timeoutMs: number = ANSWER_MS): Target {
  const address = parsePeerAddress(place);
  if (!address) throw new PvhError('EINVAL', `'gdb:${place}' is neither gdb:HOST:PORT nor gdb:unix:PATH`);
  const session = new StubSession(address, place, timeoutMs);
  try {
    session.begin();
    return new GdbStubTarget(session, place);
  } catch (error) {
    session.close();
    throw error;
  }
}
