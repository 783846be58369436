// What the lab proves: our tools in dom0 against Xen's own, on domains that crashed, run, and are paused.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { domainRecord } from '../support/domain-record.ts';
import { printedFrames, unwoundFrames } from '../support/printed-trace.ts';
import type { GuestDeed } from './images.ts';
import type { LabGuest, XenLab } from './lab.ts';

export interface CheckResult {
  readonly check: string;
  readonly passed: boolean;
  readonly detail: string;
}

export interface CheckOptions {
  /** How often the tool is killed in all, one half by SIGINT. */
  readonly kills: number;
  readonly report: (result: CheckResult) => void;
  readonly progress: (text: string) => void;
}

const TOOLS = 'node /app/dist/tools/bin';
const REPORT_TOOL = fileURLToPath(new URL('../../dist/tools/bin/pvh-report.js', import.meta.url));
const BOOT_SECONDS = 900;
const ATTEMPTS = 3;
/** Between the outputs of programs that run one after the other. */
const MARK = '==== next ====';

/** Runs programs one after the other in one job; what each wrote. */
async function inTurn(lab: XenLab, commands: readonly string[]): Promise<string[]> {
  const output = await lab.ok(commands.join(`\necho '${MARK}'\n`));
  return output.split(`${MARK}\n`);
}

/** A guest that has come as far as it shall; QEMU's nested SVM now and then lets one die of a triple fault of its own (---sr-). */
async function guest(
  lab: XenLab,
  name: string,
  deed: GuestDeed,
  options: CheckOptions,
  type: LabGuest['type'] = 'pvh',
): Promise<number> {
  const ends = deed === 'sysrq' || deed === 'module';
  for (let attempt = 1; ; attempt++) {
    options.progress(`booting ${name}${attempt > 1 ? ', once more' : ''}`);
    const domid = await lab.create(name, { deed, type });
    const test = ends
      ? `xl list ${name} | grep -q -- '---s'`
      : `grep -q ^ready /var/log/xen/console/guest-${name}.log`;
    const dead = `xl list ${name} | grep -q -- '---s'`;
    const { status } = await lab.run(
      `for i in $(seq ${BOOT_SECONDS / 2}); do ${test} && exit 0; ${dead} && exit 1; sleep 2; done; exit 1`,
      BOOT_SECONDS * 2,
    );
    const state = await lab.state(name);
    if (status === 0 && (!ends || state.startsWith('---sc'))) return domid;
    if (attempt === ATTEMPTS)
      throw new Error(`guest ${name} is ${state} instead of what it shall be:\n${await lab.console(name)}`);
    await lab.ok(`xl destroy ${name}; rm -f /var/log/xen/console/guest-${name}.log`);
  }
}

/** Lines of the register block, each behind the vCPU that it is of. */
function registerLines(text: string): Map<string, string> {
  const lines = new Map<string, string>();
  let vcpu = '';
  for (const line of text.split('\n')) {
    if (/^vcpu\d+/.test(line)) vcpu = line;
    const name = /^ ?(rip|flags|rsp|r[abd1][xp0-9]|cs|fs|gs|cr\d|dr\d):/.exec(line)?.[1];
    if (name !== undefined) lines.set(`${vcpu} ${name}`, line);
  }
  return lines;
}

interface Comparison {
  readonly passed: boolean;
  readonly detail: string;
}

/** Real xenctx, ours, real xenctx, on a domain that stands still: every line is the same. */
async function compareStill(lab: XenLab, domid: number): Promise<Comparison> {
  const [first = '', ours = '', last = ''] = await inTurn(lab, [
    `xenctx -a -C ${domid} 2>&1`,
    `${TOOLS}/xenctx.js --classic -a -C ${domid} 2>&1`,
    `xenctx -a -C ${domid} 2>&1`,
  ]);
  return first === last && ours === first
    ? { passed: true, detail: `all ${first.split('\n').length} lines are the same` }
    : { passed: false, detail: `before:\n${first}\nours:\n${ours}\nafter:\n${last}` };
}

/**
 * Real xenctx again and again, before, while and after ours runs: the lines that are the same in all of its outputs must be in ours. Two
 * outputs, one before and one after, agree by chance too often: an idle vCPU wakes up in between, and some registers have one of two values.
 */
async function compareMoving(lab: XenLab, domid: number): Promise<Comparison> {
  const real = `xenctx -a -C ${domid} 2>&1; echo '${MARK}'`;
  const [ours = '', ...samples] = await inTurn(lab, [
    `rm -f /tmp/ours-done
{ ${real}; until [ -e /tmp/ours-done ]; do ${real}; sleep 0.1; done; ${real}; } >/tmp/real &
${TOOLS}/xenctx.js --classic -a -C ${domid} 2>&1; touch /tmp/ours-done; wait`,
    'cat /tmp/real',
  ]);
  const own = registerLines(ours);
  const [first = new Map<string, string>(), ...rest] = samples
    .filter((text) => text !== '')
    .map(registerLines);
  const still = [...first].filter(([key, line]) => rest.every((sample) => sample.get(key) === line));
  const differing = still.filter(([key, line]) => own.get(key) !== line).map(([key]) => key);
  const said = `of ${first.size} register lines ${still.length} did not move in ${rest.length + 1} outputs of xenctx`;
  return differing.length === 0 && still.length > 10 && rest.length > 2
    ? { passed: true, detail: `${said}, and are the same` }
    : { passed: false, detail: `${said}; ours has others: ${differing.join(', ') || 'none'}` };
}

