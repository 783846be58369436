// Each kind of Target over the same small guest, held to the same expectations.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { afterAll, beforeAll } from 'vitest';
import { ControlServer } from '../../core/domain/control-server.ts';
import { Registry } from '../../core/domain/registry.ts';
import { type DumpImage, writeDumpCore } from '../../core/dump/dump-core.ts';
import { createFile } from '../../core/host/files.ts';
import { identifyProcess } from '../../core/host/process-identity.ts';
import { openTarget } from '../../core/target/open.ts';
import { domainRecord } from '../support/domain-record.ts';
import { writeElf } from '../support/elf-writer.ts';
import { GdbServer } from '../support/gdb.ts';
import { flatten, writeKdump } from '../support/kdump-writer.ts';
import { registersWith } from '../support/registers.ts';
import { hvmContextRecord, pageDataRecord, writeSaved } from '../support/saved-writer.ts';
import { prstatusNote, qemuNote, vmcoreinfoNote } from '../support/vmcore-notes.ts';
import { CONTRACT_FRAMES, CONTRACT_RIP, CONTRACT_RSP, contractPage, targetContract } from './expectations.ts';

const folder = mkdtempSync(join(tmpdir(), 'pvh-contract-'));
const registry = new Registry(join(folder, 'state'));
afterAll(() => rmSync(folder, { recursive: true }));

const registers = registersWith({ rip: CONTRACT_RIP, rsp: CONTRACT_RSP, dr7: 0x400n, efer: 0xd01n });
const image: DumpImage = {
  vcpus: [
    { id: 0, online: true, registers },
    { id: 1, online: false, registers: registersWith({}) },
  ],
  xen: { major: 4, minor: 17, extra: '.0-pvh' },
  frames: CONTRACT_FRAMES.map((gfn) => [gfn, contractPage(gfn)] as const),
};
const writeCore = (path: string) => createFile(path, (file) => writeDumpCore(file, image));
const qemuNotes = Buffer.concat([
  qemuNote({ 6: CONTRACT_RSP, 16: CONTRACT_RIP, 48: 0x80050033n, 51: 0x1000n, 52: 0x20n }),
  qemuNote({}),
]);
const linuxNotes = Buffer.concat([
  prstatusNote({ 16: CONTRACT_RIP, 19: CONTRACT_RSP }),
  prstatusNote({}),
  vmcoreinfoNote(['SYMBOL(swapper_pg_dir)=ffffffff80001000', 'NUMBER(phys_base)=0']),
]);

/** Opens bytes as a user does: out of a file. */
function inFile(name: string, bytes: Uint8Array): () => ReturnType<typeof openTarget> {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return () => openTarget(path, { registry });
}

const elf = (notes: Uint8Array): Uint8Array =>
  writeElf({
    type: 4,
    segments: [
      { type: 4, data: notes },
      { type: 1, physicalAddress: 0x1000n, data: Buffer.concat([contractPage(1), contractPage(2)]) },
      { type: 1, physicalAddress: 0x10000n, data: contractPage(16) },
    ],
  });
const kdump = (notes: Uint8Array): Uint8Array =>
  writeKdump({
    notes,
    pages: CONTRACT_FRAMES.map((pfn) => ({ pfn, flags: 1, bytes: deflateSync(contractPage(pfn)) })),
  });

const corePath = join(folder, 'core');
writeCore(corePath);
targetContract('dump-core', () => openTarget(corePath, { registry }));
targetContract('elf-vmcore', inFile('qemu.elf', elf(qemuNotes)));
targetContract('elf-vmcore', inFile('linux.elf', elf(linuxNotes)));
targetContract('elf-vmcore', inFile('flat.elf', flatten([[0, elf(qemuNotes)]])));
targetContract('kdump', inFile('qemu.kdump', kdump(qemuNotes)));
targetContract('kdump', inFile('linux.kdump', kdump(linuxNotes)));
targetContract('kdump', inFile('flat.kdump', flatten([[0, kdump(linuxNotes)]])));
targetContract(
  'saved',
  inFile(
    'web.save',
    writeSaved({
      records: [
        pageDataRecord(CONTRACT_FRAMES.map((pfn) => ({ pfn, bytes: contractPage(pfn) }))),
        hvmContextRecord([registers, undefined]),
      ],
    }),
  ),
);

let stub: GdbServer;
beforeAll(async () => {
  stub = await GdbServer.start(join(folder, 'state'), corePath);
});
afterAll(() => stub[Symbol.asyncDispose]());
targetContract('gdb-stub', () => openTarget(`gdb:${stub.address}`, { registry }));

let server: ControlServer;
beforeAll(async () => {
  const kept = await registry.allocate('kept', (domid) => ({
    record: domainRecord({
      domid,
      name: 'kept',
      state: 'shutdown',
      shutdownReason: 'crash',
      preserved: true,
    }),
    config: '',
  }));
  writeCore(registry.files(kept.domid).core);
  writeFileSync(registry.files(kept.domid).console, 'Kernel panic\r\n');
  const running = await registry.allocate('running', (domid) => ({
    record: domainRecord({ domid, name: 'running', state: 'running', process: identifyProcess() }),
    config: '',
  }));
  writeFileSync(registry.files(running.domid).console, '');
  server = new ControlServer(registry.files(running.domid).socket, {
    answer(request, onGone) {
      if (request.op !== 'snapshot') return { ok: false, error: request.op };
      const path = join(folder, 'snapshot');
      writeCore(path);
      onGone(() => rmSync(path, { force: true }));
      return { ok: true, path };
    },
    typed: () => undefined,
    attached: () => undefined,
  });
  await server.listen();
});
afterAll(() => server.close());
targetContract('preserved', () => openTarget('kept', { registry }));
targetContract('live', () => openTarget('running', { registry }));
