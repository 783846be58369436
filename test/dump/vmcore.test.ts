// Memory dumps that are written, read again by our own readers: what goes in comes out, and what is not known is not there.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Registry } from '../../core/domain/registry.ts';
import { writeElfVmcore } from '../../core/dump/elf-vmcore.ts';
import { writeKdump } from '../../core/dump/kdump.ts';
import type { PhysicalFrames, VmcoreImage } from '../../core/dump/vmcore-image.ts';
import { createFile } from '../../core/host/files.ts';
import type { MachineRegisters, Segment } from '../../core/machine/registers.ts';
import { openDumpFile } from '../../core/target/dump-file.ts';
import { openTarget } from '../../core/target/open.ts';
import { openElf } from '../../symbols/elf/elf-file.ts';
import { readNotes } from '../../symbols/elf/notes.ts';
import { MemoryFault } from '../../symbols/errors.ts';
import {
  CONTRACT_FRAMES,
  CONTRACT_RIP,
  CONTRACT_RSP,
  contractPage,
  targetContract,
} from '../contract/expectations.ts';
import { registersWith } from '../support/registers.ts';
import { SparseFile } from '../support/sparse-file.ts';

const PAGE = 4096;

/** Frames full of their own number; of `zero` full of zeros, of `lost` listed and not readable. */
function framesOf(
  gfns: readonly number[],
  { zero = [], lost = [] }: { zero?: readonly number[]; lost?: readonly number[] } = {},
): PhysicalFrames {
  const frames: [number, number][] = [];
  for (const gfn of gfns) {
    const last = frames.at(-1);
    if (last && last[0] + last[1] === gfn) last[1]++;
    else frames.push([gfn, 1]);
  }
  const held = new Set(gfns.filter((gfn) => !lost.includes(gfn)));
  const zeros = new Set(zero);
  return {
    frames,
    readPhysical(address, into) {
      for (let at = 0; at < into.length; at += PAGE) {
        const gfn = Math.floor((address + at) / PAGE);
        if (!held.has(gfn)) throw new MemoryFault('physical', BigInt(address + at), 'not in dump');
        into.fill(zeros.has(gfn) ? 0 : gfn, at, at + PAGE);
      }
    },
  };
}

const segment = (selector: number, base: bigint, attributes: number): Segment => ({
  selector,
  base,
  limit: 0xffff_ffff,
  attributes,
});

/** All that QEMU's note has room for, each with a value of its own. */
const whole = (values: Partial<MachineRegisters>): MachineRegisters => ({
  ...registersWith({
    ...{ rax: 1n, rbx: 2n, rcx: 3n, rdx: 4n, rsi: 5n, rdi: 6n, rbp: 7n, rsp: CONTRACT_RSP, r8: 8n, r9: 9n },
    ...{ r10: 10n, r11: 11n, r12: 12n, r13: 13n, r14: 14n, r15: 15n, rip: CONTRACT_RIP, rflags: 0x246n },
    ...{ cr0: 0x8005_0033n, cr2: 0x1000n, cr3: 0x2000n, cr4: 0x20n, kernel_gs_base: 0x7000n },
    cs: segment(0x10, 0n, 0xa09b),
    ds: segment(0, 0n, 0xc093),
    es: segment(0, 0n, 0xc093),
    fs: segment(0, 0x6000n, 0xc093),
    gs: segment(0, 0xffff_8880_0f80_0000n, 0xc093),
    ss: segment(0x18, 0n, 0xc093),
    tr: segment(0x40, 0xffff_fe00_0000_3000n, 0x8b),
    ldtr: segment(0, 0n, 0x82),
    gdtr: { base: 0xffff_fe00_0000_1000n, limit: 0x7f },
    idtr: { base: 0xffff_fe00_0000_0000n, limit: 0xfff },
  }),
  ...values,
});

const contractImage: VmcoreImage = {
  cpus: [
    { registers: whole({}), pid: 1 },
    { registers: whole({ rip: 5n }), pid: 0 },
  ],
  memory: {
    frames: [
      [1, 2],
      [16, 1],
    ],
    readPhysical: framesOf(CONTRACT_FRAMES).readPhysical,
  },
  mappings: [],
};

