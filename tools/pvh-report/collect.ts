// Makes a report of one domain: runs the collectors, writes down what they could not get, packs. The same domain of our runtime
// gives the same bytes: nothing of host, time, user or folder goes in.
import { type Assembled, assemble } from './assemble.ts';
import type { Collector } from './collector.ts';
import type { Evidence } from './evidence.ts';
import type { KnownFacts } from './facts.ts';
import { type Gathered, gather, type OnStep } from './gather.ts';
import type { Limits } from './limits.ts';
import type { MissingItem } from './manifest.ts';

export interface Collected extends Assembled {
  /** What was collected and how long it took, for an estimate. */
  readonly gathered: Gathered;
}

/** What to collect, and within which time. */
export interface Order {
  readonly collectors: readonly Collector[];
  /** Left out because the user said so. */
  readonly skipped: readonly Collector[];
  readonly limits: Limits;
}

const leftOut = ({ file }: Collector): MissingItem => ({
  item: file,
  reason: `left out by ${file === 'memory.core' ? '--memory=none, ' : ''}--only or --skip`,
  cause: 'skipped',
  required: false,
});

function knownOf({ runtime, subject }: Evidence): KnownFacts {
  if (!runtime) return { state: 'unknown', kernel: {}, xen: subject.xenVersion };
  const { record, info } = runtime;
  const { xen_version: xen } = info;
  return {
    state: record.state,
    shutdownReason: record.shutdownReason,
    kernel: record.kernel,
    xen: typeof xen === 'string' ? xen : undefined,
  };
}

/** @throws Interrupted */
export async function collect(
  evidence: Evidence,
  { collectors, skipped, limits }: Order,
  tool: string,
  onStep: OnStep,
): Promise<Collected> {
  const gathered = await gather(collectors, evidence, limits, onStep);
  const { subject, host } = evidence;
  onStep('Packing', collectors.length, collectors.length);
  const assembled = await assemble({
    tool,
    subject,
    ...(host && { host: { collectedAt: host.collectedAt, root: host.isRoot } }),
    known: knownOf(evidence),
    files: gathered.files,
    image: gathered.image,
    missing: [...gathered.missing, ...skipped.map(leftOut)],
    inspection: gathered.inspection,
  });
  return { ...assembled, gathered };
}
