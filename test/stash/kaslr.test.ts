// A kernel that KASLR has moved, really: stock Debian kernels under QEMU. The file with its names is the bzImage itself.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Registry } from '../../core/domain/registry.ts';
import { openTarget } from '../../core/target/open.ts';
import type { Target } from '../../core/target/target.ts';
import { VirtualMemory } from '../../core/target/virtual-memory.ts';
import { guestBuildId, runningBuildId, runningRelease } from '../../symbols/kernel/identity.ts';
import { findKallsyms } from '../../symbols/kernel/kallsyms.ts';
import { kernelSlide, physicalBase } from '../../symbols/kernel/kaslr.ts';
import { type SymbolTable, shifted } from '../../symbols/symbol-table.ts';
import { openSymbolFile, type SymbolFile } from '../../tools/shared/symbol-file.ts';
import { debianArchive, debianKernel } from '../support/debian.ts';
import { hasQemu, QemuGuest } from '../support/qemu-dump.ts';

const addressIn = (table: SymbolTable | undefined) => (name: string) => table?.addressOf(name);

describe.runIf(hasQemu && debianArchive)('a kernel moved by KASLR', { timeout: 300_000 }, () => {
  describe.each(['linux-image-cloud-amd64', 'linux-image-6.12-cloud-amd64'])('%s', (meta) => {
    let guest: QemuGuest;
    let console: string;
    let target: Target;
    let memory: VirtualMemory;
    let file: SymbolFile;
    let own: SymbolTable | undefined;
    beforeAll(async () => {
      const { vmlinuz } = debianKernel(meta);
      guest = new QemuGuest({ kernel: vmlinuz, vcpus: 1 });
      await guest.untilConsole('end Kernel panic');
      console = guest.console();
      const dump = await guest.dump('elf');
      target = await openTarget(dump, { registry: new Registry(guest.path('state')) });
      const registers = target.vcpus[0]?.registers;
      if (!registers) throw new Error('no registers');
      memory = new VirtualMemory(target, registers);
      file = openSymbolFile(vmlinuz);
      own = findKallsyms(memory);
    }, 300_000);
    afterAll(async () => {
      file?.close();
      target?.close();
      await guest?.[Symbol.asyncDispose]();
    });

    test('the slide is what the kernel itself printed, with and without its own symbols', () => {
      const printed = BigInt(/Kernel Offset: (0x[0-9a-f]+)/.exec(console)?.[1] ?? '-1');
      expect(printed).toBeGreaterThan(0n);
      const linked = { elf: file.elf, addressOf: addressIn(file.table) };
      expect(kernelSlide(linked, { memory })).toBe(printed);
      expect(kernelSlide(linked, { memory, addressOf: addressIn(own) })).toBe(printed);
      expect(kernelSlide({ addressOf: linked.addressOf }, { memory })).toBe(printed);
    });

    test('names are those of the running kernel, all of them', () => {
      const slide = kernelSlide({ elf: file.elf, addressOf: addressIn(file.table) }, { memory }) ?? 0n;
      const moved = shifted(file.table, slide);
      const list = (table: SymbolTable | undefined) =>
        table && Array.from({ length: table.length }, (_, i) => `${table.address(i)} ${table.name(i)}`);
      expect(list(moved)).toEqual(list(own));
      expect(own?.length).toBeGreaterThan(50_000);
    });

    test('build-id and release are found by the symbols in memory, and at the moved notes', () => {
      expect(runningBuildId(memory, addressIn(own))).toBe(file.buildId);
      expect(runningRelease(memory, addressIn(own))).toBe(debianKernel(meta).release);
      const slide = kernelSlide({ elf: file.elf, addressOf: addressIn(file.table) }, { memory }) ?? 0n;
      expect(file.elf && guestBuildId(file.elf, memory, slide)).toBe(file.buildId);
      expect(file.elf && guestBuildId(file.elf, memory)).toBeUndefined();
    });

    test('the physical base is where the page tables say', () => {
      const start = own?.addressOf('_stext') ?? 0n;
      const variable = own?.addressOf('phys_base') ?? 0n;
      const bytes = new Uint8Array(8);
      memory.read(variable, bytes);
      expect(physicalBase(start, memory.translate(start))).toBe(
        new DataView(bytes.buffer).getBigInt64(0, true),
      );
    });
  });
});
