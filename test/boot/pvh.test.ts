import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { memoryMap } from '../../core/boot/layout.ts';
import { type BootOptions, buildPvhGuest } from '../../core/boot/pvh.ts';
import type { Machine } from '../../core/machine/machine.ts';
import { memorySource } from '../../symbols/bytes.ts';
import { PvhError } from '../../symbols/errors.ts';
import { bzImage } from '../support/bzimage-writer.ts';
import { type SegmentInput, writeElf } from '../support/elf-writer.ts';
import { testMachine } from '../support/machine.ts';

const MiB = 1 << 20;
const PT_LOAD = 1;
const PT_NOTE = 4;
const codecs = {
  gzip: (stream: Uint8Array, maxBytes: number) => gunzipSync(stream, { maxOutputLength: maxBytes }),
};

/** A note record; the name and the descriptor are padded to four bytes. */
function note(name: string, type: number, descriptor: Uint8Array): Uint8Array {
  const padded = (bytes: Uint8Array): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
  const header = Buffer.alloc(12);
  header.writeUInt32LE(name.length + 1, 0);
  header.writeUInt32LE(descriptor.length, 4);
  header.writeUInt32LE(type, 8);
  return Buffer.concat([header, padded(Buffer.from(`${name}\0`)), padded(descriptor)]);
}

const u32 = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer);
const CODE = Buffer.from('fa f4 eb fd'.replaceAll(' ', ''), 'hex'); // cli; hlt; jmp to hlt
const load = (address: number, data: Uint8Array, memorySize = data.length): SegmentInput => ({
  type: PT_LOAD,
  physicalAddress: BigInt(address),
  data,
  memorySize,
});
const entryNote = { type: PT_NOTE, data: note('Xen', 18, u32(2 * MiB)) };
const kernel = (...segments: SegmentInput[]): Uint8Array => writeElf({ segments });
const KERNEL = kernel(load(2 * MiB, CODE, 5000), entryNote);

function boot(
  options: Partial<Omit<BootOptions, 'kernel' | 'ramdisk'>> & { kernel?: Uint8Array; ramdisk?: Uint8Array },
  machine = testMachine(),
) {
  const { kernel: file = KERNEL, ramdisk, ...rest } = options;
  const info = buildPvhGuest(machine, {
    kernel: memorySource('vmlinux', file),
    ramdisk: ramdisk && memorySource('initrd', ramdisk),
    cmdline: '',
    codecs,
    ...rest,
  });
  return { machine, info };
}

const text = (machine: Machine, at: number): string => {
  const bytes = machine.read(at, 64);
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
};

describe('a guest is built', () => {
  test('start_info, memory map and command line', () => {
    const { machine, info } = boot({ cmdline: 'console=hvc0' });
    expect(info).toMatchObject({
      format: 'elf',
      entry: 2 * MiB,
      kernelStart: 2 * MiB,
      kernelEnd: 2 * MiB + 5000,
    });
    expect(info.startInfo).toBe(2 * MiB + 8192);
    const at = info.startInfo;
    expect([0, 4, 8, 12].map((offset) => machine.readU32(at + offset))).toEqual([0x336ec578, 1, 0, 0]);
    expect(text(machine, Number(machine.readU64(at + 24)))).toBe('console=hvc0');
    expect(machine.readU64(at + 32)).toBe(0xfc008000n);
    const map = Number(machine.readU64(at + 40));
    const entries = Array.from({ length: machine.readU32(at + 48) }, (_, i) => ({
      address: Number(machine.readU64(map + 24 * i)),
      bytes: Number(machine.readU64(map + 24 * i + 8)),
      type: machine.readU32(map + 24 * i + 16),
    }));
    expect(entries).toEqual(memoryMap(16 * MiB));
  });

  test('registers as the PVH entry has them', () => {
    const { machine, info } = boot({});
    const registers = machine.registers(0);
    expect(registers).toMatchObject({
      rip: 0x200000n,
      rbx: BigInt(info.startInfo),
      rflags: 2n,
      cr0: 0x11n,
      cr4: 0n,
      efer: 0n,
    });
    expect(registers.cs).toMatchObject({ base: 0n, limit: 0xffff_ffff, attributes: 0xc09b });
    expect(registers.ss).toMatchObject({ base: 0n, limit: 0xffff_ffff, attributes: 0xc093 });
    expect(registers.tr).toMatchObject({ limit: 0x67, attributes: 0x8b });
    expect(machine.codeBits(0)).toBe(32);
    expect([...machine.read(0x200000, 4)]).toEqual([...CODE]);
  });

  test('an 8-byte entry note, and a bzImage', () => {
    const wide = kernel(load(2 * MiB, CODE), {
      type: PT_NOTE,
      data: note('Xen', 18, Buffer.concat([u32(2 * MiB + 1), u32(0)])),
    });
    expect(boot({ kernel: wide }).info.entry).toBe(2 * MiB + 1);
    const { info } = boot({ kernel: bzImage(gzipSync(KERNEL)) });
    expect(info).toMatchObject({ format: 'bzimage', entry: 2 * MiB });
  });

  test('build-id', () => {
    const withId = kernel(load(2 * MiB, CODE), {
      type: PT_NOTE,
      data: Buffer.concat([entryNote.data, note('GNU', 3, u32(0x01020304))]),
    });
    expect(boot({ kernel: withId }).info.buildId).toBe('04030201');
  });

  test.each([
    ['as it is', Buffer.from('070701 archive'), 14],
    ['unpacked when it is gzip', gzipSync(Buffer.from('070701 archive, '.repeat(9))), 144],
    [
      'as it is when two were joined',
      Buffer.concat([gzipSync('070701'.repeat(99)), gzipSync('x'.repeat(99))]),
      undefined,
    ],
  ])('ramdisk %s', (_name, ramdisk, bytes) => {
    const { machine, info } = boot({ ramdisk });
    const at = info.startInfo;
    expect(machine.readU32(at + 12)).toBe(1);
    const module = Number(machine.readU64(at + 16));
    expect(Number(machine.readU64(module))).toBe(info.ramdisk?.address);
    expect(Number(machine.readU64(module + 8))).toBe(bytes ?? ramdisk.length);
    if (bytes !== undefined) expect(text(machine, info.ramdisk?.address ?? 0)).toMatch(/^070701 archive/);
  });
});