/** @param moves whether it runs: then it is tried again, as what stood still for all outputs of xenctx may have moved for ours. */
async function compare(
  lab: XenLab,
  what: string,
  domid: number,
  moves: boolean,
  options: CheckOptions,
): Promise<void> {
  const before = await lab.state(domid);
  const compareOnce = moves ? compareMoving : compareStill;
  let result = await compareOnce(lab, domid);
  for (let attempt = 1; moves && !result.passed && attempt < ATTEMPTS; attempt++) {
    options.progress(`${what}: ${result.detail}; once more`);
    result = await compareOnce(lab, domid);
  }
  options.report({ check: `registers as xenctx: ${what}`, ...result });
  const after = await lab.state(domid);
  const flags = [before, after].map((state) => `${state[2]}${state.slice(3)}`);
  options.report({
    check: `state as before: ${what}`,
    passed: flags[0] === flags[1],
    detail: `${before} ${after}`,
  });
}

/** Our default trace against the one that the guest printed. */
async function trace(lab: XenLab, name: string, options: CheckOptions): Promise<string> {
  const text = await lab.ok(`${TOOLS}/xenctx.js -C xen:${name}`);
  const printed = printedFrames(await lab.console(name));
  const unwound = unwoundFrames(text);
  const same = printed.length > 3 && printed.join() === unwound.join();
  options.report({
    check: `true stack: ${name}`,
    passed: same,
    detail: same
      ? `${printed.length} frames as on its console`
      : `${unwound.join(', ')} instead of ${printed.join(', ')}`,
  });
  return text;
}

/** A number in 0..1 for each text, the same in every run. */
const chance = (seed: string): number => createHash('sha256').update(seed).digest().readUInt32LE() / 2 ** 32;

interface Killed {
  readonly held: boolean;
  readonly state: string;
}

/** Starts xenctx, kills it when `moment` has come (which sets `held`), waits until its guard has ended too. */
async function killOnce(lab: XenLab, name: string, signal: string, moment: string): Promise<Killed> {
  const output = await lab.ok(`
${TOOLS}/xenctx.js -C ${name} >/dev/null 2>&1 &
pid=$!
${moment}
kill -${signal} $pid 2>/dev/null
wait $pid
# A guard that has only been forked does not have its name yet.
sleep 1
for i in $(seq 300); do pgrep -f xen-guard >/dev/null || break; sleep 0.2; done
echo "held $held"
xl list ${name}`);
  return { held: output.includes('held 1'), state: /\s([rbpsd?wcS-]{6})\s/.exec(output)?.[1] ?? '' };
}

/** @param paused whether an admin had paused it before. */
async function kills(
  lab: XenLab,
  name: string,
  count: number,
  paused: boolean,
  options: CheckOptions,
): Promise<void> {
  const start = Date.now();
  // With the names and tables of the guest's memory: the domain stands still for most of the time.
  await lab.ok(`${TOOLS}/xenctx.js -C ${name}`);
  const span = (Date.now() - start) / 1000;
  const tally = { held: 0, wrong: 0 };
  for (let index = 0; index < count; index++) {
    const signal = index % 2 === 0 ? 'INT' : 'KILL';
    const isPaused = `xl list ${name} | grep -q -- '--p---'`;
    const seconds = (chance(`${name} ${index}`) * span).toFixed(2);
    // The pause is short: every fourth pair of kills waits for it.
    const moment =
      !paused && index % 8 >= 6
        ? `held=0; while kill -0 $pid 2>/dev/null; do ${isPaused} && { held=1; break; }; done`
        : `sleep ${seconds}; ${isPaused} && held=1 || held=0`;
    const { held, state } = await killOnce(lab, name, signal, moment);
    if (held) tally.held++;
    if ((state[2] === 'p') !== paused) tally.wrong++;
    options.progress(
      `kill ${index + 1} of ${count} (SIG${signal}): ${held ? 'while paused, ' : ''}now ${state}`,
    );
  }
  options.report({
    check: `killed ${count} times (SIGINT, SIGKILL): ${name}${paused ? ', paused by the admin' : ''}`,
    passed: tally.wrong === 0 && tally.held > 0,
    detail: `${tally.wrong} times left otherwise than found${paused ? '' : `; ${tally.held} kills hit while it stood still`}`,
  });
}

/** What test/contract expects of every Target, as far as a guest of unknown content allows. */
async function contract(lab: XenLab, what: string, domid: number, options: CheckOptions): Promise<void> {
  copyFileSync(fileURLToPath(new URL('contract-in-dom0.mjs', import.meta.url)), lab.shared('contract.mjs'));
  const { status, output } = await lab.run(`cp /share/contract.mjs /app/; node /app/contract.mjs ${domid}`);
  options.report({ check: `contract: ${what}`, passed: status === 0, detail: output.trim() });
}

