// A Linux guest that panics under QEMU, as a dump-core file: kernels that are moved by KASLR, which under PVH none is. The dump is
// QEMU's dump-guest-memory; its notes: include/standard-headers and target/i386/arch_dump.c of QEMU 7.2.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { writeDumpCore } from '../../core/dump/dump-core.ts';
import { FileSource } from '../../core/host/file-source.ts';
import { createFile } from '../../core/host/files.ts';
import { GENERAL_REGISTERS, type VcpuRegisters } from '../../core/machine/registers.ts';
import { ByteReader } from '../../symbols/bytes.ts';
import { PT_LOAD } from '../../symbols/elf/constants.ts';
import { type ElfFile, openElf } from '../../symbols/elf/elf-file.ts';
import { readNotes } from '../../symbols/elf/notes.ts';
import { registersWith } from './registers.ts';

const QEMU = 'qemu-system-x86_64';
const PAGE = 4096;
const PATIENCE_MS = 180_000;

export const hasQemu: boolean = process.env['CI'] === 'true' || spawnSync(QEMU, ['--version']).status === 0;

const sleep = (milliseconds: number): Promise<void> => new Promise((wake) => setTimeout(wake, milliseconds));

async function until(what: string, done: () => boolean): Promise<void> {
  for (const end = Date.now() + PATIENCE_MS; !done(); await sleep(100))
    if (Date.now() > end) throw new Error(`QEMU: ${what} does not come`);
}

/** Runs QMP commands one after the other. */
async function qmp(socket: string, commands: readonly object[]): Promise<void> {
  const connection = connect(socket);
  try {
    const lines = createInterface({ input: connection })[Symbol.asyncIterator]();
    const answer = async (): Promise<void> => {
      for (;;) {
        const { value, done } = await lines.next();
        if (done) throw new Error('QEMU has gone');
        const message: Record<string, unknown> = JSON.parse(value);
        if (message['error']) throw new Error(`QEMU: ${value}`);
        if ('return' in message || 'QMP' in message) return;
      }
    };
    await answer();
    for (const command of commands) {
      connection.write(`${JSON.stringify(command)}\n`);
      await answer();
    }
  } finally {
    connection.destroy();
  }
}

/** Order of the general registers in QEMUCPUState. */
const QEMU_ORDER = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rsp', 'rbp'] as const;

/** QEMUCPUState: registers, ten segments of 24 bytes, control registers. */
function registersOf(note: Uint8Array): VcpuRegisters {
  const reader = new ByteReader('QEMU note', note).skip(8);
  const general = [...QEMU_ORDER, ...GENERAL_REGISTERS.slice(8)].map((name) => [name, reader.u64()] as const);
  const [rip, rflags] = [reader.u64(), reader.u64()];
  const segments = Array.from({ length: 10 }, () => {
    const [selector, limit] = [reader.u32(), reader.u32()];
    return { selector, limit, base: reader.skip(8).u64() };
  });
  const [cs, ds, es, fs, gs, ss, , tr, gdt, idt] = segments;
  const [cr0, , cr2, cr3, cr4] = Array.from({ length: 5 }, () => reader.u64());
  if (!cs || !ds || !es || !fs || !gs || !ss || !gdt || !idt) throw new Error('ten segments');
  return registersWith({
    ...Object.fromEntries(general),
    ...{ rip, rflags, cs, ds, es, fs, gs, ss, tr, gdtr: gdt, idtr: idt },
    ...{ cr0: cr0 ?? 0n, cr2: cr2 ?? 0n, cr3: cr3 ?? 0n, cr4: cr4 ?? 0n, efer: 0xd01n },
  });
}

function* framesOf(elf: ElfFile, memoryBytes: number): Generator<readonly [number, Uint8Array | undefined]> {
  const ram = elf.segments
    .filter(({ type, physicalAddress }) => type === PT_LOAD && physicalAddress < BigInt(memoryBytes))
    .sort((a, b) => (a.physicalAddress < b.physicalAddress ? -1 : 1));
  for (const { physicalAddress, fileSize, offset } of ram)
    for (let at = 0; at + PAGE <= fileSize; at += PAGE) {
      const page = elf.source.read(offset + at, PAGE);
      yield [Number(physicalAddress) / PAGE + at / PAGE, page.some((byte) => byte !== 0) ? page : undefined];
    }
}

/** Boots a kernel without a root file system, and writes what its panic leaves to `core`. @returns its console. */
export async function crashUnderQemu(kernel: string, core: string, folder: string): Promise<string> {
  const [console, socket, dump] = ['console', 'qmp', 'dump'].map((name) => join(folder, name));
  if (!console || !socket || !dump) throw new Error('three files');
  const memoryMiB = 192;
  const qemu = spawn(
    QEMU,
    [
      ...[
        '-accel',
        'tcg',
        '-cpu',
        'max',
        '-smp',
        '1',
        '-m',
        String(memoryMiB),
        '-nodefaults',
        '-display',
        'none',
      ],
      ...['-no-reboot', '-serial', `file:${console}`, '-qmp', `unix:${socket},server=on,wait=off`],
      ...['-kernel', kernel, '-append', 'console=ttyS0 panic=0'],
    ],
    { stdio: 'ignore' },
  );
  const ended = new Promise((resolve) => qemu.once('exit', resolve));
  try {
    await until(
      'the panic',
      () => existsSync(console) && readFileSync(console, 'latin1').includes('end Kernel panic'),
    );
    const ask = { paging: false, protocol: `file:${dump}` };
    await qmp(socket, [
      { execute: 'qmp_capabilities' },
      { execute: 'stop' },
      { execute: 'dump-guest-memory', arguments: ask },
    ]);
  } finally {
    qemu.kill('SIGKILL');
    await ended;
  }
  const source = new FileSource(dump);
  const elf = openElf(source);
  const states = readNotes(elf).filter(({ name }) => name === 'QEMU');
  createFile(core, (file) =>
    writeDumpCore(file, {
      vcpus: states.map(({ descriptor }, id) => ({ id, online: true, registers: registersOf(descriptor) })),
      xen: { major: 4, minor: 17, extra: '.0' },
      frames: framesOf(elf, memoryMiB << 20),
    }),
  );
  source.close();
  rmSync(dump);
  return readFileSync(console, 'latin1');
}
