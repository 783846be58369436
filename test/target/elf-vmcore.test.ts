// ELF memory dumps: QEMU's and Linux's own, made by a writer; real ones are in qemu.test.ts.
import { describe, expect, test } from 'vitest';
import { openElfVmcore } from '../../core/target/elf-vmcore.ts';
import { VirtualMemory } from '../../core/target/virtual-memory.ts';
import { memorySource } from '../../symbols/bytes.ts';
import { FormatError, MemoryFault } from '../../symbols/errors.ts';
import { note, type SegmentInput, writeElf } from '../support/elf-writer.ts';
import { tablePage } from '../support/page-table.ts';
import { prstatusNote, qemuNote, vmcoreinfoNote } from '../support/vmcore-notes.ts';

const PT_LOAD = 1;
const PT_NOTE = 4;
const page = (fill: number) => new Uint8Array(4096).fill(fill);
const load = (physicalAddress: number, data: Uint8Array, virtualAddress = 0n): SegmentInput => ({
  type: PT_LOAD,
  physicalAddress: BigInt(physicalAddress),
  virtualAddress,
  data,
});
const core = (notes: readonly Uint8Array[], segments: readonly SegmentInput[], machine = 62) =>
  writeElf({ type: 4, machine, segments: [{ type: PT_NOTE, data: Buffer.concat(notes) }, ...segments] });
const open = (bytes: Uint8Array) => openElfVmcore(memorySource('vmcore', bytes));
const byteAt = (target: ReturnType<typeof open>, address: number) => {
  const into = new Uint8Array(1);
  target.readPhysical(address, into);
  return into[0];
};

describe('QEMU', () => {
  const bytes = core(
    [
      prstatusNote({ 16: 1n }),
      prstatusNote({ 16: 2n }),
      qemuNote({ 16: 0xffffffff81000000n, 17: 0x246n, 48: 0x80050033n, 51: 0x1000n, 52: 0x6b0n, 53: 7n }),
      qemuNote({ 16: 5n }),
    ],
    [load(0, page(1)), load(0x2000, page(2))],
  );
  const target = open(bytes);
  test("registers are QEMU's own, with control registers and hidden parts of segments", () => {
    expect(target.vcpus.map(({ id }) => id)).toEqual([0, 1]);
    expect(target.vcpus[0]?.registers).toMatchObject({
      ...{ rip: 0xffffffff81000000n, rflags: 0x246n, cr0: 0x80050033n, cr3: 0x1000n, cr4: 0x6b0n },
      cs: { selector: 0x10, limit: 0xffffffff, attributes: 0xa09b, base: 0n },
      gs: { base: 0x4000n },
      gdtr: { base: 0x8000n, limit: 0xffffffff },
      kernel_gs_base: 7n,
    });
    expect(target.vcpus[0]?.registers?.efer).toBeUndefined();
    expect(target.vcpus[0]?.registers?.dr7).toBeUndefined();
  });
  test('long mode is told by the code segment', () => {
    const registers = target.vcpus[0]?.registers;
    expect(registers && new VirtualMemory(target, registers).levels).toBe(4);
  });
  test('dumped by virtual addresses: segments show frames twice and in any order', () => {
    const paging = open(
      core(
        [qemuNote({})],
        [
          load(0x3000, page(3), 0xffffc90000000000n),
          load(0, Buffer.concat([page(0), page(1), page(2), page(3), page(4)]), 0xffff888000000000n),
          load(0x4000, Buffer.concat([page(4), page(5)]), 0xffffc90000002000n),
        ],
      ),
    );
    expect(paging.frames).toEqual([[0, 6]]);
    for (const frame of [0, 1, 2, 3, 4, 5]) expect(byteAt(paging, frame * 4096 + 9)).toBe(frame);
  });
});