/** A report of a domain of the host, complete, and of a form that our tools read again. */
async function report(lab: XenLab, name: string, options: CheckOptions): Promise<void> {
  const { status, output } = await lab.run(
    `cd /tmp; ${TOOLS}/pvh-report.js collect xen:${name} -o /tmp/${name}.tar 2>&1; rc=$?
cp /tmp/${name}.tar /share/out/${name}.tar; exit $rc`,
  );
  // A report that can be read is the same crash as itself.
  const path = lab.shared(`out/${name}.tar`);
  const { status: compared } = spawnSync(process.execPath, [REPORT_TOOL, 'diff', path, path]);
  const said = output.replace(/^(Reading|Collecting|Waiting|Packing).*\n/gm, '').trim();
  options.report({
    check: `report: ${name}`,
    passed: status === 0 && compared === 0,
    detail: `collect exits ${status}, diff with itself ${compared}\n${said}`,
  });
}

/** A number that host and runtime both know is refused with both forms of it; with either form it is clear. */
async function twoOfAName(lab: XenLab, domid: number, options: CheckOptions): Promise<void> {
  const record = domainRecord({ domid, name: 'ours', state: 'shutdown' });
  writeFileSync(lab.shared('domain.json'), JSON.stringify(record));
  const { status, output } = await lab.run(`
export PVH_STATE_DIR=/tmp/state
mkdir -p $PVH_STATE_DIR/domains/${domid}
cp /share/domain.json $PVH_STATE_DIR/domains/${domid}/
${TOOLS}/xenctx.js -C ${domid} 2>&1; rc=$?; rm -r $PVH_STATE_DIR; exit $rc`);
  const told = output.includes(`xen:${domid}`) && output.includes(`pvh:${domid}`);
  options.report({
    check: 'a number that two domains have',
    passed: told && status === 2,
    detail: output.trim(),
  });
}

/** Who is not root is told what root would have had. */
async function withoutRoot(lab: XenLab, name: string, options: CheckOptions): Promise<void> {
  const asNobody = (tool: string, args: string): string =>
    `HOME=/tmp node -e 'process.setgid(65534);process.setuid(65534);process.argv.splice(1,0,"tool");import("/app/dist/tools/bin/${tool}.js")' ${args} 2>&1`;
  const xenctx = await lab.run(asNobody('xenctx', `xen:${name}`));
  options.report({
    check: `xenctx, not as root: ${name}`,
    passed: xenctx.status === 2 && /root/.test(xenctx.output),
    detail: `exit ${xenctx.status}: ${xenctx.output.trim()}`,
  });
  const collect = await lab.run(asNobody('pvh-report', `collect -q xen:${name} -o /tmp/nobody.tar.gz`));
  options.report({
    check: `collect, not as root: ${name}`,
    passed: collect.status === 3 && /run it as root/.test(collect.output),
    detail: `exit ${collect.status}: ${collect.output.trim()}`,
  });
}

/** All checks, in an order that keeps the lab's two CPUs free. */
export async function runChecks(lab: XenLab, options: CheckOptions): Promise<void> {
  for (const deed of ['module', 'sysrq'] as const) {
    const name = `crashed-${deed}`;
    const domid = await guest(lab, name, deed, options);
    await compare(lab, `${name}, 2 vCPUs`, domid, false, options);
    await trace(lab, name, options);
    if (deed === 'sysrq') continue;
    await contract(lab, name, domid, options);
    await twoOfAName(lab, domid, options);
    await report(lab, name, options);
  }
  const idle = await guest(lab, 'idle', 'idle', options);
  await compare(lab, 'idle, 2 vCPUs', idle, true, options);
  await contract(lab, 'idle', idle, options);
  await report(lab, 'idle', options);
  await kills(lab, 'idle', options.kills, false, options);
  await lab.ok('xl pause idle');
  await compare(lab, 'idle, paused by the admin', idle, false, options);
  await kills(lab, 'idle', 4, true, options);
  await lab.ok('xl unpause idle');
  const state = await lab.state(idle);
  options.report({ check: 'one unpause makes it run again', passed: state[2] !== 'p', detail: state });
  await withoutRoot(lab, 'idle', options);
  await lab.ok('xl destroy idle');
  for (const deed of ['sysrq', 'idle'] as const) {
    const name = `pv-${deed}`;
    const domid = await guest(lab, name, deed, options, 'pv');
    await compare(lab, `${name}, 2 vCPUs`, domid, deed === 'idle', options);
    if (deed === 'sysrq') await trace(lab, name, options);
    await lab.ok(`xl destroy ${name}`);
  }
  const spinning = await guest(lab, 'spinning', 'spin', options);
  await compare(lab, 'spinning, 2 vCPUs', spinning, true, options);
  await lab.ok('xl pause spinning');
  await compare(lab, 'spinning, paused by the admin', spinning, false, options);
}
