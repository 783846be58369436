// pvh-report export: a target as a file that crash, drgn and gdb open. Prints its path, and with what to open it.
import { resolve } from 'node:path';
import { Registry } from '../../core/domain/registry.ts';
import { writeElfVmcore } from '../../core/dump/elf-vmcore.ts';
import { writeKdump } from '../../core/dump/kdump.ts';
import type { DumpSink } from '../../core/dump/sink.ts';
import { createFile } from '../../core/host/files.ts';
import { openTarget } from '../../core/target/open.ts';
import type { Target } from '../../core/target/target.ts';
import { systemError, ToolFailure } from '../shared/failure.ts';
import { type GuestKernel, knownKernel } from '../shared/guest-kernel.ts';
import { Progress, stderrOutput } from '../shared/progress.ts';
import { stateDirectory } from '../shared/state-dir.ts';
import { openSymbolFile } from '../shared/symbol-file.ts';
import { commandsFor } from './debugger-commands.ts';
import { EXIT, type Streams } from './exit.ts';
import { unwindLibrary } from './gdb-unwinding.ts';
import { imageOf } from './vmcore-image.ts';

type Format = 'elf' | 'kdump';
const WRITERS = { elf: writeElfVmcore, kdump: writeKdump } satisfies Record<Format, unknown>;

export interface ExportOptions {
  readonly format: Format;
  readonly output?: string;
  readonly symbolTable?: string;
  readonly commands?: true;
  /** Where to write the guest's unwind tables for gdb. */
  readonly gdbUnwinding?: string;
  readonly quiet?: true;
}

/** A name for the file by what the target is. */
function defaultName({ identity, kind }: Target, format: Format): string {
  const name = identity.name ?? kind;
  return `${name.replace(/[^\w.-]/g, '_')}.${format === 'elf' ? 'vmcore' : 'kdump'}`;
}

/** Writes a file whole or not at all. @throws ToolFailure when the system does not let us. */
function writeFile(path: string, write: (sink: DumpSink) => void): void {
  try {
    createFile(path, write);
  } catch (error) {
    const why = systemError(error);
    if (why === undefined) throw error;
    throw new ToolFailure([`pvh-report: ${path}: ${why}`], EXIT.unusable, { cause: error });
  }
}

/** @throws ToolFailure when the kernel has no tables that can be read. */
function writeUnwinding(path: string, kernel: GuestKernel): void {
  const library = unwindLibrary(kernel);
  if (!library)
    throw new ToolFailure(
      ['pvh-report: --gdb-unwinding: the guest has no ORC tables that can be read; give its vmlinux with -s'],
      EXIT.unusable,
    );
  writeFile(path, (sink) => sink.write(0, library));
}

/** @returns the exit status. @throws what openTarget throws; ToolFailure when a file cannot be written. */
export async function runExport(
  spec: string,
  options: ExportOptions,
  env: Readonly<Record<string, string | undefined>>,
  streams: Streams,
): Promise<number> {
  const registry = new Registry(stateDirectory(env));
  const file = options.symbolTable === undefined ? undefined : openSymbolFile(options.symbolTable);
  try {
    const target = await openTarget(spec, { registry });
    try {
      return exportTarget(spec, target, file, options, streams);
    } finally {
      target.close();
    }
  } finally {
    file?.close();
  }
}

function exportTarget(
  spec: string,
  target: Target,
  file: ReturnType<typeof openSymbolFile> | undefined,
  { format, output, symbolTable = 'vmlinux', commands, gdbUnwinding, quiet }: ExportOptions,
  { out, err }: Streams,
): number {
  const kernel = knownKernel(target, file, false);
  if (commands) {
    const form = target.kind === 'preserved' || target.kind === 'dump-core' ? 'dump-core' : target.kind;
    for (const line of commandsFor(kernel, { form, path: spec, vmlinux: symbolTable })) out(`${line}\n`);
    return EXIT.ok;
  }
  const path = resolve(output ?? defaultName(target, format));
  const progress = quiet ? undefined : new Progress(stderrOutput());
  progress?.step(`Writing ${path}`);
  const { image, notes } = imageOf(target, kernel, format === 'elf');
  try {
    writeFile(path, (sink) => {
      const { unreadable, cut } = WRITERS[format](sink, image);
      progress?.clear();
      for (const note of notes) err(`pvh-report: ${note}\n`);
      if (cut > 0) err(`pvh-report: no room for ${cut} mappings: these have no virtual addresses\n`);
      if (unreadable > 0) err(`pvh-report: ${unreadable} frames could not be read and are not in the file\n`);
    });
    if (gdbUnwinding !== undefined) writeUnwinding(resolve(gdbUnwinding), kernel);
  } finally {
    progress?.clear();
  }
  if (!image.vmcoreinfo)
    err('pvh-report: no Linux guest with known symbols: crash and drgn cannot use the file, gdb can\n');
  out(`${path}\n`);
  const form = format === 'elf' ? 'elf-vmcore' : 'kdump';
  const toOpen = { form, path, vmlinux: symbolTable, unwinding: gdbUnwinding };
  if (!quiet) for (const line of commandsFor(kernel, toOpen)) err(`${line}\n`);
  return EXIT.ok;
}