const WRITERS = { 'elf-vmcore': writeElfVmcore, kdump: writeKdump } as const;
const kinds = ['elf-vmcore', 'kdump'] as const;

const folder = mkdtempSync(join(tmpdir(), 'pvh-vmcore-'));
afterAll(() => rmSync(folder, { recursive: true }));
const registry = new Registry(join(folder, 'state'));
for (const kind of kinds) {
  const path = join(folder, kind);
  createFile(path, (file) => {
    WRITERS[kind](file, contractImage);
  });
  targetContract(kind, () => openTarget(path, { registry }));
}

function written(kind: (typeof kinds)[number], image: Partial<VmcoreImage>) {
  const file = new SparseFile(kind);
  const summary = WRITERS[kind](file, { ...contractImage, ...image });
  return { file, summary, target: openDumpFile(file, () => undefined) };
}

const read = (target: ReturnType<typeof openDumpFile>, gfn: number): number[] => {
  const page = new Uint8Array(PAGE);
  target.readPhysical(gfn * PAGE, page);
  return [...page];
};

describe.each(kinds)('%s', (kind) => {
  test('registers come back as they were', () => {
    const { target } = written(kind, {});
    expect(target.vcpus.map(({ registers }) => registers)).toMatchObject([whole({}), whole({ rip: 5n })]);
  });

  test('a CPU of which less is known has no made-up state, and none of the others either', () => {
    const { idtr, gdtr, ...less } = whole({});
    const { target, file } = written(kind, {
      cpus: [
        { registers: whole({}), pid: 1 },
        { registers: less, pid: 2 },
      ],
      vmcoreinfo: 'OSRELEASE=6.1\nSYMBOL(swapper_pg_dir)=ffffffff82a10000\nNUMBER(phys_base)=0\n',
    });
    expect(Buffer.from(file.read(0, Math.min(file.size, 1 << 16))).includes('QEMU\0')).toBe(false);
    expect(target.vcpus.map(({ registers }) => registers?.rip)).toEqual([CONTRACT_RIP, CONTRACT_RIP]);
    expect(target.vcpus.map(({ registers }) => registers?.cr3)).toEqual([undefined, undefined]);
    // Linux has the base of user mode there, and so it is read.
    expect(target.vcpus[0]?.registers?.kernel_gs_base).toBe(0x7000n);
    expect(target.vcpus[0]?.registers?.gs.base).toBeUndefined();
    expect(target.paging).toEqual({ root: 0x2a10000, levels: 4 });
    expect(target.lacks.join()).toContain('CR3');
  });

  test('a CPU without registers keeps its place', () => {
    const { target } = written(kind, {
      cpus: [{ pid: 1 }, { registers: whole({ rip: 5n }), pid: 2 }],
      vmcoreinfo: 'OSRELEASE=6.1\n',
    });
    expect(target.vcpus[0]?.registers).toBeUndefined();
    expect(target.vcpus[0]?.missing).toMatch(/short/);
    expect(target.vcpus[1]?.registers?.rip).toBe(5n);
  });

  test('pages of zeros take no room, and are zeros', () => {
    const gfns = Array.from({ length: 600 }, (_, index) => index + 1);
    const zero = gfns.filter((gfn) => gfn !== 7);
    const { target, file } = written(kind, { memory: framesOf(gfns, { zero }) });
    expect(target.frames).toEqual([[1, 600]]);
    expect(read(target, 600)).toEqual([...new Uint8Array(PAGE)]);
    expect(read(target, 7)).toEqual([...contractPage(7)]);
    expect(file.stored).toBeLessThan(600 * 24 + 8 * PAGE);
  });

  test('frames that cannot be read are not in the file', () => {
    const lost = [3, 4, 300];
    const gfns = Array.from({ length: 400 }, (_, index) => index);
    const { target, summary } = written(kind, { memory: framesOf(gfns, { lost }) });
    expect(summary.unreadable).toBe(3);
    expect(target.frames).toEqual([
      [0, 3],
      [5, 295],
      [301, 99],
    ]);
    expect(() => read(target, 4)).toThrow(MemoryFault);
    for (const gfn of [0, 2, 5, 255, 256, 299, 301, 399])
      expect(read(target, gfn)).toEqual([...contractPage(gfn)]);
  });

  test('the same bytes each time', () => {
    const [a, b] = [written(kind, {}), written(kind, {})].map(({ file }) => file.read(0, file.size));
    expect(a).toEqual(b);
  });

  test('no memory at all', () => {
    const file = new SparseFile(kind);
    expect(WRITERS[kind](file, { ...contractImage, memory: framesOf([]) })).toMatchObject({ unreadable: 0 });
  });
});

