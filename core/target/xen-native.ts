// Functions of C libraries, by their prototypes. The only file that imports koffi, and only once a Xen host is asked for.
import { getSystemErrorMap } from 'node:util';
import { PvhError } from '../../symbols/errors.ts';

type Koffi = typeof import('koffi');
/** A C function; pointers are bigints or bytes of ours, handles are whatever koffi gave. */
type Call = (...args: readonly unknown[]) => unknown;

/** The functions of a table of prototypes, by the table's keys. */
export type Calls<Table extends Readonly<Record<string, string>>> = Readonly<Record<keyof Table, Call>>;

async function loadKoffi(): Promise<Koffi> {
  try {
    return await import('koffi');
  } catch (cause) {
    throw new PvhError(
      'ENOKOFFI',
      "domains of a Xen host are read with the optional package koffi, which cannot be loaded; run 'npm install koffi'",
      { cause },
    );
  }
}

/** Loads libraries and tells what a failed call meant. */
export class Native {
  readonly #koffi: Koffi;

  private constructor(koffi: Koffi) {
    this.#koffi = koffi;
  }

  /** @throws PvhError ENOKOFFI */
  static async load(): Promise<Native> {
    return new Native(await loadKoffi());
  }

  /**
   * Binds every prototype of `table`.
   * @param library file name for the dynamic loader, or null for what the process itself is linked with (libc).
   * @throws PvhError ENOLIB when the library or one of the functions is not there.
   */
  bind<Table extends Readonly<Record<string, string>>>(library: string | null, table: Table): Calls<Table> {
    try {
      const handle = this.#koffi.load(library);
      const bound = Object.entries(table).map(([name, prototype]) => [name, handle.func(prototype)]);
      return Object.fromEntries(bound) as Calls<Table>; // the keys are those of the table
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new PvhError('ENOLIB', `${library ?? 'libc'}: ${why}`, { cause });
    }
  }

  /** The errno that the last call left behind. */
  errno(): number {
    return this.#koffi.errno();
  }

  /** The last call's failure, in the words of strerror(3) behind `what`. Its code is the name, for example ESRCH. */
  failure(what: string): PvhError {
    return describeErrno(what, this.errno());
  }
}

export function describeErrno(what: string, errno: number): PvhError {
  const [name, text] = getSystemErrorMap().get(-errno) ?? [`E${errno}`, `error ${errno}`];
  return new PvhError(name, `${what}: ${text}`);
}
