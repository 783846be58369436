// npm run bench:collect: user CPU of `pvh-report collect` on a panicked Debian guest of 512 MiB, without symbols, and of one `xenctx -C`
// on it, five times by turns; the medians count. A report looks twice, once for what to keep and once at what was kept, finds the
// kernel's names four times and packs some 9 MB. Last line: `ratio <collect/xenctx>`.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Host } from '../kernel/guest.ts';
import { debianKernel } from '../support/debian.ts';
import { costOf, median } from './cost.ts';

const ROUNDS = 5;
const bins = fileURLToPath(new URL('../../dist/tools/bin/', import.meta.url));

using host = new Host();

/** User CPU of one run of a tool, in seconds. */
const userCpu = (tool: string, ...args: string[]): number =>
  costOf({ PVH_STATE_DIR: host.stateDir }, process.execPath, join(bins, `${tool}.js`), ...args).user;

const domid = host.createLinux('guest', {
  kernel: debianKernel('linux-image-cloud-amd64').vmlinuz,
  memory: '512',
  extra: 'console=hvc0',
});
await host.untilShutdown(domid);
const report = join(host.stateDir, 'report.tar.gz');
const [collect, xenctx]: [number[], number[]] = [[], []];
for (let round = 0; round < ROUNDS; round++) {
  collect.push(userCpu('pvh-report', 'collect', String(domid), '-q', '-o', report));
  xenctx.push(userCpu('xenctx', '-C', String(domid)));
}
console.log(`collect ${median(collect).toFixed(2)} s user, ${statSync(report).size} bytes`);
console.log(`xenctx -C ${median(xenctx).toFixed(2)} s user`);
console.log(`ratio ${(median(collect) / median(xenctx)).toFixed(2)}`);
