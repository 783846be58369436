// The published JSON Schemas say what real reports have and what --json prints, and no more.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { unpackReport } from '../../tools/pvh-report/report.ts';
import { Host } from '../kernel/guest.ts';
import { Schemas } from '../support/json-schema.ts';
import { collectReport, crash, vmlinuxOf } from './crashed.ts';
import { packReport } from './support.ts';
import { XenHost } from './xen-host.ts';

const NAMES = ['manifest', 'crash', 'target', 'signature'];
const schemas = new Schemas();

const host = new Host();
const xen = new XenHost();
const reports = new Map<string, string>();
beforeAll(async () => {
  const out = (name: string) => join(host.stateDir, `${name}.tar.gz`);
  const domid = await crash(host, 'crash-on-vcpu1');
  reports.set('plain', collectReport(host, domid, '-o', out('plain')).path);
  const vmlinux = vmlinuxOf('crash-on-vcpu1');
  reports.set('named', collectReport(host, domid, '-s', vmlinux, '-o', out('named')).path);
  reports.set('image', collectReport(host, domid, '--memory=all', '-o', out('image')).path);
  const core = host.file(domid, 'core.elf');
  host.ok('pvh-report', 'collect', core, '-q', '-o', out('file'));
  reports.set('file', out('file'));
  reports.set('xen', (await xen.collect()).report);
  reports.set('partial', (await xen.collect({}, { openFails: 'no usable libxenctrl' })).report);
  await prepareCommands(domid, core, vmlinux);
});
afterAll(() => {
  host[Symbol.dispose]();
  xen[Symbol.dispose]();
});

async function documents(report: string): Promise<(readonly [name: string, value: unknown])[]> {
  const { files } = await unpackReport(reports.get(report) ?? '');
  return NAMES.flatMap((name) => {
    const bytes = files.get(`${name}.json`);
    return bytes === undefined ? [] : [[name, JSON.parse(new TextDecoder().decode(bytes))] as const];
  });
}

describe.each(['plain', 'named', 'image', 'file', 'xen', 'partial'])('a report (%s)', (report) => {
  test('is what the schemas say', async () => {
    for (const [name, value] of await documents(report)) expect(schemas.violations(name, value)).toEqual([]);
  });
});

const wrong: [string, string, (value: Record<string, unknown>) => unknown][] = [
  ['manifest', 'another schema', (value) => ({ ...value, schema: 'pvh-report/2' })],
  ['manifest', 'no files', ({ files: _, ...rest }) => rest],
  ['manifest', 'a path as a name', (value) => ({ ...value, files: [{ name: '../x' }] })],
  [
    'crash',
    'an address of 17 digits',
    (value) => JSON.parse(JSON.stringify(value).replace('"address":"', '$&0')),
  ],
  [
    'target',
    'a register that is no number',
    (value) => JSON.parse(JSON.stringify(value).replace('"rax":"', '$&x')),
  ],
];
test.each(wrong)('%s.json with %s is not', async (name, _, change) => {
  const value = new Map(await documents('plain')).get(name);
  expect(schemas.violations(name, change(value as Record<string, unknown>))).not.toEqual([]); // JSON of ours
});

/** What stands for it behind an @ in a command. */
const words = new Map<string, string>();

