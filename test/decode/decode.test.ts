// Source lines in logs: what is added is right, and nothing else changes. The kernels are programs that gcc makes here.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runDecode } from '../../tools/pvh-report/decode-command.ts';
import { Stash } from '../../tools/shared/stash.ts';
import { openSymbolFile, type SymbolFile } from '../../tools/shared/symbol-file.ts';

const compiler = spawnSync('gcc', ['--version']).status === 0 || process.env['CI'] === 'true';
const folder = mkdtempSync(join(tmpdir(), 'pvh-decode-'));
const env = { PVH_STASH_DIR: join(folder, 'stash') };
afterAll(() => rmSync(folder, { recursive: true }));

const RELEASE = '6.1.0-test';

/** Line numbers matter. */
const PANIC_C = `const char linux_banner[] = "Linux version ${RELEASE} (somebody@somewhere) #1";
volatile int sink;
static inline __attribute__((always_inline)) void inner(int x) {
  sink = x;
  sink = x + 1;
}
static inline __attribute__((always_inline)) void outer(int x) {
  inner(x);
}
__attribute__((noinline)) void panic(int x) {
  sink = x;
  sink = x + 2;
  sink = x + 3;
}
__attribute__((noinline)) void caller(int x) {
  panic(x);
  outer(x);
  sink = 5;
}
static __attribute__((noinline)) void helper(void) {
  sink = 1;
}
void use_first(void) {
  helper();
  sink = 0;
}
`;
const OTHER_C = `extern volatile int sink;
static __attribute__((noinline)) void helper(void) {
  sink = 1;
  sink = 2;
  sink = 3;
  sink = 4;
  sink = 5;
  sink = 6;
  sink = 7;
  sink = 8;
}
void use_second(void) {
  helper();
  sink = 0;
}
`;
const MODULE_C = `volatile int counter;
__attribute__((noinline)) int loop_step(int x) {
  counter = x;
  counter = x + 1;
  return counter;
}
int init_loop(void) { return loop_step(1) + 1; }
__attribute__((section(".modinfo"))) const char vermagic[] = "vermagic=${RELEASE} SMP";
__attribute__((section(".gnu.linkonce.this_module"))) char this_module[64];
`;

function compile(name: string, sources: Readonly<Record<string, string>>, flags: readonly string[]): string {
  const build = join(folder, 'build');
  mkdirSync(join(build, 'kernel'), { recursive: true });
  for (const [file, text] of Object.entries(sources)) writeFileSync(join(build, file), text);
  const path = join(folder, name);
  const all = [
    '-g',
    '-O2',
    '-ffreestanding',
    '-fno-pic',
    '-fno-pie',
    '-fno-ipa-icf',
    '-nostdlib',
    '-Wl,--build-id',
    ...flags,
  ];
  const { status, stderr } = spawnSync('gcc', [...all, '-o', path, ...Object.keys(sources)], { cwd: build });
  if (status !== 0) throw new Error(String(stderr));
  return path;
}

interface Decoded {
  readonly text: string;
  readonly bytes: Buffer;
  readonly stderr: string;
  readonly status: number;
}

async function decode(
  pieces: readonly (string | Uint8Array)[],
  options: { symbolTable?: string; base?: string } = {},
): Promise<Decoded> {
  const input = new PassThrough();
  const output = new PassThrough();
  const chunks: Buffer[] = [];
  output.on('data', (chunk: Buffer) => chunks.push(chunk));
  let stderr = '';
  for (const piece of pieces) input.write(piece);
  input.end();
  const status = await runDecode(options, env, {
    input,
    output,
    err: (text) => {
      stderr += text;
    },
  });
  const bytes = Buffer.concat(chunks);
  return { bytes, text: bytes.toString(), stderr, status };
}

