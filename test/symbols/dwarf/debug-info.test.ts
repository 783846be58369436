// Lines and inlined functions of real object files, as gcc and clang write them in every DWARF version, cold and out of an index.
import { describe, expect, test } from 'vitest';
import { hostCodecs } from '../../../core/host/codecs.ts';
import { memorySource } from '../../../symbols/bytes.ts';
import { type DebugInfo, openDebugInfo, type SourceFrame } from '../../../symbols/dwarf/debug-info.ts';
import { writeDebugIndex } from '../../../symbols/dwarf/index-file.ts';
import { type ElfFile, openElf } from '../../../symbols/elf/elf-file.ts';
import { placeSections } from '../../../symbols/elf/relocate.ts';
import { readSymbolTable } from '../../../symbols/elf/symtab.ts';
import { FormatError } from '../../../symbols/errors.ts';
import { compile, hasProgram } from '../../support/compile.ts';

/** Labels stand inside of code, so each of them has a known chain of inlined functions. */
const SOURCE = {
  name: 'chain.c',
  text: `
#define MARK(name) __asm__ volatile(".globl " #name "\\n" #name ": nop")
static volatile int sink;
static inline __attribute__((always_inline)) void inner(int x) {
  sink = x;
  MARK(in_inner); sink++;
}
static inline __attribute__((always_inline)) void middle(int x) {
  inner(x + 1);
  MARK(in_middle); sink++;
}
__attribute__((noinline)) void outer(int x) {
  sink = x;
  middle(x * 2);
  MARK(in_outer); sink++;
}
__attribute__((section(".init.text"), noinline)) void early(void) {
  MARK(in_early); sink++;
}
void _start(void) { outer(1); early(); for (;;) ; }
`,
};

const at = (name: string, line: number): Pick<SourceFrame, 'function' | 'line'> => ({ function: name, line });
const CHAINS = {
  in_inner: [at('inner', 6), at('middle', 9), at('outer', 14)],
  in_middle: [at('middle', 10), at('outer', 14)],
  in_outer: [at('outer', 15)],
  in_early: [at('early', 18)],
};

function open(bytes: Uint8Array): ElfFile {
  return openElf(memorySource('chain', bytes), hostCodecs);
}

function indexOf(elf: ElfFile): Uint8Array {
  return new Uint8Array(Buffer.concat([...writeDebugIndex(elf)]));
}

function chains(elf: ElfFile, info: DebugInfo | undefined): Record<string, unknown> {
  const table = readSymbolTable(elf);
  return Object.fromEntries(
    Object.keys(CHAINS).map((name) => {
      const frames = info?.lookup(table?.addressOf(name) ?? 0n) ?? [];
      return [name, frames.map(({ function: title, line }) => ({ function: title, line }))];
    }),
  );
}

/** Answers at every address of the code. */
function allAnswers(elf: ElfFile, info: DebugInfo | undefined): (readonly SourceFrame[] | undefined)[] {
  return elf.sections
    .filter(({ flags }) => (flags & 6) === 6)
    .flatMap(({ address, size }) =>
      Array.from({ length: size + 32 }, (_, offset) => info?.lookup(address + BigInt(offset) - 16n)),
    );
}

const PROGRAM = ['-O1', '-nostdlib', '-static', '-fno-pie', '-no-pie', '-Wl,--build-id'];
const kinds = [
  '-gdwarf-2',
  '-gdwarf-3',
  '-gdwarf-4',
  '-gdwarf-5',
  '-gdwarf-5 -gdwarf64',
  '-gdwarf-4 -gz=zlib',
];
const rows = [
  ...kinds.map((flags) => ['gcc', `${flags} -gno-variable-location-views`] as const),
  ['gcc', '-gdwarf-5 -ffunction-sections'] as const,
  ...(hasProgram('clang') ? kinds.map((flags) => ['clang', flags] as const) : []),
];

describe.each(rows)('%s %s', (compiler, flags) => {
  const elf = open(compile(compiler, SOURCE, [...PROGRAM, ...flags.split(' ')]));

  test('each label has its chain, and the file its path', () => {
    const info = openDebugInfo(elf);
    expect(chains(elf, info)).toEqual(CHAINS);
    expect(info?.warnings).toEqual([]);
    const [innermost] = info?.lookup(readSymbolTable(elf)?.addressOf('in_inner') ?? 0n) ?? [];
    expect(innermost?.file).toMatch(/^\/.*\/chain\.c$/);
  });

  test('an index answers the same at every address', () => {
    const index = memorySource('index', indexOf(elf));
    expect(allAnswers(elf, openDebugInfo(elf, index))).toEqual(allAnswers(elf, openDebugInfo(elf)));
  });

  test('a relocatable file answers where its sections were placed', () => {
    const module = open(compile(compiler, SOURCE, ['-O1', '-c', ...flags.split(' ')]));
    const text = flags.includes('function-sections') ? '.text.outer' : '.text';
    const base = 0xffffffffc0123000n;
    const placed = placeSections(module, new Map([[text, base]]));
    const label = readSymbolTable(module)?.addressOf('in_inner') ?? 0n;
    const frames = openDebugInfo(placed)?.lookup(base + label) ?? [];
    expect(frames.map(({ function: name, line }) => ({ function: name, line }))).toEqual(CHAINS.in_inner);
    // .init.text is not in the map: it was freed.
    const early = readSymbolTable(module)?.addressOf('in_early') ?? 0n;
    expect(openDebugInfo(placed)?.lookup(early)).toEqual([]);
  });
});

describe('an index', () => {
  const elf = open(compile('gcc', SOURCE, [...PROGRAM, '-gdwarf-5']));
  const other = open(compile('gcc', SOURCE, [...PROGRAM, '-gdwarf-4']));
  const index = indexOf(elf);

  test('of another file is refused', () => {
    expect(() => openDebugInfo(other, memorySource('index', index))).toThrow(/another file/);
  });

  test('that was cut off is refused', () => {
    for (const size of [0, 50, 120, index.length - 1])
      expect(() => openDebugInfo(elf, memorySource('index', index.subarray(0, size)))).toThrow(FormatError);
  });

  test('of another version is refused', () => {
    const changed = index.slice();
    changed[8] = 0xff;
    expect(() => openDebugInfo(elf, memorySource('index', changed))).toThrow(/another version/);
  });
});

test('a file without debug information has none', () => {
  const elf = open(compile('gcc', SOURCE, PROGRAM));
  expect(openDebugInfo(elf)).toBeUndefined();
  expect(() => indexOf(elf)).toThrow(/no debug information/);
});

test('assembler code has lines and no function', () => {
  const text = '.globl _start\n_start:\n  nop\n  nop\n  ret\n';
  const elf = open(compile('gcc', { name: 'start.S', text }, [...PROGRAM, '-gdwarf-5']));
  const start = readSymbolTable(elf)?.addressOf('_start') ?? 0n;
  const [frame, ...more] = openDebugInfo(elf)?.lookup(start + 1n) ?? [];
  expect(more).toEqual([]);
  expect(frame).toMatchObject({ function: undefined, line: 4 });
});

test('a compressed section without a codec is said, and nothing is answered', () => {
  const bytes = compile('gcc', SOURCE, [...PROGRAM, '-gdwarf-5', '-gz=zlib']);
  const elf = openElf(memorySource('chain', bytes));
  const info = openDebugInfo(elf);
  expect(chains(elf, info)['in_outer']).toEqual([]);
  expect(info?.warnings.join('\n')).toMatch(/no zlib codec/);
});
