// The debugger's side of the remote protocol: a question, its answer. Knows packets and the ways of asking, not what is asked for.
// (Debugging with GDB, appendix "Remote Protocol": Packets, General Query Packets, Packet Acknowledgment.)
import { PvhError } from '../../symbols/errors.ts';
import {
  bytesToHex,
  bytesToText,
  framePacket,
  hexToBytes,
  PacketReader,
  textToBytes,
  unescapeBinary,
} from './packet.ts';

/** The stub cannot be reached, does not answer, or answers what the protocol does not have. */
export class GdbStubError extends PvhError {
  constructor(message: string, options?: ErrorOptions) {
    super('EGDBSTUB', message, options);
  }
}

/** Bytes to and from a stub. `receive` waits no longer than `timeoutMs`. */
export interface Wire {
  send(bytes: Uint8Array): void;
  /** @throws PvhError when nothing comes in time. */
  receive(timeoutMs: number): Uint8Array;
}

/** Longest packet that is taken. */
const MAX_PACKET = 1 << 17;
/** Of a stub that does not say: what every stub can, 400 bytes (gdb's own assumption). */
const DEFAULT_PACKET = 400;
/** Questions on the way at once. */
const WINDOW = 64;
const MAX_OBJECT = 8 << 20;
const MAX_CONSOLE = 1 << 20;
/** What a question may take on average, beside the patience for a few. */
const SLOW_MS = 200;

export class GdbClient {
  readonly #wire: Wire;
  readonly #name: string;
  readonly #timeoutMs: number;
  readonly #reader: PacketReader = new PacketReader({ maxBytes: MAX_PACKET, expandRuns: true });
  readonly #features: ReadonlyMap<string, string>;
  #packets: string[] = [];
  #acknowledges = true;
  #toldStop = false;
  #asked = 0;
  /** Milliseconds. */
  #waited = 0;
  #broken: GdbStubError | undefined;

  /**
   * Begins a session.
   * @param name of the stub, for messages.
   * @param timeoutMs that one answer may take.
   * @throws GdbStubError when nobody answers.
   */
  constructor(wire: Wire, name: string, timeoutMs: number) {
    this.#wire = wire;
    this.#name = name;
    this.#timeoutMs = timeoutMs;
    this.#features = parseFeatures(this.ask('qSupported:xmlRegisters=i386'));
    if (this.has('QStartNoAckMode') && this.ask('QStartNoAckMode') === 'OK') this.#acknowledges = false;
  }

  /** Whether qSupported told of a feature. */
  has(feature: string): boolean {
    return this.#features.get(feature) === '+';
  }

  /** The stub reported that the guest stopped although nobody had asked: it ran until we came. */
  get toldStop(): boolean {
    return this.#toldStop;
  }