describe('ACPI tables', () => {
  const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => total + byte, 0) & 0xff;

  test.each([1, 2, 32])('%d vCPUs: every table is found, whole and sums to zero', (vcpus) => {
    const { machine } = boot({}, testMachine({ vcpus }));
    const rsdp = machine.read(0xfc008000, 36);
    expect(new TextDecoder().decode(rsdp.subarray(0, 8))).toBe('RSD PTR ');
    expect([sum(rsdp.subarray(0, 20)), sum(rsdp)]).toEqual([0, 0]);
    const table = (address: number): { name: string; bytes: Uint8Array } => {
      const bytes = machine.read(address, machine.readU32(address + 4));
      return { name: new TextDecoder().decode(bytes.subarray(0, 4)), bytes };
    };
    const xsdt = table(Number(machine.readU64(0xfc008000 + 24)));
    expect(sum(xsdt.bytes)).toBe(0);
    const view = new DataView(xsdt.bytes.buffer);
    const [fadt, madt] = [36, 44].map((at) => table(Number(view.getBigUint64(at, true))));
    expect([fadt?.name, madt?.name]).toEqual(['FACP', 'APIC']);
    expect([sum(fadt?.bytes ?? xsdt.bytes), sum(madt?.bytes ?? xsdt.bytes)]).toEqual([0, 0]);
    expect(madt?.bytes.length).toBe(44 + 8 * vcpus);
    expect([...(madt?.bytes.subarray(-8) ?? [])]).toEqual([0, 8, vcpus - 1, 2 * (vcpus - 1), 1, 0, 0, 0]);
    const fadtView = new DataView(fadt?.bytes.buffer ?? new ArrayBuffer(0));
    const dsdt = table(fadtView.getUint32(40, true));
    expect([dsdt.name, sum(dsdt.bytes)]).toEqual(['DSDT', 0]);
    expect(table(fadtView.getUint32(36, true)).name).toBe('FACS');
  });
});

describe('what cannot boot says why', () => {
  test.each<[string, Parameters<typeof boot>[0], string]>([
    [
      'no kernel at all',
      { kernel: Buffer.from('#!/bin/sh\n') },
      'vmlinux: neither an ELF file nor a bzImage',
    ],
    ['empty file', { kernel: new Uint8Array(0) }, 'neither an ELF file nor a bzImage'],
    ['no PVH note', { kernel: kernel(load(MiB, CODE)) }, 'configured with CONFIG_PVH=y or CONFIG_XEN_PVH=y'],
    [
      'note of 3 bytes',
      { kernel: kernel(load(MiB, CODE), { type: PT_NOTE, data: note('Xen', 18, new Uint8Array(3)) }) },
      'PHYS32_ENTRY note of 3 bytes',
    ],
    [
      'entry above 4 GiB',
      {
        kernel: kernel(load(MiB, CODE), { type: PT_NOTE, data: note('Xen', 18, new Uint8Array(8).fill(1)) }),
      },
      'PHYS32_ENTRY is above 4 GiB',
    ],
    ['nothing to load', { kernel: kernel(entryNote) }, 'no segment to load'],
    [
      'kernel larger than memory',
      { kernel: kernel(load(2 * MiB, CODE, 20 * MiB), entryNote) },
      'guest memory of 16 MiB is too small for the kernel: it needs 22 MiB at least',
    ],
    [
      'kernel that fills memory to the last page',
      { kernel: kernel(load(2 * MiB, CODE, 14 * MiB), entryNote) },
      'too small for the kernel',
    ],
    [
      'segment above 4 GiB',
      { kernel: kernel({ type: PT_LOAD, physicalAddress: 1n << 32n, data: CODE }, entryNote) },
      'segment at 0x100000000 cannot be loaded',
    ],
    ['more bytes than memory', { kernel: kernel(load(2 * MiB, CODE, 2), entryNote) }, 'cannot be loaded'],
    [
      'segments over each other',
      { kernel: kernel(...Array.from({ length: 20 }, () => load(2 * MiB, CODE, 13 * MiB)), entryNote) },
      'segments overlap',
    ],
    [
      'ramdisk larger than what is left',
      { ramdisk: new Uint8Array(15 * MiB) },
      'too small for the kernel and ramdisk',
    ],
    ['command line', { cmdline: 'x'.repeat(5000) }, 'command line of 5000 bytes: at most 4096'],
    [
      'bzImage that is cut off',
      { kernel: bzImage(gzipSync(KERNEL)).subarray(0, 1100) },
      'bzImage is truncated',
    ],
  ])('%s', (_name, options, message) => {
    expect(() => boot(options)).toThrow(PvhError);
    expect(() => boot(options)).toThrow(message);
  });

  test('any damage to a kernel is an error of ours, or harmless', () => {
    const machine = testMachine();
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(KERNEL.length - 1), fc.nat(255)), { maxLength: 6 }), (changes) => {
        const damaged = Uint8Array.from(KERNEL);
        for (const [at, value] of changes) damaged[at] = value;
        try {
          boot({ kernel: damaged }, machine);
        } catch (error) {
          expect(error).toBeInstanceOf(PvhError);
        }
      }),
      { seed: 1, numRuns: 500 },
    );
  });
});
