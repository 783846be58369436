// The nodes of a xenstore: paths, values, permissions, and the view of a transaction over them. Speaks no protocol.
// Source: xen/docs/misc/xenstore.txt
import { PvhError } from '../../../symbols/errors.ts';
import { XENSTORE_ABS_PATH_MAX, XENSTORE_REL_PATH_MAX, type XsErrorName } from '../abi/io-xs-wire.ts';

/** A request that the store refuses; `errno` is what the wire carries. */
export class StoreError extends PvhError {
  readonly errno: XsErrorName;
  constructor(errno: XsErrorName, path = '') {
    super('EXENSTORE', `xenstore: ${errno}${path && `: ${path}`}`);
    this.errno = errno;
  }
}

/** n none, r read, w write, b both. */
export type Access = 'n' | 'r' | 'w' | 'b';

/** The first of a node's list names the owner (all rights) and what everybody else may do. */
export interface Permission {
  readonly domid: number;
  readonly access: Access;
}

export interface StoreNode {
  readonly value: Uint8Array;
  readonly permissions: readonly Permission[];
  /** Names in the order of their creation. */
  readonly children: readonly string[];
  /** Changes whenever value, permissions or child list do. */
  readonly generation: number;
}

/** What operations need of the store itself or of a transaction in it. */
export interface NodeView {
  get(path: string): StoreNode | undefined;
  /** `undefined` removes. */
  put(path: string, node: Omit<StoreNode, 'generation'> | undefined): void;
}

const PATH = /^\/$|^(\/[A-Za-z0-9\-_@]+)+$/;

export const homeOf = (domid: number): string => `/local/domain/${domid}`;

/**
 * The absolute form of a path as a domain gives it.
 * @throws StoreError EINVAL
 */
export function absolutePath(path: string, domid: number): string {
  const relative = !path.startsWith('/');
  if (path.length === 0 || path.length > (relative ? XENSTORE_REL_PATH_MAX : XENSTORE_ABS_PATH_MAX))
    throw new StoreError('EINVAL');
  const absolute = relative ? `${homeOf(domid)}/${path}` : path;
  if (!PATH.test(absolute)) throw new StoreError('EINVAL', path.slice(0, 80));
  return absolute;
}

const parentOf = (path: string): string => path.slice(0, Math.max(1, path.lastIndexOf('/')));
const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
const childPath = (path: string, name: string): string => (path === '/' ? `/${name}` : `${path}/${name}`);

/** True when `domid` may do what `wanted` says; domain 0 may everything. */
export function mayAccess(node: StoreNode, domid: number, wanted: 'r' | 'w'): boolean {
  const [owner, ...others] = node.permissions;
  if (domid === 0 || owner === undefined || owner.domid === domid) return true;
  const { access } = others.find((entry) => entry.domid === domid) ?? owner;
  return access === wanted || access === 'b';
}

const EMPTY = new Uint8Array();

/** Operations of one domain on one view. Each throws StoreError. */
export class TreeAccess {
  readonly #view: NodeView;
  readonly #domid: number;
  /** Called before a node is added, so that a quota can refuse it. */
  readonly #beforeCreate: () => void;

  constructor(view: NodeView, domid: number, beforeCreate: () => void) {
    this.#view = view;
    this.#domid = domid;
    this.#beforeCreate = beforeCreate;
  }

  /** The node, if it is there and the domain may. */
  node(path: string, wanted: 'r' | 'w' = 'r'): StoreNode {
    const node = this.#view.get(path);
    if (node === undefined) throw this.#absent(path, wanted);
    if (!mayAccess(node, this.#domid, wanted)) throw new StoreError('EACCES', path);
    return node;
  }

  /** A node that is not there looks forbidden to whom its nearest ancestor is forbidden. */
  #absent(path: string, wanted: 'r' | 'w'): StoreError {
    const ancestor = this.#view.get(this.#nearest(path));
    const allowed = ancestor === undefined || mayAccess(ancestor, this.#domid, wanted);
    return new StoreError(allowed ? 'ENOENT' : 'EACCES', path);
  }

  #nearest(path: string): string {
    let ancestor = path;
    do ancestor = parentOf(ancestor);
    while (ancestor !== '/' && this.#view.get(ancestor) === undefined);
    return ancestor;
  }

  write(path: string, value: Uint8Array): void {
    const node = this.#view.get(path);
    if (node === undefined) this.#create(path, value);
    else this.#view.put(path, { ...this.node(path, 'w'), value });
  }

  /** @returns false when it was there already. */
  mkdir(path: string): boolean {
    if (this.#view.get(path) !== undefined) {
      this.node(path, 'w');
      return false;
    }
    this.#create(path, EMPTY);
    return true;
  }

  #create(path: string, value: Uint8Array): void {
    const ancestor = this.#nearest(path);
    const parent = this.node(ancestor, 'w');
    const [owner, ...others] = parent.permissions;
    const access = owner?.access ?? 'n';
    const permissions = this.#domid === 0 ? parent.permissions : [{ domid: this.#domid, access }, ...others];
    const missing = path.slice(ancestor === '/' ? 1 : ancestor.length + 1).split('/');
    let place = ancestor;
    for (const [i, name] of missing.entries()) {
      this.#beforeCreate();
      this.#link(place, name);
      place = childPath(place, name);
      const last = i === missing.length - 1;
      this.#view.put(place, { value: last ? value : EMPTY, permissions, children: [] });
    }
  }

  #link(path: string, name: string): void {
    const node = this.#view.get(path);
    if (node !== undefined) this.#view.put(path, { ...node, children: [...node.children, name] });
  }

  /**
   * Removes a node and all below it.
   * @returns the paths that went, the node itself first; empty when only its parent was there.
   */
  remove(path: string): string[] {
    if (path === '/') throw new StoreError('EINVAL', path);
    if (this.#view.get(path) === undefined) {
      // xenstored: no error when the parent exists.
      if (this.#view.get(parentOf(path)) === undefined) throw this.#absent(path, 'w');
      this.node(parentOf(path), 'w');
      return [];
    }
    this.node(path, 'w');
    const gone = [...this.below(path)];
    const parent = this.#view.get(parentOf(path));
    if (parent !== undefined) {
      const children = parent.children.filter((name) => name !== nameOf(path));
      this.#view.put(parentOf(path), { ...parent, children });
    }
    for (const each of gone) this.#view.put(each, undefined);
    return gone;
  }

  setPermissions(path: string, permissions: readonly Permission[]): void {
    const node = this.node(path, 'w');
    const [owner] = node.permissions;
    if (this.#domid !== 0) {
      if (owner?.domid !== this.#domid) throw new StoreError('EACCES', path);
      if (permissions[0]?.domid !== this.#domid) throw new StoreError('EPERM', path);
    }
    this.#view.put(path, { ...node, permissions });
  }

  /** The node's path and those of all nodes below it, depth first. */
  *below(path: string): Generator<string> {
    const pending = [path];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      yield next;
      const children = this.#view.get(next)?.children ?? [];
      for (const name of [...children].reverse()) pending.push(childPath(next, name));
    }
  }
}
