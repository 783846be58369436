// The xenstore ring: cuts the guest's bytes into messages for the store, and sends what the store answers.
// A guest that breaks the protocol is not listened to any more, as xenstored does it.
// Source: xen/include/public/io/xs_wire.h
import {
  xenstore_domain_interface as page,
  XENSTORE_ERROR_PROTO,
  XENSTORE_ERROR_RINGIDX,
  XENSTORE_PAYLOAD_MAX,
  XSD_HEADER_SIZE,
} from '../abi/io-xs-wire.ts';
import { type RingLayout, ringPut, ringTake, ringUsed } from '../ring.ts';
import type { Message } from './message.ts';
import type { XenStore } from './store.ts';

const REQ: RingLayout = {
  buffer: page.req,
  size: page.ring_size,
  cons: page.req_cons,
  prod: page.req_prod,
};
const RSP: RingLayout = {
  buffer: page.rsp,
  size: page.ring_size,
  cons: page.rsp_cons,
  prod: page.rsp_prod,
};

export interface StoreRingState {
  readonly request: Uint8Array;
  readonly reply: Uint8Array;
  readonly ignored: boolean;
}

export class StoreRing {
  readonly #page: () => DataView;
  readonly #store: XenStore;
  /** Bytes of a request that is not whole yet. */
  #request = new Uint8Array();
  /** Rest of the message that is being sent. */
  #reply = new Uint8Array();
  #ignored = false;

  /** `ringPage` gives a live view of the ring's frame. */
  constructor(ringPage: () => DataView, store: XenStore) {
    this.#page = ringPage;
    this.#store = store;
  }

  /** Moves what can be moved; true when the guest has to be told. */
  pump(): boolean {
    const view = this.#page();
    let moved = false;
    let progress = true;
    // Ends: the guest does not run meanwhile, so its request ring can only empty and its reply ring only fill.
    while (progress && !this.#ignored) {
      if (ringUsed(view, REQ) === undefined || ringUsed(view, RSP) === undefined) {
        this.#ignore(view, XENSTORE_ERROR_RINGIDX);
        return true;
      }
      const sent = this.#send(view);
      const received = !this.#store.isCongested && this.#receive(view);
      progress = sent || received;
      moved ||= progress;
    }
    return moved;
  }

  #send(view: DataView): boolean {
    if (this.#reply.length === 0) this.#reply = this.#store.takeOutput()?.slice() ?? this.#reply;
    const count = ringPut(view, RSP, this.#reply);
    this.#reply = this.#reply.slice(count);
    return count > 0;
  }

  #receive(view: DataView): boolean {
    const wanted = (): number => {
      if (this.#request.length < XSD_HEADER_SIZE) return XSD_HEADER_SIZE - this.#request.length;
      return XSD_HEADER_SIZE + this.#field(12) - this.#request.length;
    };
    const bytes = ringTake(view, REQ, wanted());
    const joined = new Uint8Array(this.#request.length + bytes.length);
    joined.set(this.#request);
    joined.set(bytes, this.#request.length);
    this.#request = joined;
    if (joined.length < XSD_HEADER_SIZE) return bytes.length > 0;
    if (this.#field(12) > XENSTORE_PAYLOAD_MAX) {
      this.#ignore(view, XENSTORE_ERROR_PROTO);
      return true;
    }
    if (wanted() > 0) return bytes.length > 0;
    const message: Message = {
      type: this.#field(0),
      req_id: this.#field(4),
      tx_id: this.#field(8),
      payload: joined.slice(XSD_HEADER_SIZE),
    };
    this.#request = new Uint8Array();
    this.#store.handle(message);
    return true;
  }

  #field(offset: number): number {
    const { buffer, byteOffset } = this.#request;
    return new DataView(buffer, byteOffset).getUint32(offset, true);
  }

  #ignore(view: DataView, error: number): void {
    this.#ignored = true;
    this.#request = new Uint8Array();
    this.#reply = new Uint8Array();
    this.#store.dropGuest();
    view.setUint32(page.error, error, true);
  }

  snapshot(): StoreRingState {
    return { request: this.#request.slice(), reply: this.#reply.slice(), ignored: this.#ignored };
  }

  restore(state: StoreRingState): void {
    this.#request = state.request.slice();
    this.#reply = state.reply.slice();
    this.#ignored = state.ignored;
  }
}
