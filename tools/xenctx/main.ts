// `xenctx`: from the command line to lines on stdout and an exit status.
import { Chalk } from 'chalk';
import { Registry } from '../../core/domain/registry.ts';
import { NoSuchDomainError, openTarget } from '../../core/target/open.ts';
import type { Target } from '../../core/target/target.ts';
import { ClassicSymbols } from '../../symbols/classic-symbols.ts';
import { type MemoryFault, PvhError } from '../../symbols/errors.ts';
import { cleanText } from '../shared/clean-text.ts';
import { explainFailure, systemError } from '../shared/failure.ts';
import { type GuestKernel, learnKernel, matchFile } from '../shared/guest-kernel.ts';
import { stateDirectory } from '../shared/state-dir.ts';
import { openSymbolFile, type SymbolFile } from '../shared/symbol-file.ts';
import { loadDisassembler } from './disassembly.ts';
import { dumpTarget } from './dump.ts';
import { describeTarget } from './json.ts';
import { findModuleLines } from './module-lines.ts';
import { exitStatusFor, parseOptions, UNUSABLE, XenctxExit, type XenctxOptions } from './options.ts';
import { paintLine } from './paint.ts';

/** Where lines go. `line` of out gets no line end. */
export interface XenctxStreams {
  readonly line: (text: string) => void;
  readonly text: (text: string) => void;
  readonly error: (line: string) => void;
  /** True when stdout is a terminal that wants colours. */
  readonly colour: boolean;
}

const SOME_UNREAD = 1;
const NO_SUCH_FILE = 'No such file or directory';
const MAX_FAULT_LINES = 16;
const NOT_TAKEN = 'give a vmlinux, bzImage, System.map or copy of /proc/kallsyms, or leave -s out';
const NO_VMLINUX = 'no vmlinux of this kernel was found; give -s, or keep one with pvh-report stash';

function loadSymbols(path: string, { classic }: XenctxOptions, streams: XenctxStreams): SymbolFile {
  try {
    const file = openSymbolFile(path);
    for (const warning of file.warnings) streams.error(`xenctx: ${warning}`);
    return file;
  } catch (error) {
    const system = systemError(error);
    if (!(error instanceof PvhError) && system === undefined) throw error;
    const why = error instanceof PvhError ? error.message : `${path}: ${system}`;
    if (!classic)
      throw new XenctxExit(UNUSABLE, { stderr: [`xenctx: cannot take names: ${why}; ${NOT_TAKEN}`] });
    const more = system === NO_SUCH_FILE ? [] : [`xenctx: ${why}`];
    throw new XenctxExit(UNUSABLE, { stderr: [`failed to open symbol table ${path}`, ...more] });
  }
}

async function open(options: XenctxOptions, registry: Registry): Promise<Target> {
  const { domain } = options;
  try {
    return await openTarget(domain, { registry });
  } catch (error) {
    const isNumber = /^\s*[+-]?\d+\s*$/.test(domain);
    if (!(options.classic && error instanceof NoSuchDomainError && isNumber)) throw error;
    const reason = domain.trim().startsWith('-') ? 'Invalid argument' : 'No such process';
    throw new XenctxExit(UNUSABLE, { stderr: [`xc_domain_getinfo: ${reason}`] });
  }
}

/** Says each page once, and not too many of them. */
function faultPrinter(streams: XenctxStreams): (vcpu: number, fault: MemoryFault) => void {
  const seen = new Set<string>();
  return (vcpu, fault) => {
    const text = `xenctx: vcpu ${vcpu}: ${fault.message}`;
    if (seen.has(text) || seen.size > MAX_FAULT_LINES) return;
    seen.add(text);
    streams.error(seen.size > MAX_FAULT_LINES ? 'xenctx: more memory could not be read' : text);
  };
}

/** Says what a source lacks of memory: what is not there reads like what the guest has not mapped. Not in xenctx's own layout. */
function warnOfMemory({ lacks }: Target, { unwind }: XenctxOptions, streams: XenctxStreams): void {
  if (unwind === undefined) return;
  for (const lack of lacks) if (lack.startsWith('memory')) streams.error(`xenctx: ${lack}`);
}

