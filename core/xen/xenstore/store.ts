// XenStore: the tree, the guest's watches, transactions and quotas, and the host's own access to all of it.
// Answers messages (message.ts has their form); moves no bytes in a ring (ring.ts does).
import {
  XENSTORE_PAYLOAD_MAX,
  XS_CONTROL,
  XS_DIRECTORY,
  XS_DIRECTORY_PART,
  XS_ERROR,
  XS_GET_DOMAIN_PATH,
  XS_GET_PERMS,
  XS_INTRODUCE,
  XS_IS_DOMAIN_INTRODUCED,
  XS_MKDIR,
  XS_READ,
  XS_RELEASE,
  XS_RESET_WATCHES,
  XS_RESUME,
  XS_RM,
  XS_SET_PERMS,
  XS_SET_TARGET,
  XS_TRANSACTION_END,
  XS_TRANSACTION_START,
  XS_UNWATCH,
  XS_WATCH,
  XS_WRITE,
} from '../abi/io-xs-wire.ts';
import { encodeMessage, joinStrings, type Message, parsePermission, splitStrings, text } from './message.ts';
import { type Change, Transaction, type TransactionState } from './transaction.ts';
import {
  absolutePath,
  homeOf,
  type NodeView,
  type Permission,
  StoreError,
  type StoreNode,
  TreeAccess,
} from './tree.ts';
import { type Watch, Watches } from './watches.ts';

/** What a guest may use up: the defaults of xenstored 4.17. */
const QUOTA = {
  nodes: 1000,
  entryBytes: 2048,
  transactions: 10,
  transactionNodes: 1024,
  permissions: 5,
  /** Messages that wait for room in the ring before further requests are left in it. */
  outstanding: 20,
  /** Watch events that wait; identical ones are kept once. */
  events: 1000,
} as const;

/** Everything in a store, as data. */
export interface XenStoreState {
  readonly nodes: readonly (readonly [string, StoreNode])[];
  readonly generation: number;
  readonly guestNodes: number;
  readonly watches: readonly Watch[];
  readonly transactions: readonly TransactionState[];
  readonly nextTransaction: number;
  readonly output: readonly Uint8Array[];
}

/** One node as a listing shows it. */
export interface StoreEntry {
  readonly path: string;
  readonly value: string;
  readonly permissions: readonly Permission[];
}

type Handler = (message: Message) => Uint8Array;

const OK = text('OK\0');
const utf8 = new TextDecoder();
const utf8Bytes = new TextEncoder();
const ROOT: StoreNode = {
  value: new Uint8Array(),
  permissions: [{ domid: 0, access: 'n' }],
  children: [],
  generation: 1,
};

