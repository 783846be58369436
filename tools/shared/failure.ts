// How a tool ends when it cannot do what it was asked: the lines for stderr and the exit status.
import { PvhError } from '../../symbols/errors.ts';

/** Ends the tool. `lines` go to stderr as they are, without the tool's name before them. */
export class ToolFailure extends Error {
  readonly lines: readonly string[];
  readonly exitStatus: number;
  constructor(lines: readonly string[], exitStatus = 1, options?: ErrorOptions) {
    super(lines.join('\n'), options);
    this.name = 'ToolFailure';
    this.lines = lines;
    this.exitStatus = exitStatus;
  }
}

/** Words for the system errors that people meet. */
const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'No such file or directory',
  EACCES: 'Permission denied',
  EISDIR: 'Is a directory',
  ENOTDIR: 'Not a directory',
  ENOSPC: 'No space left on device',
  EROFS: 'Read-only file system',
  EMFILE: 'Too many open files',
  EDQUOT: 'Disk quota exceeded',
};

const systemCode = (error: unknown): string | undefined =>
  error instanceof Error && 'syscall' in error && 'code' in error ? String(error.code) : undefined;

/** What the system said, in the words of strerror(3); undefined when it was not the system. */
export function systemError(error: unknown): string | undefined {
  const code = systemCode(error);
  return code === undefined ? undefined : (SYSTEM_ERRORS[code] ?? code);
}

/** The lines and the status for anything that was thrown. Only errors of ours that are bugs show a stack. */
export function explainFailure(
  tool: string,
  error: unknown,
  debug: boolean,
): { lines: readonly string[]; exitStatus: number } {
  if (error instanceof ToolFailure && !debug) return error;
  const lines = [];
  const system = systemError(error);
  if (error instanceof PvhError && error.code !== 'EINTERNAL') lines.push(`${tool}: ${error.message}`);
  else if (system !== undefined) {
    const path = error instanceof Error && 'path' in error ? `${String(error.path)}: ` : '';
    lines.push(`${tool}: ${path}${system}`);
  } else if (error instanceof Error) lines.push(`${tool}: ${error.stack ?? error.message}`);
  else lines.push(`${tool}: ${String(error)}`);
  if (debug && error instanceof Error && error.stack) lines.push(error.stack);
  return { lines, exitStatus: error instanceof ToolFailure ? error.exitStatus : 1 };
}