/** Says what the names are good for. */
function warnOf(
  { source, file, warnings, rows }: GuestKernel,
  given: SymbolFile | undefined,
  sourceLines: boolean,
  streams: XenctxStreams,
): void {
  const told = new Set(given?.warnings);
  if (given && given !== file)
    streams.error(`xenctx: ${given.path} names nothing: taking ${source ?? 'nothing'} instead`);
  for (const warning of warnings) if (!told.has(warning)) streams.error(`xenctx: warning: ${warning}`);
  if (source === undefined)
    streams.error('xenctx: no symbols: no -s, and no kallsyms in the guest; frames are found by guessing');
  else if (rows.length === 0) streams.error(`xenctx: no unwind tables in ${source}; using frame pointers`);
  if (sourceLines && !file?.debugInfo)
    streams.error(`xenctx: no file and line: ${file ? `${file.path} has no debug information` : NO_VMLINUX}`);
}

/** Everything about the kernel for our layout; for xenctx's own only whether the file is the guest's. */
async function learn(
  target: Target,
  options: XenctxOptions,
  file: SymbolFile | undefined,
  env: Readonly<Record<string, string | undefined>>,
  streams: XenctxStreams,
): Promise<GuestKernel | undefined> {
  const force = options.forceSymbols;
  const { modules, dmesg, allTasks, disassemble } = options;
  if (options.unwind === undefined && !modules && !dmesg && !allTasks && !disassemble) {
    const warnings = file ? matchFile(file, target, force).warnings : [];
    for (const warning of warnings) streams.error(`xenctx: warning: ${warning}`);
    return undefined;
  }
  const progress = (text: string): void => streams.error(`xenctx: ${text}`);
  const kernel = await learnKernel(target, file, { env, force, search: true, progress });
  const showsFrames = options.allVcpus || allTasks || !(modules || dmesg);
  warnOf(kernel, file, options.sourceLines && showsFrames, streams);
  return kernel;
}

async function print(
  target: Target,
  options: XenctxOptions,
  file: SymbolFile | undefined,
  kernel: GuestKernel | undefined,
  streams: XenctxStreams,
): Promise<number> {
  const table = kernel?.table ?? file?.table;
  const { knowledge, warnings } = await findModuleLines(target, options, {
    symbols: new ClassicSymbols({
      table: table && table.length > 0 ? table : file?.table,
      kernelStart: options.kernelStart,
    }),
    kernel,
    disassemble: options.disassemble ? await loadDisassembler() : undefined,
  });
  for (const warning of warnings) streams.error(`xenctx: ${warning}`);
  if (options.json) {
    const { text, complete } = describeTarget(target, options, knowledge);
    streams.text(text);
    return complete ? 0 : SOME_UNREAD;
  }
  const chalk = new Chalk({ level: streams.colour ? 1 : 0 });
  let status = 0;
  const problems = {
    vcpu(message: string) {
      status = SOME_UNREAD;
      streams.error(message);
    },
    memory: faultPrinter(streams),
  };
  for (const raw of dumpTarget(target, options, knowledge, problems)) {
    const line = cleanText(raw);
    streams.line(streams.colour ? paintLine(line, chalk) : line);
  }
  return status;
}

/** @returns the exit status: 0, 1 when a vCPU could not be read, 2 for wrong usage and unusable input (255 with --classic). */
export async function main(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  output: XenctxStreams,
): Promise<number> {
  // Names of modules, releases, paths: what is complained about comes from the guest too.
  const streams = { ...output, error: (line: string): void => output.error(cleanText(line)) };
  try {
    const options = parseOptions(argv);
    const file =
      options.symbolTable === undefined ? undefined : loadSymbols(options.symbolTable, options, streams);
    try {
      const target = await open(options, new Registry(stateDirectory(env)));
      try {
        warnOfMemory(target, options, streams);
        const kernel = await learn(target, options, file, env, streams);
        try {
          return await print(target, options, file, kernel, streams);
        } finally {
          kernel?.moduleFiles.close();
          if (kernel?.file !== file) kernel?.file?.close();
        }
      } finally {
        target.close();
      }
    } finally {
      file?.close();
    }
  } catch (error) {
    if (error instanceof XenctxExit) {
      streams.text(error.stdout);
      for (const line of error.stderr) streams.error(line);
      return exitStatusFor(argv, error.status);
    }
    for (const line of explainFailure('xenctx', error, argv.includes('--debug')).lines) streams.error(line);
    return exitStatusFor(argv, UNUSABLE);
  }
}