describe('elf-vmcore: segments', () => {
  const loads = (image: Partial<VmcoreImage>) => {
    const { file, summary } = written('elf-vmcore', image);
    const all = openElf(file).segments.filter(({ type }) => type === 1);
    const described = all.map(
      ({ virtualAddress, physicalAddress, fileSize }) =>
        [virtualAddress.toString(16), physicalAddress.toString(16), fileSize / PAGE] as const,
    );
    return { described, all, file, summary };
  };

  test('memory stands at the direct mapping', () => {
    expect(loads({ directMap: 0xffff_8880_0000_0000n }).described).toEqual([
      ['ffff888000001000', '1000', 2],
      ['ffff888000010000', '10000', 1],
    ]);
  });

  test('without one, where no CPU has an address', () => {
    expect(loads({}).described[0]).toEqual(['8000000000001000', '1000', 2]);
  });

  test('a mapping shows what the file has of it, at the same place of the file', () => {
    const mappings = [{ virtual: 0xffff_c900_0000_0000n, physical: 2 * PAGE, length: 15 * PAGE }];
    const { described, all, file } = loads({ mappings });
    expect(described.slice(2)).toEqual([
      ['ffffc90000000000', '2000', 1],
      ['ffffc9000000e000', '10000', 1],
    ]);
    for (const { offset, physicalAddress } of all)
      expect(file.read(offset, 1)[0]).toBe(Number(physicalAddress) / PAGE);
  });

  test('more mappings than there is room for are counted', () => {
    const mappings = Array.from({ length: 40_000 }, (_, index) => ({
      virtual: 0xffff_c900_0000_0000n + BigInt(index * 2 * PAGE),
      physical: PAGE,
      length: PAGE,
    }));
    const { described, summary } = loads({ mappings });
    expect(described).toHaveLength(0x8000 - 2);
    expect(summary.cut).toBe(40_000 + 2 - (0x8000 - 2));
  });

  test('memory in more pieces than segments: it says what to do', () => {
    const gfns = Array.from({ length: 33_000 }, (_, index) => index * 2);
    expect(() => loads({ memory: framesOf(gfns, { zero: gfns }) })).toThrow(
      'memory lies in 33000 pieces, an ELF file has room for 32766: export it as kdump',
    );
  });

  test('CPUs that run tasks of one number have notes that gdb tells apart', () => {
    const idle = { registers: whole({}), pid: 0 };
    const { file } = written('elf-vmcore', { cpus: [idle, idle, { ...idle, pid: 7 }] });
    const statuses = readNotes(openElf(file)).filter(({ type }) => type === 1);
    const pidOf = (bytes: Uint8Array): number =>
      new DataView(bytes.buffer, bytes.byteOffset).getInt32(32, true);
    expect(statuses.map(({ name, descriptor }) => [name, pidOf(descriptor), descriptor.length])).toEqual([
      ['CORE', 0, 552],
      ['CORE', 0, 552],
      ['CORE', 7, 552],
      ['CPU', 1, 336],
      ['CPU', 2, 336],
      ['CPU', 3, 336],
    ]);
    expect(openDumpFile(file, () => undefined).vcpus).toHaveLength(3);
  });
});

test('kdump: memory above what a reader takes', () => {
  expect(() =>
    written('kdump', { memory: { frames: [[2 ** 40, 1]], readPhysical: () => undefined } }),
  ).toThrow('memory above 16 TiB');
});
