// Whether a symbol file belongs to a guest's kernel: by the build-ids of both. Finds neither.
import { PvhError } from '../../symbols/errors.ts';
import type { SymbolFile } from './symbol-file.ts';

/** The file is of another kernel than the guest's; names from it would be wrong. */
export class WrongSymbolsError extends PvhError {
  readonly fileBuildId: string;
  readonly guestBuildId: string;
  constructor(path: string, fileBuildId: string, guestBuildId: string) {
    super(
      'EBUILDID',
      `${path} is another kernel than the guest's: its build-id is ${fileBuildId}, the guest's ${guestBuildId}; ` +
        'give the vmlinux of the guest, or leave -s out, or insist with --force-symbols (names will be wrong)',
    );
    this.fileBuildId = fileBuildId;
    this.guestBuildId = guestBuildId;
  }
}

export interface IdentityOptions {
  /** Take the file although it is another kernel's. */
  readonly force: boolean;
  /** Whether the guest has got so far that its build-id could have been found. */
  readonly guestRuns: boolean;
}

/**
 * Compares a file's build-id with the guest's.
 * @returns a warning when the file may be, or was forced to be, the wrong one.
 * @throws WrongSymbolsError
 */
export function checkIdentity(
  { path, buildId }: Pick<SymbolFile, 'path' | 'buildId'>,
  guestBuildId: string | undefined,
  { force, guestRuns }: IdentityOptions,
): string | undefined {
  if (buildId === undefined || buildId === guestBuildId) return undefined;
  if (guestBuildId === undefined)
    return guestRuns
      ? `no build-id in the guest where ${path} has its own: it may be another kernel`
      : undefined;
  if (!force) throw new WrongSymbolsError(path, buildId, guestBuildId);
  return `${path} is another kernel (build-id ${buildId}) than the guest's (${guestBuildId}): names will be wrong`;
}
