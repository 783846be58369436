// xl create: checks the configuration, registers the domain, and starts the process that owns it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, closeSync, constants, openSync, readFileSync, statSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { type GuestConfig, loadGuestConfig, withOverrides } from '../../core/domain/config.ts';
import { ConfigError } from '../../core/domain/config-file.ts';
import type { StartMessage } from '../../core/domain/protocol.ts';
import type { DomainRecord } from '../../core/domain/record.ts';
import { NameTakenError } from '../../core/domain/registry.ts';
import { deriveUuid } from '../../core/domain/uuid.ts';
import { identifyProcess } from '../../core/host/process-identity.ts';
import { systemError, ToolFailure } from '../shared/failure.ts';
import { Progress, stderrOutput } from '../shared/progress.ts';
import type { Options, XlCommand, XlContext } from './command.ts';

/** libxl's ERROR_FAIL and ERROR_INVAL as exit statuses. */
const EXIT_FAIL = 3;
const EXIT_INVALID = 6;

interface Arguments {
  readonly path: string;
  readonly overrides: readonly string[];
}

/** The first word without `=` is the file unless -f names it; `undefined` for a second file. */
function readArguments(operands: readonly string[], options: Options): Arguments | undefined {
  const files = operands.filter((word) => !word.includes('='));
  const overrides = operands.filter((word) => word.includes('='));
  const given = options['defconfig'];
  if (typeof given === 'string') files.unshift(given);
  if (files.length > 1) return undefined;
  const [path] = files;
  if (path === undefined)
    throw new ToolFailure(['Config file not specified and none in save file'], EXIT_INVALID);
  return { path, overrides };
}

function readConfigText(path: string): string {
  try {
    // /dev/null stands for "all is on the command line"; any other device may never end.
    if (path === '/dev/null') return '';
    if (!statSync(path).isFile())
      throw new ToolFailure([`Failed to read config file: ${path}: Is not a regular file`], EXIT_FAIL);
    return readFileSync(path, 'utf8');
  } catch (error) {
    const why = systemError(error);
    if (why === undefined) throw error;
    throw new ToolFailure([`Failed to read config file: ${path}: ${why}`], EXIT_FAIL, { cause: error });
  }
}

/** Says at once what the domain's process would only find later. */
function checkReadable(path: string, what: string): void {
  try {
    accessSync(path, constants.R_OK);
    const status = statSync(path);
    if (status.isDirectory()) throw new ToolFailure([`xl: ${what} ${path}: Is a directory`], EXIT_FAIL);
    if (status.isFile() && status.size === 0)
      throw new ToolFailure([`xl: ${what} ${path}: zero length file`], EXIT_FAIL);
  } catch (error) {
    const why = systemError(error);
    if (why === undefined) throw error;
    throw new ToolFailure([`xl: cannot open ${what} ${path}: ${why}`], EXIT_FAIL, { cause: error });
  }
}

/** The record of a domain that is to be built. */
export function firstRecord(domid: number, config: GuestConfig, uuid: string, now: Date): DomainRecord {
  return {
    schema: 1,
    domid,
    name: config.name,
    uuid,
    state: 'creating',
    paused: false,
    idle: false,
    memoryKiB: config.memoryMiB * 1024,
    vcpus: Array.from({ length: config.vcpus }, (_, id) => ({ id, online: id === 0, seconds: 0 })),
    virtualNanoseconds: 0,
    createdAt: now.toISOString(),
    process: identifyProcess(),
    kernel: { path: resolve(config.kernel), sha256: '' },
    ramdisk: config.ramdisk === undefined ? undefined : { path: resolve(config.ramdisk), sha256: '' },
    cmdline: config.cmdline,
    seed: config.seed,
    wallclock: config.wallclock,
    actions: config.actions,
    preserved: false,
  };
}

/** The exit status of a child, also when it has ended already. */
async function exitStatus(child: ChildProcess): Promise<number> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return child.exitCode ?? 1;
}