export class XenStore {
  readonly #domid: number;
  /** Tells that output waits for the guest. Wiring, not state. */
  readonly #outputWaits: () => void;
  readonly #watches: Watches;
  #nodes = new Map<string, StoreNode>([['/', ROOT]]);
  #generation = 1;
  #guestNodes = 0;
  #transactions = new Map<number, Transaction>();
  #nextTransaction = 1;
  #output: Uint8Array[] = [];
  readonly #view: NodeView = {
    get: (path) => this.#nodes.get(path),
    put: (path, node) => {
      if (node === undefined) this.#nodes.delete(path);
      else this.#nodes.set(path, { ...node, generation: ++this.#generation });
    },
  };
  readonly #handlers: ReadonlyMap<number, Handler>;

  /** `domid` is the one guest that this store serves. */
  constructor(domid: number, outputWaits: () => void) {
    this.#domid = domid;
    this.#outputWaits = outputWaits;
    this.#watches = new Watches(domid);
    const privileged: Handler = () => {
      throw new StoreError('EACCES');
    };
    this.#handlers = new Map<number, Handler>([
      [XS_DIRECTORY, (m) => this.#directory(m)],
      [XS_DIRECTORY_PART, (m) => this.#directoryPart(m)],
      [XS_READ, (m) => this.#access(m).node(this.#path(m)).value],
      [XS_WRITE, (m) => this.#write(m)],
      [XS_MKDIR, (m) => this.#mkdir(m)],
      [XS_RM, (m) => this.#remove(m)],
      [XS_GET_PERMS, (m) => this.#getPermissions(m)],
      [XS_SET_PERMS, (m) => this.#setPermissions(m)],
      [XS_WATCH, (m) => this.#watch(m)],
      [XS_UNWATCH, (m) => this.#unwatch(m)],
      [XS_RESET_WATCHES, () => this.#resetWatches()],
      [XS_TRANSACTION_START, (m) => this.#startTransaction(m)],
      [XS_TRANSACTION_END, (m) => this.#endTransaction(m)],
      [XS_GET_DOMAIN_PATH, (m) => this.#domainPath(m)],
      [XS_CONTROL, privileged],
      [XS_INTRODUCE, privileged],
      [XS_RELEASE, privileged],
      [XS_RESUME, privileged],
      [XS_SET_TARGET, privileged],
      [XS_IS_DOMAIN_INTRODUCED, privileged],
    ]);
  }

  // --- the host's side: as domain 0, without transactions

  /** Value as text, or undefined when there is no such node. */
  read(path: string): string | undefined {
    const node = this.#nodes.get(absolutePath(path, 0));
    return node && utf8.decode(node.value);
  }

  /** @throws StoreError EINVAL for a path that is none. */
  write(path: string, value: string, permissions?: readonly Permission[]): void {
    const absolute = absolutePath(path, 0);
    const host = this.#hostAccess();
    host.write(absolute, utf8Bytes.encode(value));
    if (permissions !== undefined) host.setPermissions(absolute, permissions);
    this.#fire({ kind: 'write', paths: [absolute], nodes: [] });
    this.#outputWaits();
  }

  /** Child names, or undefined when there is no such node. */
  list(path: string): readonly string[] | undefined {
    return this.#nodes.get(absolutePath(path, 0))?.children;
  }

  /** Removes the node and all below it, if it is there. */
  remove(path: string): void {
    const absolute = absolutePath(path, 0);
    if (!this.#nodes.has(absolute)) return;
    this.#fire(this.#removal(this.#view, this.#hostAccess(), absolute));
    this.#outputWaits();
  }

  /**
   * Calls `changed` with the path of every later change at or below `path`, within the change: it must not
   * change the store itself. Returns what ends it. Not part of the state: set it up again after restore().
   */
  watch(path: string, changed: (path: string) => void): () => void {
    return this.#watches.addHost(absolutePath(path, 0), changed);
  }

  /** All nodes at and below `path`, depth first, children in the order of their creation. */
  dump(path = '/'): StoreEntry[] {
    const entries: StoreEntry[] = [];
    for (const each of this.#hostAccess().below(absolutePath(path, 0))) {
      const node = this.#nodes.get(each);
      if (node !== undefined)
        entries.push({ path: each, value: utf8.decode(node.value), permissions: node.permissions });
    }
    return entries;
  }

  #hostAccess(): TreeAccess {
    return new TreeAccess(this.#view, 0, () => {});
  }

  // --- the guest's side

  /** True while the guest must read replies before more of its requests are taken. */
  get isCongested(): boolean {
    return this.#output.length >= QUOTA.outstanding;
  }

  /** Answers one request; the reply and the events that follow from it wait in takeOutput(). */
  handle(message: Message): void {
    const { type, req_id, tx_id } = message;
    const at = this.#output.length;
    let reply: Uint8Array;
    try {
      const handler = this.#handlers.get(type);
      if (handler === undefined) throw new StoreError('ENOSYS');
      const payload = handler(message);
      if (payload.length > XENSTORE_PAYLOAD_MAX) throw new StoreError('E2BIG');
      reply = encodeMessage({ type, req_id, tx_id, payload });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      reply = encodeMessage({ type: XS_ERROR, req_id, tx_id, payload: text(`${error.errno}\0`) });
    }
    // The reply goes before the events that the request caused.
    this.#output.splice(at, 0, reply);
  }

  /** The next message for the guest, or undefined. */
  takeOutput(): Uint8Array | undefined {
    return this.#output.shift();
  }

  /** Forgets the guest's watches, transactions and unsent messages: it broke the protocol. */
  dropGuest(): void {
    this.#resetWatches();
    this.#output = [];
  }

  #viewOf(message: Message): NodeView {
    if (message.tx_id === 0) return this.#view;
    const transaction = this.#transactions.get(message.tx_id);
    if (transaction === undefined) throw new StoreError('ENOENT');
    if (transaction.size > QUOTA.transactionNodes) throw new StoreError('ENOSPC');
    return transaction;
  }

  #access(message: Message): TreeAccess {
    const view = this.#viewOf(message);
    return new TreeAccess(view, this.#domid, () => {
      const inTransaction = view instanceof Transaction ? view.created : 0;
      if (this.#guestNodes + inTransaction >= QUOTA.nodes) throw new StoreError('ENOSPC');
      if (view instanceof Transaction) view.created++;
      else this.#guestNodes++;
    });
  }

  /** The one string of a payload, as an absolute path. */
  #path(message: Message): string {
    const strings = splitStrings(message.payload);
    if (strings.length !== 1) throw new StoreError('EINVAL');
    return absolutePath(strings[0] ?? '', this.#domid);
  }

  #directory(message: Message): Uint8Array {
    return joinStrings(this.#access(message).node(this.#path(message)).children);
  }

  /** Payload: path, offset. Reply: generation, then the child list from that offset as far as it fits. */
  #directoryPart(message: Message): Uint8Array {
    const [path = '', offset = '', ...rest] = splitStrings(message.payload);
    if (rest.length > 0 || !/^\d{1,9}$/.test(offset)) throw new StoreError('EINVAL');
    const node = this.#access(message).node(absolutePath(path, this.#domid));
    const names = joinStrings(node.children).subarray(Number(offset));
    const generation = joinStrings([String(node.generation)]);
    const room = XENSTORE_PAYLOAD_MAX - generation.length;
    let length = names.length;
    if (length + 1 > room) length = names.lastIndexOf(0, room - 1) + 1;
    const atEnd = length === names.length;
    const reply = new Uint8Array(generation.length + length + (atEnd ? 1 : 0));
    reply.set(generation);
    reply.set(names.subarray(0, length), generation.length);
    return reply;
  }

  #write(message: Message): Uint8Array {
    const nul = message.payload.indexOf(0);
    if (nul < 0) throw new StoreError('EINVAL');
    const [given = ''] = splitStrings(message.payload.subarray(0, nul + 1));
    const path = absolutePath(given, this.#domid);
    const value = message.payload.slice(nul + 1);
    if (value.length > QUOTA.entryBytes) throw new StoreError('ENOSPC', path);
    this.#access(message).write(path, value);
    this.#changed(message, { kind: 'write', paths: [path], nodes: [] });
    return OK;
  }

  #mkdir(message: Message): Uint8Array {
    const path = this.#path(message);
    if (this.#access(message).mkdir(path))
      this.#changed(message, { kind: 'write', paths: [path], nodes: [] });
    return OK;
  }

  #remove(message: Message): Uint8Array {
    const path = this.#path(message);
    if (path === homeOf(this.#domid)) throw new StoreError('EINVAL');
    const access = this.#access(message);
    this.#changed(message, this.#removal(this.#viewOf(message), access, path));
    return OK;
  }

  #removal(view: NodeView, access: TreeAccess, path: string): Change {
    const nodes = [...access.below(path)].map((each) => view.get(each));
    const paths = access.remove(path);
    const mine = nodes.filter((node) => node?.permissions[0]?.domid === this.#domid).length;
    if (paths.length > 0) {
      if (view instanceof Transaction) view.created -= mine;
      else this.#guestNodes = Math.max(0, this.#guestNodes - mine);
    }
    return { kind: 'remove', paths, nodes };
  }

  #getPermissions(message: Message): Uint8Array {
    const { permissions } = this.#access(message).node(this.#path(message));
    return joinStrings(permissions.map(({ domid, access }) => `${access}${domid}`));
  }

  #setPermissions(message: Message): Uint8Array {
    const [given = '', ...rest] = splitStrings(message.payload);
    const path = absolutePath(given, this.#domid);
    if (rest.length === 0) throw new StoreError('EINVAL');
    if (rest.length > QUOTA.permissions) throw new StoreError('ENOSPC');
    this.#access(message).setPermissions(path, rest.map(parsePermission));
    this.#changed(message, { kind: 'write', paths: [path], nodes: [] });
    return OK;
  }

  #domainPath(message: Message): Uint8Array {
    const [domid = '', ...rest] = splitStrings(message.payload);
    if (rest.length > 0 || !/^\d{1,5}$/.test(domid)) throw new StoreError('EINVAL');
    return joinStrings([homeOf(Number(domid))]);
  }

  #startTransaction(message: Message): Uint8Array {
    if (message.tx_id !== 0) throw new StoreError('EBUSY');
    if (this.#transactions.size >= QUOTA.transactions) throw new StoreError('ENOSPC');
    const id = this.#nextTransaction;
    // 32 bits on the wire, and 0 means none.
    this.#nextTransaction = id >= 0xffff_fffe ? 1 : id + 1;
    const state = { id, accessed: [], overlay: [], changes: [], created: 0 };
    this.#transactions.set(id, new Transaction(this.#view, state));
    return joinStrings([String(id)]);
  }

  #endTransaction(message: Message): Uint8Array {
    const [verdict, ...rest] = splitStrings(message.payload);
    if (rest.length > 0 || (verdict !== 'T' && verdict !== 'F')) throw new StoreError('EINVAL');
    const transaction = this.#transactions.get(message.tx_id);
    if (transaction === undefined) throw new StoreError('ENOENT');
    this.#transactions.delete(message.tx_id);
    if (verdict === 'F') return OK;
    if (!transaction.mayCommit) throw new StoreError('EAGAIN');
    if (transaction.created > 0 && this.#guestNodes + transaction.created > QUOTA.nodes)
      throw new StoreError('ENOSPC');
    transaction.commit();
    this.#guestNodes = Math.max(0, this.#guestNodes + transaction.created);
    for (const change of transaction.changes) this.#fire(change);
    return OK;
  }

  // --- watches

  #watch(message: Message): Uint8Array {
    const [given = '', token = '', ...rest] = splitStrings(message.payload);
    if (rest.length > 0) throw new StoreError('EINVAL');
    this.#queueEvent(this.#watches.add(given, token));
    return OK;
  }

  #unwatch(message: Message): Uint8Array {
    const [given = '', token = '', ...rest] = splitStrings(message.payload);
    if (rest.length > 0) throw new StoreError('EINVAL');
    this.#watches.remove(given, token);
    return OK;
  }

  #resetWatches(): Uint8Array {
    this.#watches.clear();
    this.#transactions.clear();
    return OK;
  }

  #changed(message: Message, change: Change): void {
    const view = this.#viewOf(message);
    if (view instanceof Transaction) view.changes.push(change);
    else this.#fire(change);
  }

  #fire(change: Change): void {
    for (const event of this.#watches.fire(change, (path) => this.#nodes.get(path))) this.#queueEvent(event);
  }

  #queueEvent(event: Uint8Array): void {
    const full = this.#output.length >= QUOTA.events;
    if (!full && !this.#output.some((each) => sameBytes(each, event))) this.#output.push(event);
  }

  snapshot(): XenStoreState {
    return {
      nodes: [...this.#nodes],
      generation: this.#generation,
      guestNodes: this.#guestNodes,
      watches: this.#watches.snapshot(),
      transactions: [...this.#transactions.values()].map((each) => each.snapshot()),
      nextTransaction: this.#nextTransaction,
      output: [...this.#output],
    };
  }

  restore(state: XenStoreState): void {
    this.#nodes = new Map(state.nodes);
    this.#generation = state.generation;
    this.#guestNodes = state.guestNodes;
    this.#watches.restore(state.watches);
    this.#transactions = new Map(
      state.transactions.map((each) => [each.id, new Transaction(this.#view, each)]),
    );
    this.#nextTransaction = state.nextTransaction;
    this.#output = [...state.output];
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