describe('a dump that Linux made of itself', () => {
  // swapper_pg_dir at ffffffff82000000, loaded at 0x5000: 1 GiB behind ffffffff80000000 by pages of 2 MiB.
  const memory = [
    load(
      0x5000,
      Buffer.concat([tablePage({ 511: 0x6003n }), tablePage({ 510: 0x7003n }), tablePage({ 8: 0x200083n })]),
    ),
    load(0x200000, page(9)),
  ];
  const status = prstatusNote({ 16: 0xffffffff81001234n, 17: 0x10n, 21: 3n, 22: 4n });
  const info = [
    'OSRELEASE=6.1.0',
    'SYMBOL(swapper_pg_dir)=ffffffff82000000',
    `NUMBER(phys_base)=${0x5000 - 0x2000000}`,
    'NUMBER(pgtable_l5_enabled)=0',
  ];

  test('page tables are those of VMCOREINFO, and the target says so', () => {
    const target = open(core([status, vmcoreinfoNote(info)], memory));
    expect(target.paging).toEqual({ root: 0x5000, levels: 4 });
    expect(target.lacks.join('\n')).toContain('swapper_pg_dir by its VMCOREINFO');
    const registers = target.vcpus[0]?.registers;
    expect(registers).toBeDefined();
    if (!registers) return;
    const into = new Uint8Array(2);
    new VirtualMemory(target, registers).read(0xffffffff81000ffen, into);
    expect([...into]).toEqual([9, 9]);
  });
  test('registers that it lacks are absent, the GS base is the one of user mode', () => {
    const { registers } = open(core([status, vmcoreinfoNote(info)], memory)).vcpus[0] ?? {};
    expect(registers).toMatchObject({ rip: 0xffffffff81001234n, kernel_gs_base: 4n });
    for (const name of ['cr0', 'cr2', 'cr3', 'cr4', 'efer', 'dr7', 'idtr'] as const)
      expect(registers?.[name]).toBeUndefined();
    expect(registers?.gs.base).toBeUndefined();
    expect(registers?.fs.base).toBe(3n);
  });
  test('an old VMCOREINFO without phys_base: by the segment that maps the kernel', () => {
    const old = info.filter((line) => !line.includes('phys_base'));
    const image = load(0x200000, page(9), 0xffffffff821fb000n);
    expect(open(core([status, vmcoreinfoNote(old)], [...memory, image])).paging?.root).toBe(0x5000);
  });
  test('without VMCOREINFO virtual memory is a fault that says why', () => {
    const target = open(core([status], memory));
    const registers = target.vcpus[0]?.registers;
    expect(target.paging).toBeUndefined();
    expect(target.lacks.join('\n')).toContain('no VMCOREINFO leads to its page tables');
    if (registers)
      expect(() => new VirtualMemory(target, registers).read(0xffffffff81000000n, new Uint8Array(1))).toThrow(
        /page tables are not known/,
      );
  });
  test('a 32-bit kernel', () => {
    const words = new Uint8Array(144);
    new DataView(words.buffer).setUint32(72 + 12 * 4, 0xc1001234, true);
    new DataView(words.buffer).setUint32(72 + 13 * 4, 0x60, true);
    const target = open(core([note('CORE', 1, words), vmcoreinfoNote(['OSRELEASE=6.1'])], memory, 3));
    expect(target.vcpus[0]?.registers).toMatchObject({ rip: 0xc1001234n, cs: { selector: 0x60 } });
  });
});

describe('what is not whole', () => {
  const whole = core([qemuNote({})], [load(0x1000, page(1)), load(0x2000, page(2))]);
  test('a file that was cut off keeps what is there', () => {
    const target = open(whole.subarray(0, whole.length - 4096 - 100));
    expect(byteAt(target, 0x1000)).toBe(1);
    expect(() => byteAt(target, 0x1fff)).toThrow(MemoryFault);
    expect(() => byteAt(target, 0x2000)).toThrow('not in dump');
    expect(target.lacks.join('\n')).toContain('the file is cut off, 0x1064 bytes');
  });
  test('a CPU whose note is short has none, the others have', () => {
    const short = note('CORE', 1, new Uint8Array(100));
    const { vcpus } = open(
      core([short, prstatusNote({ 16: 1n }), vmcoreinfoNote(['A=b'])], [load(0, page(0))]),
    );
    expect(vcpus[0]?.missing).toBe('the note of this CPU is short: 100 bytes');
    expect(vcpus[1]?.registers?.rip).toBe(1n);
  });
  test.each([
    ['the core of a process', core([prstatusNote({})], [load(0, page(1), 0x400000n)]), 'of a process'],
    ['a program', writeElf({ segments: [load(0, page(1))] }), 'type exec, not core'],
    ['no memory', core([qemuNote({})], []), 'without memory'],
    ['another CPU', core([qemuNote({})], [load(0, page(1))], 183), 'machine of type'],
  ])('%s is refused', (_, bytes, message) => {
    expect(() => open(bytes)).toThrow(FormatError);
    expect(() => open(bytes)).toThrow(message);
  });
});