  /** Characters of a packet that the stub takes and sends. */
  get packetSize(): number {
    const size = Number.parseInt(this.#features.get('PacketSize') ?? '', 16);
    return Math.min(MAX_PACKET, Math.max(64, Number.isNaN(size) ? DEFAULT_PACKET : size));
  }

  /** @returns the answer; '' when the stub does not know the question. */
  ask(question: string): string {
    const [answer = ''] = this.askAll([question]);
    return answer;
  }

  /** Answers in the order of the questions, which do not wait for each other. @throws GdbStubError */
  askAll(questions: readonly string[]): string[] {
    const answers: string[] = [];
    for (let first = 0; first < questions.length; first += WINDOW) {
      const window = questions.slice(first, first + WINDOW);
      this.#asked += window.length;
      // An acknowledgement of the answer before goes with each question.
      const before = this.#acknowledges ? '+' : '';
      this.#send(window.map((question) => before + bytesToText(framePacket(question))).join(''));
      for (const _ of window) answers.push(this.answer());
    }
    return answers;
  }

  /** The next answer to what has been asked. @throws GdbStubError */
  answer(): string {
    const end = performance.now() + this.#timeoutMs;
    for (;;) {
      const packet = this.#packets.shift();
      if (packet === undefined) this.#receive(end);
      // We never ask why the guest stands still.
      else if (/^[TSWX][0-9a-f]{2}/i.test(packet)) this.#toldStop = true;
      else return packet;
    }
  }

  /**
   * An object of the stub, whole.
   * @param object for example `features:read:target.xml`.
   * @returns undefined when the stub does not have it.
   */
  readObject(object: string): string | undefined {
    let text = '';
    for (const end = this.#patience(); ; ) {
      const length = Math.min(this.packetSize, 0x4000) - 8;
      const answer = this.ask(`qXfer:${object}:${text.length.toString(16)},${length.toString(16)}`);
      if (answer === '' || answer.startsWith('E')) return undefined;
      const piece = bytesToText(unescapeBinary(answer.slice(1)));
      text += piece;
      if (answer.startsWith('l')) return text;
      if (!answer.startsWith('m') || piece === '') throw this.error(`qXfer:${object} makes no progress`);
      if (text.length > MAX_OBJECT || performance.now() > end)
        throw this.error(`qXfer:${object} does not end`);
    }
  }

  /** What a command of the stub's monitor prints; undefined when it has no monitor, or not this command. */
  monitor(command: string): string | undefined {
    const end = this.#patience();
    let text = '';
    for (let answer = this.ask(`qRcmd,${bytesToHex(textToBytes(command))}`); ; answer = this.answer()) {
      if (answer === 'OK') return text;
      const output = answer.startsWith('O') ? hexToBytes(answer.slice(1)) : undefined;
      if (!output) return undefined;
      text += bytesToText(output);
      if (text.length > MAX_CONSOLE || performance.now() > end)
        throw this.error(`the answer to '${command}' does not end`);
      if (this.#acknowledges) this.#send('+');
    }
  }

  error(why: string, cause?: unknown): GdbStubError {
    return new GdbStubError(`gdb stub at ${this.#name}: ${why}`, { cause });
  }

  /** When an answer in many packets should have ended. */
  #patience(): number {
    return performance.now() + 3 * this.#timeoutMs;
  }

  #send(text: string): void {
    if (this.#broken) throw this.#broken;
    this.#wire.send(textToBytes(text));
  }

  /** Takes in what comes until `end`. */
  #receive(end: number): void {
    if (this.#broken) throw this.#broken;
    const start = performance.now();
    try {
      if (start >= end) throw this.#silence();
      for (const event of this.#reader.push(this.#wire.receive(end - start))) {
        if (event.kind === 'packet') this.#packets.push(event.payload);
        else if (event.kind === 'damaged') throw this.error(`damaged packet: ${event.why}`);
        else if (event.kind === 'nak') throw this.error('it did not understand a packet');
      }
      this.#waited += performance.now() - start;
      if (this.#waited > 3 * this.#timeoutMs + this.#asked * SLOW_MS)
        throw this.error('it answers too slowly');
    } catch (error) {
      if (!(error instanceof PvhError)) throw error;
      // After a lost answer nobody knows which answer is whose.
      this.#broken = performance.now() >= end ? this.#silence() : this.#asOurs(error);
      throw this.#broken;
    }
  }

  #silence(): GdbStubError {
    return this.error(`no answer within ${this.#timeoutMs / 1000} s (it serves one debugger at a time)`);
  }

  #asOurs(error: PvhError): GdbStubError {
    return error instanceof GdbStubError ? error : this.error(error.message, error);
  }
}

/** `name=value` or `name+`, `name-`, `name?` by names. */
function parseFeatures(answer: string): ReadonlyMap<string, string> {
  return new Map(
    answer.split(';').map((feature) => {
      const at = feature.indexOf('=');
      return at > 0
        ? ([feature.slice(0, at), feature.slice(at + 1)] as const)
        : ([feature.slice(0, -1), feature.slice(-1)] as const);
    }),
  );
}
