// pvh-report replay: runs the domain of a report again, in this process, and says whether it comes to the same end.
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { buildDomain } from '../../core/domain/build-domain.ts';
import { CONSOLE_BYTES } from '../../core/domain/console-file.ts';
import type { Domain } from '../../core/domain/domain.ts';
import { GuestOutput } from '../../core/domain/guest-output.ts';
import { Registry } from '../../core/domain/registry.ts';
import { Replay } from '../../core/domain/replay.ts';
import { writeDumpCore } from '../../core/dump/dump-core.ts';
import { createFile } from '../../core/host/files.ts';
import { cleanJson, cleanText } from '../shared/clean-text.ts';
import { ToolFailure } from '../shared/failure.ts';
import { Progress, stderrOutput } from '../shared/progress.ts';
import { stateDirectory } from '../shared/state-dir.ts';
import { packageVersion } from '../shared/version.ts';
import { firstRecord } from '../xl/create.ts';
import { EXIT, type Streams } from './exit.ts';
import { BoundedOutput } from './host/bounded-output.ts';
import { interruptible, SIGNAL_STATUS } from './interruptible.ts';
import { DEFAULT_DEADLINE_SECONDS, Interrupted } from './limits.ts';
import type { Manifest } from './manifest.ts';
import { compareReplay, type ReplayComparison, type Replayed } from './replay/compare.ts';
import { findImages, type WantedImage } from './replay/images.ts';
import { type Recorded, recordedOf } from './replay/recorded.ts';
import { unpackReport } from './report.ts';
import { parseSeconds } from './selection.ts';

export interface ReplayOptions {
  readonly kernel?: string;
  readonly ramdisk?: string;
  readonly core?: string;
  readonly timeout?: string;
  readonly json?: true;
  readonly quiet?: true;
}

type Env = Readonly<Record<string, string | undefined>>;

/** What collect takes of a console. */
const CONSOLE_KEPT = 4 << 20;
const MAX_LINES = 24;
const MAX_WIDTH = 160;

const fail = (text: string): ToolFailure => new ToolFailure([`pvh-report: ${text}`], EXIT.unusable);

/** A config whose kernel and ramdisk are the very files. @throws ToolFailure when one is not at hand. */
function withImages(
  { config, record: { kernel, ramdisk } }: Recorded,
  report: string,
  options: ReplayOptions,
  env: Env,
): Recorded['config'] {
  if (options.ramdisk !== undefined && ramdisk === undefined)
    throw fail('--ramdisk: the domain of this report had none');
  const registry = new Registry(stateDirectory(env));
  const folders = [dirname(resolve(report)), process.cwd()];
  const wanted: WantedImage[] = [
    { what: 'kernel', image: kernel, given: options.kernel },
    ...(ramdisk ? [{ what: 'ramdisk', image: ramdisk, given: options.ramdisk } as const] : []),
  ];
  const [kernelPath = '', ramdiskPath] = findImages(wanted, registry, folders);
  return { ...config, kernel: kernelPath, ramdisk: ramdiskPath };
}

/** @throws Interrupted; ToolFailure when the time is up. */
async function run(
  { record, inputs }: Recorded,
  config: Recorded['config'],
  seconds: number,
  progress: Progress,
  interrupt: AbortSignal,
): Promise<Replayed> {
  const { shutdownInstruction: instruction, virtualNanoseconds: nanoseconds } = record;
  const output = new GuestOutput(record.domid);
  const made = firstRecord(record.domid, config, config.uuid ?? '', new Date(0));
  const built = buildDomain(config, made, output, (message) => {
    if (message.kind === 'progress') progress.step(message.text, message.done, message.total);
  });
  const replay = new Replay(built.domain, { inputs, instruction, nanoseconds });
  const console = new BoundedOutput(CONSOLE_KEPT);
  const timeUp = AbortSignal.timeout(seconds * 1000);
  for (;;) {
    const event = replay.run();
    console.push(output.takeConsole());
    output.takeLines();
    if (event.kind !== 'going') {
      const text = Buffer.from(console.end().bytes).toString('latin1');
      return {
        ...built,
        event,
        given: replay.given,
        console: console.total > CONSOLE_BYTES ? undefined : text,
      };
    }
    progress.step(`Replaying ${instruction} instructions`, built.domain.retired(), instruction);
    await new Promise((wake) => setImmediate(wake));
    interrupt.throwIfAborted();
    if (timeUp.aborted)
      throw fail(
        `not done within ${seconds} s: at instruction ${built.domain.retired()} of ${instruction}; --timeout gives it more`,
      );
  }
}

