// pvh-report signature: what identifies the crash in a report, and how that came about.
import { EXIT, type Streams } from './exit.ts';
import { readReport } from './report.ts';
import { renderSignature, type Signature } from './signature.ts';

export interface SignatureOptions {
  readonly explain?: true;
  readonly json?: true;
}

function explain({ ending, vcpu, weak, frames, steps }: Signature): string[] {
  const width = Math.max(0, ...steps.map(({ rule }) => rule.length));
  return [
    '',
    `  ended: ${ending}`,
    `  vCPU:  ${vcpu === undefined ? 'none could be read' : vcpu.id}`,
    ...(weak ? ['  weak:  no names; collect with -s and the kernel’s vmlinux, or pvh-report symbolize'] : []),
    '',
    'Rules, in the order in which they did something',
    ...steps.map(({ rule, did }) => `  ${rule.padEnd(width)}  ${did}`),
    '',
    'Frames that tell',
    ...frames.slice(0, 24).map(({ name, address, symbol }) => `  [<${address}>] ${name ?? symbol ?? '?'}`),
  ];
}

export async function runSignature(
  path: string,
  options: SignatureOptions,
  { out }: Streams,
): Promise<number> {
  const { signature } = await readReport(path);
  if (options.json) out(renderSignature(signature));
  else {
    const lines = [`${signature.sha8} ${signature.text}`, ...(options.explain ? explain(signature) : [])];
    out(`${lines.map((line) => line.replace(/[\p{Cc}\p{Cf}]/gu, '?')).join('\n')}\n`);
  }
  return EXIT.ok;
}
