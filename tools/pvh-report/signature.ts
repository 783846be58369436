// What identifies a crash, as one line of text that stays the same from run to run and from build to build, and how it came
// about. Pure: from what the guest said and where its vCPUs stand; the tables are in signature/.
import { sha256 } from './archive.ts';
import type { CrashVcpu } from './crash.ts';
import { crashingVcpu, type TellingFrame, tellingFrames } from './signature/frames.ts';
import { functionName, type OnStep } from './signature/names.ts';
import { withoutOwnNames } from './signature/own-names.ts';
import { crashTitle, type Title } from './signature/title.ts';

export { functionName };

export const SCHEMA = 'pvh-report-signature/3';

export interface SignatureStep {
  readonly rule: string;
  readonly did: string;
}

export interface Signature {
  readonly version: typeof SCHEMA;
  /** `panic: Attempted to kill init! by its own exit | do_exit | do_group_exit` */
  readonly text: string;
  /** The first eight hex digits of the SHA-256 of `text`. */
  readonly sha8: string;
  /** True without names: another build of the same kernel has another signature. */
  readonly weak: boolean;
  /** `crash`, `reboot`, ... or the state of a domain that did not shut down. */
  readonly ending: string;
  readonly kind: string;
  /** The line that the guest printed, without addresses: for people. */
  readonly title: string | undefined;
  /** Kind and message of it without what differs from run to run. */
  readonly message: string | undefined;
  readonly vcpu: CrashVcpu | undefined;
  /** All frames that tell, innermost first; `text` has the first of them. */
  readonly frames: readonly TellingFrame[];
  /** Their names in `text`. */
  readonly names: readonly string[];
  /** Which rule did what. */
  readonly steps: readonly SignatureStep[];
}

/** What there may be beside console and vCPUs. */
export interface SignatureHints {
  /** Its name. */
  readonly domain?: string | undefined;
  /** Of the guest's kernel. */
  readonly buildId?: string | undefined;
  /** The hypervisor's log about this domain. */
  readonly xenLog?: string | undefined;
}

/** So many frames tell a crash from another. A panic has words of its own, further down kernels differ in how they got there. */
const DEPTH: Readonly<Record<string, number>> = { panic: 2 };
const USUAL_DEPTH = 3;
/** Without names nothing can be left out, and the first frames are those that stop the kernel. */
const WEAK_DEPTH = 8;

const MAX_STEPS = 100;
const MAX_STEP = 300;

/** Kernel text moves in steps of 2 MiB, modules in pages (linux arch/x86/Kconfig: PHYSICAL_ALIGN, kernel/module). */
function withoutSlide(address: string): string {
  const value = BigInt(`0x${address}`);
  const inKernel = value >= 0xffffffff80000000n && value < 0xffffffffc0000000n;
  return `?${(value & (inKernel ? 0x1fffffn : 0xfffn)).toString(16)}`;
}

/** What a domain that said nothing died of. */
function kindOfEnding(ending: string, xenLog: string | undefined): string {
  if (/\bTriple fault\b/i.test(xenLog ?? '')) return 'triple fault';
  return ending;
}

/** A kernel that kills a task for an oops leaves the stack: then the message has where it was. */
function instructionOf(title: Title | undefined, onStep: OnStep): string[] {
  if (title?.rip === undefined) return [];
  onStep('instruction', `no function left on the stack; the message names ${title.rip}`);
  return [functionName(title.rip)];
}

/** What of the words of a crash is no machine's own. */
function messageOf(
  { text, raw }: Title,
  console: string,
  vcpus: readonly CrashVcpu[],
  domain: string | undefined,
  onStep: OnStep,
): string {
  const functions = vcpus.flatMap(({ frames }) =>
    frames.flatMap(({ symbol }) => (symbol === undefined ? [] : [functionName(symbol)])),
  );
  const message = withoutOwnNames(text, { raw, console, domain, functions });
  if (message !== text) onStep('own names', `${text} -> ${message}`);
  return message;
}

/** Endings that are none of a crash: what was said long before has nothing to do with it. */
const QUIET = new Set(['poweroff', 'suspend']);

/** @param endedOn the vCPU on which the domain ended, when the hypervisor's log has it. */
export function signatureOf(
  ending: string,
  console: string,
  vcpus: readonly CrashVcpu[],
  endedOn: number | undefined,
  { domain, buildId, xenLog }: SignatureHints = {},
): Signature {
  const steps: SignatureStep[] = [];
  const onStep = (rule: string, did: string): void => {
    if (steps.length < MAX_STEPS) steps.push({ rule, did: did.slice(0, MAX_STEP) });
  };
  const title = QUIET.has(ending) ? undefined : crashTitle(console, onStep);
  const kind = title?.kind ?? kindOfEnding(ending, xenLog);
  if (title === undefined) onStep('kind', `nothing said on the console: ${kind}`);
  const vcpu = crashingVcpu(vcpus, endedOn, title?.cpu, onStep);
  const frames = tellingFrames(vcpu?.frames ?? [], onStep);
  const isNamed = vcpu?.frames.some(({ symbol }) => symbol !== undefined) ?? false;
  const named = frames.slice(0, DEPTH[kind] ?? USUAL_DEPTH).flatMap(({ name }) => name ?? []);
  const names = isNamed
    ? named.length > 0 || kind === 'panic'
      ? named
      : instructionOf(title, onStep)
    : frames.slice(0, WEAK_DEPTH).map(({ address }) => withoutSlide(address));
  if (!isNamed) onStep('weak', 'no names: build-id and places that do not move with the kernel');
  const message = title && messageOf(title, console, vcpus, domain, onStep);
  const head = message === undefined || message === '' ? kind : `${kind}: ${message}`;
  const build = isNamed || names.length === 0 ? [] : [`build ${buildId?.slice(0, 12) ?? 'unknown'}`];
  const text = [head, ...build, ...names].join(' | ').replace(/\p{Cc}/gu, '?');
  return {
    version: SCHEMA,
    text,
    sha8: sha256(new TextEncoder().encode(text)).slice(0, 8),
    weak: !isNamed,
    ending,
    kind,
    title: title?.said,
    message: title && head,
    vcpu,
    frames,
    names,
    steps,
  };
}

/** signature.json. */
export function renderSignature({ version, vcpu, frames: _, names, ...rest }: Signature): string {
  return `${JSON.stringify({ schema: version, ...rest, vcpu: vcpu?.id, frames: names }, undefined, 1)}\n`;
}
