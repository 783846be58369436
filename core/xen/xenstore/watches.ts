// Who is told of which change: the guest's watches, which become messages, and the host's, which are called.
// Keeps no tree and no queue. Source: xen/docs/misc/xenstore.txt (WATCH, WATCH_EVENT)
import { XS_WATCH_EVENT } from '../abi/io-xs-wire.ts';
import { encodeMessage, joinStrings } from './message.ts';
import type { Change } from './transaction.ts';
import { absolutePath, homeOf, mayAccess, StoreError, type StoreNode } from './tree.ts';

/** Defaults of xenstored 4.17. */
const MAX_WATCHES = 128;
const MAX_TOKEN = 1000;

export interface Watch {
  /** Absolute, or a special name that starts with @. */
  readonly path: string;
  readonly token: string;
  /** Set with a relative path: its events carry relative paths too. */
  readonly relative: boolean;
}

const SPECIAL: ReadonlySet<string> = new Set(['@introduceDomain', '@releaseDomain']);

export class Watches {
  readonly #domid: number;
  readonly #host = new Set<{ readonly path: string; readonly changed: (path: string) => void }>();
  #guest: Watch[] = [];

  constructor(domid: number) {
    this.#domid = domid;
  }

  /**
   * Adds a watch of the guest.
   * @returns its first event, which is due at once.
   * @throws StoreError EINVAL, EEXIST, E2BIG
   */
  add(given: string, token: string): Uint8Array {
    if (token.length > MAX_TOKEN) throw new StoreError('EINVAL');
    const special = SPECIAL.has(given);
    const path = special ? given : absolutePath(given, this.#domid);
    if (this.#find(path, token) >= 0) throw new StoreError('EEXIST');
    if (this.#guest.length >= MAX_WATCHES) throw new StoreError('E2BIG');
    const watch = { path, token, relative: !special && !given.startsWith('/') };
    this.#guest.push(watch);
    return this.#event(watch, path);
  }

  /** @throws StoreError EINVAL, ENOENT */
  remove(given: string, token: string): void {
    const at = this.#find(SPECIAL.has(given) ? given : absolutePath(given, this.#domid), token);
    if (at < 0) throw new StoreError('ENOENT');
    this.#guest.splice(at, 1);
  }

  #find(path: string, token: string): number {
    return this.#guest.findIndex((watch) => watch.path === path && watch.token === token);
  }

  /** Forgets the guest's watches. */
  clear(): void {
    this.#guest = [];
  }

  /** Calls `changed` with the path of every change at or below `path`. Returns what ends it. */
  addHost(path: string, changed: (path: string) => void): () => void {
    const entry = { path, changed };
    this.#host.add(entry);
    return () => this.#host.delete(entry);
  }

  /** Calls the host's watchers of a change; the events for the guest, of nodes that it may read. */
  fire(change: Change, nodeAt: (path: string) => StoreNode | undefined): Uint8Array[] {
    return change.paths.flatMap((path, i) => {
      const removed = change.kind === 'remove';
      const node = removed ? change.nodes[i] : nodeAt(path);
      // Below a removed node only those hear of it who watch just that path: the others heard of its top.
      const exact = removed && i > 0;
      for (const watch of this.#host) if (concerns(watch.path, path, exact)) watch.changed(path);
      if (node !== undefined && !mayAccess(node, this.#domid, 'r')) return [];
      const watching = this.#guest.filter((watch) => concerns(watch.path, path, exact));
      return watching.map((watch) => this.#event(watch, path));
    });
  }

  #event(watch: Watch, path: string): Uint8Array {
    const prefix = `${homeOf(this.#domid)}/`;
    const shown = watch.relative && path.startsWith(prefix) ? path.slice(prefix.length) : path;
    const payload = joinStrings([shown, watch.token]);
    return encodeMessage({ type: XS_WATCH_EVENT, req_id: 0, tx_id: 0, payload });
  }

  snapshot(): readonly Watch[] {
    return [...this.#guest];
  }

  /** The host's stay as they are. */
  restore(watches: readonly Watch[]): void {
    this.#guest = [...watches];
  }
}

function concerns(watched: string, path: string, exact: boolean): boolean {
  if (watched === path) return true;
  return !exact && (watched === '/' || path.startsWith(`${watched}/`));
}