async function prepareCommands(domid: number, core: string, vmlinux: string): Promise<void> {
  const made = (name: string): string => join(host.stateDir, name);
  const linux = fileURLToPath(new URL('../golden/xen-4.17/core.sysrq1.reduced.gz', import.meta.url));
  writeFileSync(made('linux.core'), gunzipSync(readFileSync(linux)));
  const line = (seconds: string, text: string): string => `[    ${seconds}] ${text}\n`;
  const begin = line('0.000000', 'Linux version 6.1.0 (x)') + line('1.000000', 'Run /init as init process');
  const crashed = line('9.000000', 'Kernel panic - not syncing: no root');
  const [left, right] = [
    {
      console: `${begin}${line('2.0', 'a line')}${line('3.0', 'then')}${crashed}`,
      config: 'extra = "a b"\n',
    },
    {
      console: `${begin}${line('7.0', 'another')}${line('8.0', 'then')}${crashed}`,
      config: 'extra = "a c"\n',
    },
  ];
  writeFileSync(made('left'), await packReport({ ...left, frames: ['panic', 'mount+0x1/0x9'] }));
  writeFileSync(made('right'), await packReport({ ...right, frames: ['panic', 'mount+0x2/0x9', 'init'] }));
  mkdirSync(made('many'));
  for (const [name, report] of reports) copyFileSync(report, made(`many/${name}.tar.gz`));
  writeFileSync(made('many/bad.tar.gz'), 'no report');
  host.ok('pvh-report', 'stash', '-q', vmlinux);
  const names = ['linux.core', 'left', 'right', 'many', 'new', 'redacted', 'replayed.core'];
  for (const [name, word] of [
    ...reports,
    ...names.map((name) => [name, made(name)] as const),
    ...Object.entries({ domid: String(domid), core, vmlinux }),
  ])
    words.set(name, word);
}

type Command = readonly [schema: string, tool: 'pvh-report' | 'xenctx' | 'xl', args: string];
const COMMANDS: readonly Command[] = [
  ['collect', 'pvh-report', 'collect @domid -q --json -o @new'],
  ['plan', 'pvh-report', 'collect @domid --dry-run --json --skip console*'],
  ['plan', 'pvh-report', 'collect @core --dry-run --json'],
  ['estimate', 'pvh-report', 'collect @domid -q --estimate --json --memory=all'],
  ['replay', 'pvh-report', 'replay @plain -q --json --kernel @vmlinux --core @replayed.core'],
  ['diff', 'pvh-report', 'diff @plain @named --json'],
  ['diff', 'pvh-report', 'diff @plain @xen --json'],
  ['diff', 'pvh-report', 'diff @file @partial --json'],
  ['diff', 'pvh-report', 'diff @left @right --json'],
  [
    'diff',
    'pvh-report',
    'diff @left @right --json --only console,stack --ignore console:*line --baseline @plain',
  ],
  ['triage', 'pvh-report', 'triage @many -q --json'],
  ['signature', 'pvh-report', 'signature @plain --json'],
  ['signature', 'pvh-report', 'signature @partial --json'],
  ['redact', 'pvh-report', 'redact @plain -q --json -o @redacted'],
  ['stash-list', 'pvh-report', 'stash --list --json'],
  ['xenctx', 'xenctx', '--json -C @core -s @vmlinux --lines --disassemble --registers-of-frame 0'],
  ['xenctx', 'xenctx', '--json -C @core'],
  ['xenctx', 'xenctx', '--json --classic -a -S @core -s @vmlinux'],
  ['xenctx', 'xenctx', '--json -C --all-tasks --modules --dmesg --lines @linux.core'],
  ['xl#list', 'xl', 'list --json'],
  ['xl#vcpu-list', 'xl', 'vcpu-list --json'],
  ['xl#uptime', 'xl', 'uptime --json'],
  ['xl#info', 'xl', 'info --json'],
];

describe('what is printed', () => {
  test.each(COMMANDS)('(%s) by %s %s', (name, tool, args) => {
    const argv = args.split(' ').map((word) => words.get(word.replace(/^@/, '')) ?? word);
    const { stdout, stderr } = host.run(tool, ...argv);
    expect(stdout, stderr).not.toBe('');
    const value: unknown = JSON.parse(stdout);
    expect(schemas.violations(name, value)).toEqual([]);
    const more = Array.isArray(value) ? [...value, { more: {} }] : { ...(value as object), more: {} }; // JSON
    expect(schemas.violations(name, more)).not.toEqual([]);
  });

  test('has a schema, and no schema is of what is not', () => {
    const used = [...NAMES, ...COMMANDS.map(([name]) => name.replace(/#.*/, ''))];
    expect([...new Set(used)].sort()).toEqual([...schemas.names].sort());
  });
});
