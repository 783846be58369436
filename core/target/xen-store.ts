// Reads nodes of a real host's xenstore, with a bound on each wait. Writes nothing. (core/xen/xenstore is the store that we offer guests.)
// Source: xen/docs/misc/xenstore.txt
import { PvhError } from '../../symbols/errors.ts';
import { XENSTORE_PAYLOAD_MAX, XS_READ, XSD_HEADER_SIZE } from '../xen/abi/io-xs-wire.ts';
import { encodeMessage, joinStrings } from '../xen/xenstore/message.ts';
import { Channel } from './xen-channel.ts';
import type { Native } from './xen-native.ts';

/** Where a xenstored of dom0 listens, and the device behind which one in a domain of its own does. */
const SOCKETS = ['/run/xenstored/socket', '/var/run/xenstored/socket'] as const;
const DEVICE = '/dev/xen/xenbus';
const PATIENCE_MS = 5000;

export class XenStore {
  /** Undefined after close, and after the store once did not answer: a late answer would be taken for that of the next question. */
  #channel: Channel | undefined;

  private constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** @returns undefined when nothing answers: names are then not known, all else is. */
  static open(native: Native): XenStore | undefined {
    const attempts = [
      ...SOCKETS.map((path) => () => Channel.connect(native, path)),
      () => Channel.open(native, DEVICE),
    ];
    for (const attempt of attempts)
      try {
        return new XenStore(attempt());
      } catch (error) {
        if (!(error instanceof PvhError)) throw error;
      }
    return undefined;
  }

  /** The value of a node; undefined when there is none or the store does not answer. */
  read(path: string): string | undefined {
    const channel = this.#channel;
    if (channel === undefined) return undefined;
    try {
      channel.send(encodeMessage({ type: XS_READ, req_id: 1, tx_id: 0, payload: joinStrings([path]) }));
      const header = take(channel, XSD_HEADER_SIZE);
      const view = new DataView(header.buffer);
      const payload = take(channel, Math.min(view.getUint32(12, true), XENSTORE_PAYLOAD_MAX));
      return view.getUint32(0, true) === XS_READ ? new TextDecoder().decode(payload) : undefined;
    } catch (error) {
      this.close();
      if (error instanceof PvhError) return undefined;
      throw error;
    }
  }

  close(): void {
    this.#channel?.close();
    this.#channel = undefined;
  }
}

/** Exactly `length` bytes. @throws PvhError when they do not come. */
function take(channel: Channel, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const part = channel.receive(length - done, PATIENCE_MS);
    if (part.length === 0) throw new PvhError('EPIPE', 'xenstore: the connection was closed');
    bytes.set(part, done);
    done += part.length;
  }
  return bytes;
}
