// One xenstore transaction: a private overlay over the store, and what it saw there. Fires no watches.
// Source: xen/docs/misc/xenstore.txt (TRANSACTION_START, TRANSACTION_END)
import type { NodeView, StoreNode } from './tree.ts';

/** A change that watches are told of: `paths` has the removed ones below it too. */
export interface Change {
  readonly kind: 'write' | 'remove';
  readonly paths: readonly string[];
  /** Nodes as they were when removed, for the permission check of their watchers. */
  readonly nodes: readonly (StoreNode | undefined)[];
}

/** The whole state of a transaction as data. */
export interface TransactionState {
  readonly id: number;
  readonly accessed: readonly (readonly [string, number | undefined])[];
  readonly overlay: readonly (readonly [string, StoreNode | undefined])[];
  readonly changes: readonly Change[];
  readonly created: number;
}

export class Transaction implements NodeView {
  readonly id: number;
  readonly #base: NodeView;
  readonly #accessed: Map<string, number | undefined>;
  readonly #overlay: Map<string, StoreNode | undefined>;
  readonly changes: Change[];
  /** Nodes added minus nodes removed. */
  created: number;

  constructor(base: NodeView, state: TransactionState) {
    this.#base = base;
    this.id = state.id;
    this.#accessed = new Map(state.accessed);
    this.#overlay = new Map(state.overlay);
    this.changes = [...state.changes];
    this.created = state.created;
  }

  get(path: string): StoreNode | undefined {
    if (this.#overlay.has(path)) return this.#overlay.get(path);
    const node = this.#base.get(path);
    if (!this.#accessed.has(path)) this.#accessed.set(path, node?.generation);
    return node;
  }

  put(path: string, node: Omit<StoreNode, 'generation'> | undefined): void {
    const generation = this.get(path)?.generation ?? 0;
    this.#overlay.set(path, node && { ...node, generation });
  }

  /** Nodes that it touched: bounded by a quota. */
  get size(): number {
    return this.#accessed.size;
  }

  /** False when somebody else changed a node that this transaction saw or wrote. */
  get mayCommit(): boolean {
    for (const [path, generation] of this.#accessed)
      if (this.#base.get(path)?.generation !== generation) return false;
    return true;
  }

  commit(): void {
    for (const [path, node] of this.#overlay) this.#base.put(path, node);
  }

  snapshot(): TransactionState {
    return {
      id: this.id,
      accessed: [...this.#accessed],
      overlay: [...this.#overlay],
      changes: [...this.changes],
      created: this.created,
    };
  }
}
