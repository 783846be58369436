// The published JSON Schemas say what real reports have, and no more.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { unpackReport } from '../../tools/pvh-report/report.ts';
import { Host } from '../kernel/guest.ts';
import { violations } from '../support/json-schema.ts';
import { collectReport, crash, vmlinuxOf } from './crashed.ts';
import { XenHost } from './xen-host.ts';

const folder = fileURLToPath(new URL('../../docs/schema/', import.meta.url));
const NAMES = ['manifest', 'crash', 'target'];
const schemaOf = (name: string) => JSON.parse(readFileSync(join(folder, `${name}.schema.json`), 'utf8'));

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
    for (const [name, value] of await documents(report))
      expect(violations(schemaOf(name), value)).toEqual([]);
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
  expect(violations(schemaOf(name), change(value as Record<string, unknown>))).not.toEqual([]); // JSON of ours
});