/** Starts the process that owns the domain and waits until it runs or says why not. */
async function startProcess(
  { registry, env }: XlContext,
  domid: number,
  name: string,
  flags: readonly string[],
  progress: Progress | undefined,
): Promise<ChildProcess> {
  // The same file in dist/ (.js) and in the source tree (.ts, for a loader that knows it).
  const entry = fileURLToPath(new URL(`../bin/domain-process${extname(import.meta.url)}`, import.meta.url));
  const log = openSync(registry.monitorLogPath(`${name}.err`), 'a', 0o600);
  const child = spawn(process.execPath, [...process.execArgv, entry, String(domid), ...flags], {
    detached: true,
    cwd: '/',
    env: { ...env, PVH_STATE_DIR: registry.stateDir },
    stdio: ['ignore', log, log, 'pipe'],
  });
  closeSync(log);
  // A process that cannot be started has no pid; that is looked at below.
  child.once('error', () => {});
  const reports = child.stdio[3] as Readable; // a pipe, as asked for above
  let outcome: StartMessage | undefined;
  for await (const line of createInterface({ input: reports })) {
    const message: StartMessage = JSON.parse(line);
    if (message.kind === 'progress') progress?.step(message.text, message.done, message.total);
    else {
      outcome = message;
      break;
    }
  }
  reports.destroy();
  progress?.clear();
  if (outcome?.kind === 'failed')
    throw new ToolFailure(
      outcome.lines.map((line) => `xl: ${line}`),
      outcome.exitStatus,
    );
  if (outcome === undefined) {
    const status = child.pid === undefined ? 'unknown' : await exitStatus(child);
    // The guest never ran, so there is nothing to keep.
    registry.remove(domid);
    const log = registry.monitorLogPath(`${name}.err`);
    throw new ToolFailure(
      [`xl: the process of domain ${domid} ended with status ${status} before the guest ran; see ${log}`],
      EXIT_FAIL,
    );
  }
  return child;
}

export const command: XlCommand = {
  declare: (parser) =>
    parser
      .option('-c')
      .option('-d')
      .option('-e')
      .option('-F')
      .option('-f, --defconfig <file>')
      .option('-n, --dryrun')
      .option('-p')
      .option('-q, --quiet'),
  async run(context, operands, options) {
    const { registry, now, out, err, usage } = context;
    const given = readArguments(operands, options);
    if (given === undefined) {
      usage();
      return 2;
    }
    const text = withOverrides(readConfigText(given.path), given.overrides);
    if (!options['quiet']) err(`Parsing config from ${given.path}\n`);
    const time = now();
    let config: GuestConfig;
    try {
      const loaded = loadGuestConfig(text, given.path, Math.floor(time.getTime() / 1000));
      err(loaded.warnings.map((line) => `${line}\n`).join(''));
      config = loaded.config;
    } catch (error) {
      if (error instanceof ConfigError)
        throw new ToolFailure(error.lines, error.exitStatus, { cause: error });
      throw error;
    }
    const uuid = config.uuid ?? deriveUuid(config.name, config.seed);
    if (options['dryrun'] || options['d'] || context.dryRun) {
      const { dryRunJson } = await import('./json.ts');
      const json = dryRunJson(config, uuid);
      if (options['dryrun'] || context.dryRun) {
        out(json);
        return 0;
      }
      err(json);
    }
    checkReadable(config.kernel, 'kernel');
    if (config.ramdisk !== undefined) checkReadable(config.ramdisk, 'ramdisk');
    let record: DomainRecord;
    try {
      record = await registry.allocate(config.name, (domid) => ({
        record: firstRecord(domid, config, uuid, time),
        config: text,
      }));
    } catch (error) {
      if (error instanceof NameTakenError)
        throw new ToolFailure([error.message], EXIT_FAIL, { cause: error });
      throw error;
    }
    const progress = options['quiet'] ? undefined : new Progress(stderrOutput());
    const flags = [
      ...(options['p'] || options['c'] ? ['--paused'] : []),
      ...(options['e'] ? ['--keep'] : []),
    ];
    const child = await startProcess(context, record.domid, config.name, flags, progress);
    if (options['c']) {
      child.unref();
      // The guest waits until the console is attached: nothing of its first lines is lost.
      const { runConsole } = await import('./console.ts');
      return runConsole(registry, record, options['p'] !== true);
    }
    if (options['F']) return exitStatus(child);
    child.unref();
    return 0;
  },
};
