// A session with a gdb stub: how the guest was found, which memory the stub reads, and what is said at the end.
import { PvhError } from '../../symbols/errors.ts';
import { GdbClient, GdbStubError } from '../gdb/client.ts';
import { bytesToText, framePacket } from '../gdb/packet.ts';
import { BlockingConnection, ConnectionError, type PeerAddress } from '../host/blocking-connection.ts';

/** QEMU's two memories (docs/system/gdb.rst, "Advanced debugging options"). */
const VIRTUAL = 'Qqemu.PhyMemMode:0';
const PHYSICAL = 'Qqemu.PhyMemMode:1';
type Mode = typeof VIRTUAL | typeof PHYSICAL;

/** `D` lets the guest go on. */
const DETACH = 'D';

/** Acknowledges what was answered last, and ends the session with packets. */
const farewellOf = (packets: readonly string[]): string =>
  packets.map((packet) => `+${bytesToText(framePacket(packet))}`).join('');

/**
 * True when the guest stood still before the connection stopped it. QEMU's monitor knows of the reasons (`info status`), but not a
 * guest that was paused by hand from one that the connection paused; that one is told by the stop packet that QEMU sends for one that
 * ran, until 8.1 (qemu 758370052fb, "gdbstub: only send stop-reply packets when allowed to").
 */
function stoodStill(client: GdbClient): boolean {
  if (client.toldStop) return false;
  const status = client.monitor('info status')?.replace('(single step mode)', '') ?? '';
  if (/^VM status: paused \(/.test(status)) return true;
  const [, major, minor] = /^(\d+)\.(\d+)\./.exec(client.monitor('info version') ?? '') ?? [];
  return status.startsWith('VM status: paused') && major !== undefined && Number(`${major}.${minor}`) < 8.1;
}

export class StubSession {
  readonly client: GdbClient;
  readonly #connection: BlockingConnection;
  #resumes = true;
  /** Undefined: the stub has one memory only. */
  #mode: Mode | undefined;
  #modeFound: Mode | undefined;
  #thread: string | undefined;
  #closed = false;

  /** @throws GdbStubError */
  constructor(address: PeerAddress, name: string, timeoutMs: number) {
    try {
      this.#connection = new BlockingConnection(address, {
        timeoutMs,
        farewell: farewellOf([DETACH]),
      });
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      throw new GdbStubError(
        `gdb stub at ${name}: ${error.message}; QEMU has one with -gdb, or after 'gdbserver' in its monitor`,
        { cause: error },
      );
    }
    try {
      this.client = new GdbClient(this.#connection, name, timeoutMs);
    } catch (error) {
      this.#leave(0);
      throw error;
    }
  }

  /** Finds out how the guest was found, and which memories the stub can read. */
  begin(): void {
    this.#resumes = !stoodStill(this.client);
    const mode = this.client.ask('qqemu.PhyMemMode');
    if (mode === '0' || mode === '1') this.#modeFound = mode === '1' ? PHYSICAL : VIRTUAL;
    this.#mode = this.#modeFound;
    this.#connection.farewell = farewellOf(this.#lastPackets());
  }

  get hasPhysical(): boolean {
    return this.#mode !== undefined;
  }

  /** Makes the stub read physical memory, or what the vCPU of `thread` sees. */
  enter(thread?: string): void {
    const mode = thread === undefined ? PHYSICAL : VIRTUAL;
    if (this.#mode !== undefined && this.#mode !== mode) {
      this.#mode = mode;
      this.#connection.farewell = farewellOf(this.#lastPackets());
      this.#set(mode);
    }
    if (thread !== undefined) this.choose(thread);
  }

  /** Whose registers and virtual memory are read. */
  choose(thread: string): void {
    if (this.#thread === thread) return;
    this.#set(`Hg${thread}`);
    this.#thread = thread;
  }

  /** @throws GdbStubError after close(). */
  assertOpen(): void {
    if (this.#closed) throw this.client.error('the session is closed');
  }

  /** Leaves the guest as it was found. Does not throw: where nobody answers there is nothing left to do. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#leave(this.#lastPackets().length);
  }

  #leave(answers: number): void {
    try {
      this.#connection.leave();
      for (let count = 0; count < answers; count++) this.client.answer();
    } catch (error) {
      if (!(error instanceof PvhError)) throw error;
    }
    this.#connection.close();
  }

  #lastPackets(): string[] {
    const restore = this.#modeFound !== undefined && this.#mode !== this.#modeFound ? [this.#modeFound] : [];
    return [...restore, ...(this.#resumes ? [DETACH] : [])];
  }

  #set(packet: string): void {
    const answer = this.client.ask(packet);
    if (answer !== 'OK') throw this.client.error(`${packet}: ${JSON.stringify(answer.slice(0, 80))}`);
  }
}
