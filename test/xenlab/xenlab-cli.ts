// `npm run xenlab [-- --kills N]`: boots the lab, runs every check, prints a table; exit 0 when all passed. `-- --shell SECONDS`
// instead keeps a lab running for that long and runs the scripts that appear as share/in/*.sh of its folder.
import { parseArgs } from 'node:util';
import { type CheckResult, runChecks } from './checks.ts';
import { XenLab } from './lab.ts';

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '50' }, shell: { type: 'string' } },
});
const started = Date.now();
const progress = (text: string): void =>
  console.error(`[${((Date.now() - started) / 1000).toFixed(0).padStart(5)} s] ${text}`);
const results: CheckResult[] = [];
const rowOf = ({ check, passed, detail }: CheckResult): string =>
  `${passed ? 'ok    ' : 'FAILED'}  ${check.padEnd(56)}  ${detail.replaceAll('\n', '\n        ')}`;

progress('booting Xen and dom0');
await using lab = await XenLab.start();
progress(`dom0 is ready; the lab is in ${lab.folder}`);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(signal, () => {
    void lab[Symbol.asyncDispose]().finally(() => process.exit(130));
  });
if (values.shell !== undefined) await new Promise((end) => setTimeout(end, Number(values.shell) * 1000));
else {
  try {
    await runChecks(lab, {
      kills: Number(values.kills),
      progress,
      report(result) {
        results.push(result);
        progress(rowOf(result));
      },
    });
  } catch (error) {
    results.push({
      check: 'the lab',
      passed: false,
      detail: error instanceof Error ? error.message : String(error),
    });
  }
  console.log(results.map(rowOf).join('\n'));
  process.exitCode = results.every(({ passed }) => passed) ? 0 : 1;
}