describe.runIf(compiler)('decode', () => {
  let vmlinux: string;
  let xenSyms: string;
  let kernel: SymbolFile;
  let module: SymbolFile;
  beforeAll(async () => {
    const sources = { 'kernel/panic.c': PANIC_C, 'kernel/other.c': OTHER_C };
    const link = ['-mcmodel=kernel', '-static', '-Wl,-e,caller'];
    vmlinux = compile('vmlinux', sources, [...link, '-Wl,-Ttext-segment=0xffffffff81000000']);
    xenSyms = compile('xen-syms', sources, [
      '-mcmodel=large',
      '-static',
      '-Wl,-e,caller',
      '-Wl,-Ttext-segment=0xffff82d040200000',
    ]);
    const loop = compile('loop.ko', { 'loop.c': MODULE_C }, ['-r', '-mcmodel=kernel']);
    kernel = openSymbolFile(vmlinux);
    module = openSymbolFile(loop);
    const stash = new Stash(env.PVH_STASH_DIR);
    await stash.add(vmlinux);
    await stash.add(loop);
  });
  afterAll(() => {
    kernel?.close();
    module?.close();
  });

  /** Offset of the first byte behind code of a line: what a return address there would be. */
  function behind(file: SymbolFile, name: string, line: number): number {
    const index = file.table.find(name) ?? -1;
    const start = file.table.address(index);
    const at = (offset: number) => file.debugInfo?.lookup(start + BigInt(offset))[0]?.line;
    const size = file.table.size(index);
    for (let offset = 1; offset <= size; offset++)
      if (at(offset - 1) === line && at(offset) !== line) return offset;
    throw new Error(`no line ${line} in ${name}`);
  }
  const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
  const sizeOf = (file: SymbolFile, name: string): number => file.table.size(file.table.find(name) ?? -1);
  const at = (name: string, line: number, file = kernel): string =>
    `${name}+${hex(behind(file, name, line))}/${hex(sizeOf(file, name))}`;
  const pointer = (name: string, line: number, slide = 0n, file = kernel): string =>
    `[<${((file.table.addressOf(name) ?? 0n) + BigInt(behind(file, name, line)) + slide).toString(16)}>]`;
  const banner = `[    0.000000] Linux version ${RELEASE} (somebody@somewhere) #1\n`;
  /** What is left of the lines behind the banner. */
  const decoded = async (log: string, options = {}): Promise<string> => {
    const { text } = await decode([banner, log], options);
    expect(text.startsWith(banner)).toBe(true);
    return text.slice(banner.length);
  };

  test('frames of a trace, with what was inlined', async () => {
    const log = `[    1.5]  ${at('panic', 12)}\n[    1.5]  ? ${at('caller', 4)}\n[    1.5]  </TASK>\n`;
    expect(await decoded(log)).toBe(
      [
        `[    1.5]  ${at('panic', 12)} (kernel/panic.c:12)`,
        `[    1.5]  ? ${at('caller', 4)} (inner at kernel/panic.c:4)`,
        '             (inlined by) outer at kernel/panic.c:8',
        '             (inlined by) caller at kernel/panic.c:17',
        '[    1.5]  </TASK>',
        '',
      ].join('\n'),
    );
  });

  test('an address of an instruction itself is not taken for one to return to', async () => {
    const size = sizeOf(kernel, 'panic');
    // The first byte of line 13 is the byte behind line 12.
    const place = `panic+${hex(behind(kernel, 'panic', 12))}/${hex(size)}`;
    expect(await decoded(`RIP: 0010:${place}\n`)).toBe(`RIP: 0010:${place} (kernel/panic.c:13)\n`);
    expect(await decoded(`WARNING: CPU: 0 PID: 1 at kernel/panic.c:13 ${place}\n`)).toContain(
      `${place} (kernel/panic.c:13)`,
    );
    expect(await decoded(` ${place}\n`)).toBe(` ${place} (kernel/panic.c:12)\n`);
  });

  test('functions of one name are told apart by their size', async () => {
    const log = [...kernel.table.findAll('helper')].map(
      (index) => ` helper+0x4/${hex(kernel.table.size(index))}\n`,
    );
    expect(log).toHaveLength(2);
    const text = await decoded(log.join(''));
    expect(text).toMatch(/\(kernel\/panic\.c:2\d\)/);
    expect(text).toMatch(/\(kernel\/other\.c:\d+\)/);
  });

  test('a module, by its name and the release, or its build-id', async () => {
    const place = at('loop_step', 4, module);
    expect(await decoded(` ${place} [loop]\n`)).toMatch(/\[loop\] \(.*loop\.c:4\)\n$/);
    expect(await decoded(` ${place} [loop ${module.buildId}]\n`)).toMatch(/\] \(.*loop\.c:4\)\n$/);
    expect(await decoded(` ${place} [other]\n`)).toBe(` ${place} [other]\n`);
    expect(await decoded(` ${place}\n`)).toBe(` ${place}\n`);
  });

  test.each([0n, 0x34800000n])('addresses beside their names, and alone: moved by %x', async (slide) => {
    const beside = ` ${pointer('panic', 12, slide)} ? ${at('panic', 12)}`;
    const alone = ` ${pointer('caller', 16, slide)}`;
    const text = await decoded(`${beside}\n${alone}\n`);
    expect(text).toBe(`${beside} (kernel/panic.c:12)\n${alone} (kernel/panic.c:16)\n`);
  });

  test('the log says how far its kernel was moved', async () => {
    const alone = ` ${pointer('caller', 16, 0x200000n)}`;
    expect(await decoded(`${alone}\n`)).toBe(`${alone}\n`);
    const offset = 'Kernel Offset: 0x200000 from 0xffffffff81000000 (relocation range)\n';
    expect(await decoded(`${offset}${alone}\n`)).toBe(`${offset}${alone} (kernel/panic.c:16)\n`);
  });

  test("xenctx's own lines", async () => {
    const address = ((kernel.table.addressOf('panic') ?? 0n) + BigInt(behind(kernel, 'panic', 12))).toString(
      16,
    );
    expect(await decoded(`rip: ${address} panic+0x8\n`)).toBe(
      `rip: ${address} panic+0x8 (kernel/panic.c:13)\n`,
    );
    expect(await decoded(`   [<${address}>] panic+0x8 <--\n`)).toBe(
      `   [<${address}>] panic+0x8 (kernel/panic.c:13) <--\n`,
    );
    expect(await decoded(`   [<${address}>] panic+0x8\n`)).toBe(
      `   [<${address}>] panic+0x8 (kernel/panic.c:12)\n`,
    );
  });

  describe("the hypervisor's own lines", () => {
    test('stay as they are, though a function of the same name is in the kernel', async () => {
      const line = `(XEN)    [<ffff82d040228bd5>] R ${at('panic', 12)}\n`;
      expect(await decoded(line)).toBe(line);
    });
    test('are decoded with xen-syms', async () => {
      const file = openSymbolFile(xenSyms);
      const line = `(XEN)    ${pointer('panic', 12, 0n, file)} R common.c#panic+0x1/0x2\n`;
      const { text, status } = await decode([line], { symbolTable: xenSyms });
      expect(status).toBe(0);
      expect(text).toContain('(kernel/panic.c:12)');
      expect(text.replace(' (kernel/panic.c:12)', '')).toBe(line);
      file.close();
    });
  });

  test.each([
    ['nothing to decode', 'hello\n'],
    ['no such function', ' nosuch+0x1/0x10\n'],
    ['another size: another kernel', ' panic+0x1/0x99999\n'],
    ['an offset beyond the function', ' panic+0x9999999/0x10\n'],
    ['user mode', 'RIP: 0033:0x47b7a0\n'],
    ['registers', 'RAX: ffffffff81000010 RBX: 0000000000000000\n'],
    ['no last line end', 'the end'],
    ['empty lines', '\n\n\n'],
    ['carriage returns', 'a\r\n\r\nb\r\n'],
    ['no text', '\u0000\u0001\u001b[31m\u00ff'],
    ['a word without end', `${'a'.repeat(200_000)}\n`],
    ['many signs', `${'+0x/[<'.repeat(10_000)}\n`],
  ])('stays as it is: %s', async (_, log) => {
    expect(await decoded(log)).toBe(log);
  });

  test('bytes are kept, whatever they are', async () => {
    const bytes = Buffer.from(Array.from({ length: 1024 }, (_, index) => (index * 7) & 0xff));
    const result = await decode([banner, bytes]);
    expect(result.bytes.subarray(banner.length).equals(bytes)).toBe(true);
  });

  test('carriage returns stay at the end of the line', async () => {
    expect(await decoded(` ${at('caller', 4)}\r\n`)).toBe(
      ` ${at('caller', 4)} (inner at kernel/panic.c:4)\r\n   (inlined by) outer at kernel/panic.c:8\r\n   (inlined by) caller at kernel/panic.c:17\r\n`,
    );
  });

  test('a line that arrives in pieces', async () => {
    const line = ` ${at('panic', 12)}\n`;
    const { text } = await decode([banner, ...line]);
    expect(text).toBe(`${banner} ${at('panic', 12)} (kernel/panic.c:12)\n`);
  });

  describe('whose kernel it is', () => {
    const frame = () => ` ${at('panic', 12)}\n`;
    const found = (text: string) => expect(text).toContain('(kernel/panic.c:12)');
    test('by the line of a trace', async () => {
      const { text, status } = await decode([
        `CPU: 0 UID: 0 PID: 1 Comm: a b Tainted: G   W  ${RELEASE} #1 Debian\n`,
        frame(),
      ]);
      expect(status).toBe(0);
      found(text);
    });
    test('not by a line that is made to keep the search busy: it passes', async () => {
      const line = `${'CPU: 1 Comm: 6 '.repeat(4000)}\n`;
      expect(await decoded(line)).toBe(line);
    });
    test('by the last that looks like a release, whatever a process is called', async () => {
      const text = await decoded(`CPU: 0 PID: 1 Comm: 5.0 #1 x Not tainted ${RELEASE} #1\n${frame()}`);
      expect(text).toMatch(/\(.*panic\.c:\d+\)/);
    });
    test('by its build-id', async () => {
      const { text, stderr } = await decode([
        `CPU: 0 PID: 1 Comm: init Not tainted ${RELEASE} #1 ${kernel.buildId}\n`,
        frame(),
      ]);
      expect(stderr).toBe('');
      found(text);
    });
    test('by -s, with a word when the log is of another', async () => {
      const { text, stderr } = await decode(
        [`CPU: 0 PID: 1 Comm: init Not tainted 5.0 #1 ${'ab'.repeat(20)}\n`, frame()],
        {
          symbolTable: vmlinux,
        },
      );
      expect(stderr).toContain('the log is of another kernel');
      found(text);
    });
    test('a kernel that nobody has is told, and the log is printed', async () => {
      const log = `Linux version 9.9.9-none (a@b)\n${frame()}`;
      const { text, stderr, status } = await decode([log]);
      expect(text).toBe(log);
      expect(status).toBe(1);
      expect(stderr).toMatch(/no vmlinux of 9\.9\.9-none .*pvh-report stash/);
    });
    test('a log that does not say', async () => {
      const { text, stderr, status } = await decode([frame()]);
      expect(text).toBe(frame());
      expect(status).toBe(1);
      expect(stderr).toContain('does not say of which kernel');
    });
    test('a log over a reboot into another kernel', async () => {
      const { text } = await decode([
        banner,
        frame(),
        'Linux version 9.9.9-none (a@b)\n',
        frame(),
        banner,
        frame(),
      ]);
      expect(text.match(/kernel\/panic\.c:12/g)).toHaveLength(2);
    });
  });

  test('--base', async () => {
    const full = kernel.debugInfo?.lookup(kernel.table.addressOf('panic') ?? 0n)[0]?.file ?? '';
    const log = ` ${at('panic', 12)}\n`;
    expect(await decoded(log, { base: '/nowhere' })).toContain(` (${full}:12)`);
    expect(await decoded(log, { base: full.replace('/kernel/panic.c', '') })).toContain(
      ' (kernel/panic.c:12)',
    );
  });

  test('each line comes out before the next one goes in', async () => {
    const loader = fileURLToPath(new URL('../../tools/dev/typescript.mjs', import.meta.url));
    const bin = fileURLToPath(new URL('../../tools/bin/pvh-report.ts', import.meta.url));
    const child = spawn(process.execPath, ['--import', loader, bin, 'decode', '-s', vmlinux], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    try {
      const line = (): Promise<string> =>
        new Promise((resolve) => child.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString())));
      for (const number of [11, 12]) {
        const arrives = line();
        child.stdin.write(` ${at('panic', number)}\n`);
        expect(await arrives).toContain(`(kernel/panic.c:${number})`);
      }
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.stdin.end();
      expect(await ended).toBe(0);
    } finally {
      child.kill();
    }
  });
});
