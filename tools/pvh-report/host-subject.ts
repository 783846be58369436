// A domain of a real Xen host as what a report is about: through our own libraries, or, where these are closed to us, through xl.
import type { Target } from '../../core/target/target.ts';
import { PvhError } from '../../symbols/errors.ts';
import { KIB } from './collector.ts';
import type { FoundSubject, Inspection, Problem, Subject, Surroundings } from './evidence.ts';
import { parseListRow } from './facts.ts';
import { findProgram, runProgram } from './host/program.ts';
import { type InspectOptions, inWords, lookAt } from './inspect.ts';

/** A domain of a Xen host, as far as it is known. */
export interface HostDomain {
  readonly domid?: number | undefined;
  readonly name?: string | undefined;
  readonly uuid?: string | undefined;
}

/** @param open opens the domain, which then stands still if it runs. */
export function hostSubject(
  { domid, name, uuid }: HostDomain,
  open: () => Promise<Target>,
  around: Surroundings,
): FoundSubject {
  const { env, isRoot } = around;
  const subject: Subject = { source: 'xen', name: name ?? `domain-${domid}`, domid, uuid };
  async function inspect(
    options: Pick<InspectOptions, 'file' | 'image' | 'signal'>,
  ): Promise<Inspection | Problem> {
    try {
      // Symbols are looked for when the domain goes on: a download may take minutes.
      return await lookAt(open, { ...options, search: true, env });
    } catch (error) {
      if (options.signal.aborted) throw error;
      // What the host says of the domain is worth a report without its registers.
      return { problem: inWords(error), cause: isRoot ? 'failed' : 'root' };
    }
  }
  return {
    subject,
    ...around,
    evidence: (file, image) => ({
      subject,
      host: { ...around, collectedAt: around.now().toISOString() },
      inspect: (signal) => inspect({ file, image, signal }),
    }),
    close: () => undefined,
  };
}

/** Our own way to Xen is not open, but the host's may be: not root, or no library or no koffi that fits. */
const CLOSED_TO_US: readonly string[] = ['EACCES', 'ENOLIB', 'ENOKOFFI'];
export const isClosedToUs = (error: unknown): error is PvhError =>
  error instanceof PvhError && CLOSED_TO_US.includes(error.code);

/** What may stand on xl's command line as the name of a domain. */
const XL_NAME = /^[\w+.][\w+.@:-]*$/;
const XL_SECONDS = 15;

/**
 * A domain of the host that we cannot look at ourselves: what xl tells of it is worth a report. @param obstacle why we cannot.
 * @returns undefined when xl does not know it either.
 */
export async function subjectOfXl(
  words: string,
  obstacle: PvhError,
  around: Surroundings,
): Promise<FoundSubject | undefined> {
  const cannot = (): Promise<Target> => Promise.reject(obstacle);
  const xl = findProgram('xl', around.env);
  if (xl === undefined || !XL_NAME.test(words)) return undefined;
  const run = await runProgram(xl, ['list', '-v', words], {
    env: around.env,
    bound: 64 * KIB,
    signal: AbortSignal.timeout(XL_SECONDS * 1000),
  });
  const row = parseListRow(Buffer.from(run.output.bytes).toString());
  if (row !== undefined) return hostSubject(row, cannot, around);
  // Without root nobody tells: the ledger says what root would have had.
  const domid = /^\d{1,5}$/.test(words) ? Number(words) : undefined;
  return around.isRoot
    ? undefined
    : hostSubject({ domid, ...(domid === undefined && { name: words }) }, cannot, around);
}
