// `xenctx`: from the command line to lines on stdout and an exit status.
import { Chalk } from 'chalk';
import { Registry } from '../../core/domain/registry.ts';
import { NoSuchDomainError, openTarget } from '../../core/target/open.ts';
import type { Target } from '../../core/target/target.ts';
import { inLongMode, VirtualMemory } from '../../core/target/virtual-memory.ts';
import { ClassicSymbols } from '../../symbols/classic-symbols.ts';
import { type MemoryFault, PvhError } from '../../symbols/errors.ts';
import { fileBuildId, guestBuildId } from '../../symbols/kernel/identity.ts';
import type { SymbolTable } from '../../symbols/symbol-table.ts';
import { explainFailure, systemError } from '../shared/failure.ts';
import { stateDirectory } from '../shared/state-dir.ts';
import { openSymbolFile, type SymbolFile } from '../shared/symbol-file.ts';
import { dumpTarget } from './dump.ts';
import { describeTarget, type SymbolFacts } from './json.ts';
import { type GuestKernel, type LearnKernel, learnKernel } from './kernel.ts';
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

function loadSymbols(path: string, streams: XenctxStreams): SymbolFile {
  try {
    const file = openSymbolFile(path);
    for (const warning of file.warnings) streams.error(`xenctx: ${warning}`);
    return file;
  } catch (error) {
    const lines = [`failed to open symbol table ${path}`];
    const system = systemError(error);
    if (error instanceof PvhError) lines.push(`xenctx: ${error.message}`);
    else if (system === undefined) throw error;
    else if (system !== NO_SUCH_FILE) lines.push(`xenctx: ${system}`);
    throw new XenctxExit(UNUSABLE, { stderr: lines });
  }
}

async function open(options: XenctxOptions, registry: Registry): Promise<Target> {
  const { domain } = options;
  try {
    return await openTarget(domain, { registry });
  } catch (error) {
    const isNumber = /^\s*[+-]?\d+\s*$/.test(domain);
    if (!(error instanceof NoSuchDomainError && isNumber)) throw error;
    const reason = domain.trim().startsWith('-') ? 'Invalid argument' : 'No such process';
    throw new XenctxExit(UNUSABLE, { stderr: [`xc_domain_getinfo: ${reason}`] });
  }
}

/** Compares the build-id of a vmlinux with the guest's, as far as the first vCPU that maps it can tell. */
export function identify(target: Target, file: SymbolFile | undefined): SymbolFacts {
  const elf = file?.elf;
  const buildId = elf ? (fileBuildId(elf) ?? null) : null;
  const facts = { file: file?.path ?? null, buildId, guestBuildId: null };
  if (!elf) return facts;
  for (const { registers } of target.vcpus) {
    const guest = registers && guestBuildId(elf, new VirtualMemory(target, registers));
    if (guest !== undefined) return { ...facts, guestBuildId: guest };
  }
  return facts;
}

/** Why the symbols may be those of another kernel; undefined when there is no reason to think so. */
function doubtAbout({ file, buildId, guestBuildId }: SymbolFacts, target: Target): string | undefined {
  if (buildId === null || buildId === guestBuildId) return undefined;
  if (guestBuildId !== null)
    return `${file} is another kernel (build-id ${buildId}) than the guest's (${guestBuildId}): names will be wrong`;
  // Before a guest has turned paging on, its kernel is not yet where it is linked.
  const runs = target.vcpus.some(({ online, registers }) => online && registers && inLongMode(registers));
  return runs ? `no build-id in the guest where ${file} has its own: it may be another kernel` : undefined;
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

/** Asks once; says when there is nothing to unwind with. */
function kernelLearner(file: SymbolFile | undefined, streams: XenctxStreams): LearnKernel {
  let kernel: GuestKernel | undefined;
  let asked = false;
  return (memory) => {
    if (!asked) {
      asked = true;
      kernel = learnKernel(file, memory);
      if (!kernel) streams.error('xenctx: no symbols: no -s, and no kallsyms in the guest; no call trace');
      else if (kernel.rows.length === 0)
        streams.error(`xenctx: no unwind tables in ${kernel.source}; using frame pointers`);
    }
    return kernel;
  };
}

/** Names out of the guest itself, by the first vCPU that is up. */
function ownTable(target: Target, learn: LearnKernel): SymbolTable | undefined {
  const registers = target.vcpus.find((vcpu) => vcpu.online)?.registers;
  return registers && learn(new VirtualMemory(target, registers))?.table;
}

function print(
  target: Target,
  options: XenctxOptions,
  file: SymbolFile | undefined,
  streams: XenctxStreams,
): number {
  const learn = kernelLearner(file, streams);
  const table = file?.table ?? (options.unwind && ownTable(target, learn));
  const symbols = new ClassicSymbols({ table, kernelStart: options.kernelStart });
  const facts = identify(target, file);
  const doubt = doubtAbout(facts, target);
  if (doubt !== undefined) streams.error(`xenctx: warning: ${doubt}`);
  if (options.json) {
    streams.text(describeTarget(target, options, symbols, facts, learn));
    const wanted = target.vcpus.filter(({ id }) => options.allVcpus || id === options.vcpu);
    return wanted.length > 0 &&
      wanted.every(({ online, registers }) => registers || (options.allVcpus && !online))
      ? 0
      : SOME_UNREAD;
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
  for (const line of dumpTarget(target, options, symbols, problems, learn))
    streams.line(streams.colour ? paintLine(line, chalk) : line);
  return status;
}

/** @returns the exit status: 0, 1 when a vCPU could not be read, 2 for wrong usage and unusable input (255 with --classic). */
export async function main(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  streams: XenctxStreams,
): Promise<number> {
  try {
    const options = parseOptions(argv);
    const file = options.symbolTable === undefined ? undefined : loadSymbols(options.symbolTable, streams);
    try {
      const target = await open(options, new Registry(stateDirectory(env)));
      try {
        return print(target, options, file, streams);
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
