// A debugger's connection: bytes in, bytes out, with the acknowledgements of the protocol between. Knows no sockets.
import { framePacket, PacketReader, textToBytes } from './packet.ts';
import { type GdbSession, MAX_PACKET } from './session.ts';

const ACK = textToBytes('+');
const NAK = textToBytes('-');

export class GdbConnection {
  readonly #session: GdbSession;
  readonly #reader: PacketReader = new PacketReader({ maxBytes: MAX_PACKET, expandRuns: false });
  #acknowledges = true;
  /** To be sent again when the debugger asks for it. */
  #last: readonly string[] = [];
  #ended = false;

  constructor(session: GdbSession) {
    this.#session = session;
  }

  /** True when the debugger said goodbye: nothing more is read. */
  get ended(): boolean {
    return this.#ended;
  }

  /** True inside a packet: a debugger sends packets whole. */
  get isPartial(): boolean {
    return this.#reader.isPartial;
  }

  /** What to send, piece by piece: whoever sends need not take more than the other side reads. */
  *receive(bytes: Uint8Array): Generator<Uint8Array> {
    for (const event of this.#reader.push(bytes)) {
      switch (event.kind) {
        case 'packet':
          if (this.#acknowledges) yield ACK;
          yield* this.#answer(event.payload);
          break;
        case 'damaged':
          if (this.#acknowledges) yield NAK;
          // Nobody would send it again, and somebody waits for an answer.
          else yield framePacket(`E.damaged packet: ${event.why}`);
          break;
        case 'nak':
          if (this.#acknowledges) for (const payload of this.#last) yield framePacket(payload);
          break;
        default:
        // The guest does not run, so that there is nothing to interrupt.
      }
      if (this.#ended) return;
    }
  }

  *#answer(payload: string): Generator<Uint8Array> {
    const { replies, after } = this.#session.answer(payload);
    for (const reply of replies) yield framePacket(reply);
    this.#last = replies;
    if (after === 'no acknowledgements') this.#acknowledges = false;
    this.#ended = after === 'close';
  }
}
