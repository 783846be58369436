// Damaged files and damaged guests: every parser of symbols/ and the whole of xenctx end, and fail only as FormatError or MemoryFault.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { decompress } from 'fzstd';
import { describe, expect, test } from 'vitest';
import { openDumpCore } from '../../core/target/dump-core.ts';
import { VirtualMemory } from '../../core/target/virtual-memory.ts';
import { memorySource } from '../../symbols/bytes.ts';
import { ClassicSymbols } from '../../symbols/classic-symbols.ts';
import { openElf, readSection } from '../../symbols/elf/elf-file.ts';
import { readNotes } from '../../symbols/elf/notes.ts';
import { readSymbolTable } from '../../symbols/elf/symtab.ts';
import { FormatError, MemoryFault } from '../../symbols/errors.ts';
import { findKallsyms } from '../../symbols/kernel/kallsyms.ts';
import { parseSystemMap } from '../../symbols/kernel/system-map.ts';
import { Symbolizer } from '../../symbols/symbolizer.ts';
import { cfiFromElf } from '../../symbols/unwind/dwarf-cfi.ts';
import { knownKernel } from '../../tools/shared/guest-kernel.ts';
import { dumpTarget } from '../../tools/xenctx/dump.ts';
import { parseOptions } from '../../tools/xenctx/options.ts';

/** More with FUZZ_ROUNDS, other ones with FUZZ_SEED. */
const ROUNDS = Number(process.env['FUZZ_ROUNDS'] ?? 150);
const SEED = Number(process.env['FUZZ_SEED'] ?? 0x5eed);
/** A round that takes longer has met a loop or a size that nobody checked. */
const MAX_MS = 5000;

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/** mulberry32. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** Changes some bytes, most of them within one of the areas. */
function damage(
  bytes: Uint8Array,
  next: (below: number) => number,
  areas: readonly (readonly [start: number, size: number])[],
): void {
  for (let count = 1 + next(12); count > 0; count--) {
    const [start, size] = areas[next(areas.length)] ?? [0, bytes.length];
    const at = start + next(size);
    const kind = next(4);
    if (kind === 0) bytes[at] = next(256);
    else if (kind === 1) bytes[at] = (bytes[at] ?? 0) ^ (1 << next(8));
    else bytes.fill(kind === 2 ? 0xff : 0, at, at + 1 + next(8));
  }
}

/** Runs one round: whatever is thrown is of the two kinds, and it does not take long. */
function survives(round: number, run: () => void): void {
  const start = performance.now();
  try {
    run();
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof MemoryFault))
      throw new Error(`round ${round} (FUZZ_SEED=${SEED})`, { cause: error });
  }
  expect(performance.now() - start, `round ${round}`).toBeLessThan(MAX_MS);
}

test('ELF file: headers, notes, symbols, call frame information', () => {
  const original = new Uint8Array(readFileSync(path('samples/deep-call-chain/vmlinux')));
  const { sections } = openElf(memorySource('vmlinux', original));
  const areas = sections
    .filter(({ name, size }) => size > 0 && /symtab|debug_frame|notes/.test(name))
    .map(({ offset, size }) => [offset, size] as const);
  const headers = [0, 64] as const;
  const table = [original.length - sections.length * 64, sections.length * 64] as const;
  const next = random(SEED);
  for (let round = 0; round < ROUNDS * 4; round++) {
    const bytes = original.slice(0, next(8) === 0 ? next(original.length) : original.length);
    damage(bytes, next, [headers, table, ...areas]);
    survives(round, () => {
      const elf = openElf(memorySource('vmlinux', bytes));
      for (const section of elf.sections) if (section.size < 1 << 16) readSection(elf, section);
      const symbols = readSymbolTable(elf);
      const symbolizer = symbols && new Symbolizer(symbols);
      const rows = cfiFromElf(elf);
      for (let at = 0; at < 64; at++) {
        const address = 0xffffffff80100000n + BigInt(next(0x2000));
        symbolizer?.symbolize(address);
        for (const source of rows) source.find(address);
      }
      readNotes(elf);
    });
  }
});

describe('a guest', () => {
  const core = new Uint8Array(gunzipSync(readFileSync(path('test/golden/xen-4.17/core.sysrq1.reduced.gz'))));
  const map = decompress(readFileSync(path('test/golden/xen-4.17/System.map.zst')));
  const { table } = parseSystemMap(memorySource('System.map', map));
  const symbols = new ClassicSymbols({ table });
  const _symbolizer = new Symbolizer(table);
  const pages = openElf(memorySource('core', core)).sections.find(({ name }) => name === '.xen_pages');
  const headers = [0, pages?.offset ?? 0] as const;
  const target = openDumpCore(memorySource('core', core));
  const registers = target.vcpus[0]?.registers;
  if (!registers) throw new Error('no registers');

  /** Where in the file a physical page lies: the pages that matter most are hit most. */
  const filePlace = (physical: number): readonly [number, number] => {
    let slot = 0;
    for (const [gfn, count] of target.frames) {
      if (physical >= gfn * 4096 && physical < (gfn + count) * 4096)
        return [(pages?.offset ?? 0) + slot * 4096 + (Math.floor(physical / 4096) - gfn) * 4096, 4096];
      slot += count;
    }
    throw new Error(`no page 0x${physical.toString(16)}`);
  };
  const memory = new VirtualMemory(target, registers);
  const stack = filePlace(memory.translate(registers.rsp));
  const root = filePlace(Number(registers.cr3));
  const anywhere = [0, core.length] as const;

  test('xenctx on a damaged dump: registers, code, stack, ORC trace', () => {
    const next = random(SEED + 1);
    const file = { path: 'System.map', table, buildId: undefined, warnings: [], close: () => undefined };
    const argvs = [
      ['-a', '-S'],
      ['-f', '-S'],
      ['-n', '4'],
      ['--unwind=auto'],
      ['--unwind=fp'],
      ['--all-tasks'],
    ];
    for (let round = 0; round < ROUNDS; round++) {
      const bytes = core.slice();
      damage(bytes, next, [headers, stack, stack, root, anywhere]);
      survives(round, () => {
        const damaged = openDumpCore(memorySource('core', bytes));
        const options = parseOptions([...(argvs[round % argvs.length] ?? []), '-C', 'x']);
        let lines = 0;
        const quiet = { vcpu: () => undefined, memory: () => undefined };
        const kernel = options.unwind && knownKernel(damaged, file, true);
        for (const _ of dumpTarget(damaged, options, { symbols, kernel }, quiet)) lines++;
        expect(lines).toBeLessThan(20_000);
      });
    }
  });

  test('kallsyms in damaged memory', () => {
    const tables = [
      0xffffffff822c9d08n,
      0xffffffff822ca0a0n,
      0xffffffff82175588n,
      0xffffffff821200b0n,
      0xffffffff82289810n,
    ];
    const areas = tables.map((address) => filePlace(memory.translate(address)));
    const next = random(SEED + 2);
    for (let round = 0; round < ROUNDS / 15; round++) {
      const bytes = core.slice();
      damage(bytes, next, areas);
      survives(round, () => {
        findKallsyms(new VirtualMemory(openDumpCore(memorySource('core', bytes)), registers));
      });
    }
  });
});