function warnings({ tool }: Manifest, { isRedacted }: Recorded): string[] {
  const own = `pvh-report ${packageVersion()}`;
  return [
    ...(tool === own ? [] : [`made by ${tool}, replayed by ${own}: that alone may make a difference`]),
    ...(isRedacted
      ? [
          'redacted: the guest is told stand-ins of its names and arguments, which may make a difference; console and memory are not compared',
        ]
      : []),
  ];
}

const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

function render({ differences, end, compared }: ReplayComparison): string {
  const [first] = differences;
  const lines =
    first === undefined
      ? [
          `same: ${end.replayed}, as recorded`,
          `  equal: ${plural(compared.vcpus, 'vCPU')}, ${plural(compared.consoleLines, 'line')} of console, ${plural(compared.frames, 'frame')} of memory; ${plural(compared.inputs, 'input')} given`,
        ]
      : [
          `different: ${first.what} (recorded / replayed)`,
          ...differences
            .slice(0, MAX_LINES)
            .map(
              ({ what, recorded, replayed, relation = '' }) =>
                `  ${what.padStart(12)} ${recorded} / ${replayed}  ${relation}`,
            ),
          ...(differences.length > MAX_LINES
            ? [`  … ${differences.length - MAX_LINES} more (--json has all)`]
            : []),
        ];
  return lines.map((line) => `${cleanText(line).trimEnd().slice(0, MAX_WIDTH)}\n`).join('');
}

/** Where the memory of the replayed guest goes. @throws ToolFailure for a file that is there. */
function corePath(given: string | undefined): string | undefined {
  const path = given && resolve(given);
  if (path !== undefined && existsSync(path)) throw fail(`--core ${path}: is there already`);
  return path;
}

function writeCore(path: string, domain: Domain): void {
  createFile(path, (file) => file.extend(writeDumpCore(file, domain.dumpImage())));
}

/** @returns 0: the same end; 1: another. @throws NotReplayableError, FormatError, ToolFailure when it cannot be run. */
export async function runReplay(
  path: string,
  options: ReplayOptions,
  env: Env,
  { out, err }: Streams,
): Promise<number> {
  const seconds =
    options.timeout === undefined ? DEFAULT_DEADLINE_SECONDS : parseSeconds(options.timeout, '--timeout');
  const core = corePath(options.core);
  const report = await unpackReport(path);
  const recorded = recordedOf(report);
  const config = withImages(recorded, path, options, env);
  const warned = warnings(report.manifest, recorded);
  for (const text of warned) err(`pvh-report: ${text}\n`);
  const progress = new Progress(
    options.quiet
      ? { write: () => undefined, isTerminal: false, colour: false, columns: 80 }
      : stderrOutput(),
  );
  try {
    const replayed = await interruptible((interrupt) => run(recorded, config, seconds, progress, interrupt));
    progress.clear();
    const comparison = compareReplay(recorded, replayed);
    if (core !== undefined) writeCore(core, replayed.domain);
    const { digest } = report;
    const schema = 'pvh-report-replay/1';
    out(
      options.json
        ? `${cleanJson(JSON.stringify({ schema, report: path, digest, ...comparison, warnings: warned, core }, undefined, 2))}\n`
        : render(comparison) + (core === undefined ? '' : `${core}\n`),
    );
    return comparison.verdict === 'same' ? EXIT.ok : EXIT.different;
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    progress.clear();
    err('pvh-report: interrupted\n');
    return SIGNAL_STATUS[error.signal] ?? EXIT.unusable;
  } finally {
    progress.clear();
  }
}
