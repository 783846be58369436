// Every row of a kernel's ORC tables as objtool of the same kernel's build reads it.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FileSource } from '../../core/host/file-source.ts';
import { findSection, openElf, readSection } from '../../symbols/elf/elf-file.ts';
import { decodeOrcEntry, orcFromElf } from '../../symbols/unwind/orc.ts';
import type { UnwindRow } from '../../symbols/unwind/row.ts';
import { debianArchive, debianKernel, debianPackage, dependenciesOf } from '../support/debian.ts';

const ENTRY_SIZE = 6;

/** The objtool that wrote a kernel's tables: it knows their format. */
function objtoolOf(release: string): string {
  const kbuild = dependenciesOf(`linux-headers-${release}`).find((name) => name.startsWith('linux-kbuild-'));
  if (kbuild === undefined) throw new Error(`headers of ${release} depend on no linux-kbuild`);
  const folder = join(debianPackage(kbuild), 'usr/lib', kbuild, 'tools/objtool');
  // Since 6.12 `objtool` is a program that chooses among those of several machines.
  const found = ['objtool.real-x86', 'objtool'].map((name) => join(folder, name)).find(existsSync);
  if (found === undefined) throw new Error(`no objtool in ${folder}`);
  return found;
}

const KINDS: Readonly<Record<string, UnwindRow['kind']>> = {
  '(und)': 'unknown',
  call: 'call',
  regs: 'registers',
  'regs (partial)': 'iret frame',
  end: 'end',
};

/** One line of `objtool --dump=orc`: `.text+68: sp:sp+8 bp:(und) type:call end:0` of 6.1, `ffff...68:type:call sp:... signal:0` of 6.12. */
const LINE =
  /^(?:(?<section>\S+)\+)?(?<offset>[0-9a-f]+): ?(?=.*sp:(?<sp>\S+))(?=.*bp:(?<bp>\S+))(?=.*type:(?<type>\S+(?: \(partial\))?))(?:.*end:(?<end>\d))?(?:.*signal:(?<signal>\d))?/;

interface Told {
  /** Undefined where objtool takes it from relocations, which are not sorted as the rows are (6.1). */
  readonly address: bigint | undefined;
  /** Kind, frame address, rbp, and whether the caller was interrupted. */
  readonly row: string;
}

function parse(line: string): Told {
  const { section, offset, sp, bp, type, end, signal } = LINE.exec(line)?.groups ?? {};
  let kind = KINDS[type ?? ''];
  if (offset === undefined || kind === undefined) throw new Error(`objtool: ${line}`);
  // Before 6.4 the end of a stack is a call whose frame is not defined, with a mark.
  if (end !== undefined && sp === '(und)') kind = end === '1' ? 'end' : 'unknown';
  const known = kind !== 'end' && kind !== 'unknown';
  const interrupted = signal === undefined ? kind !== 'call' : signal === '1';
  return {
    address: section === undefined ? BigInt(`0x${offset}`) : undefined,
    row: known ? [kind, sp, bp, interrupted].join(' ') : kind,
  };
}

const SHORT: Readonly<Record<string, string>> = {
  rsp: 'sp',
  rbp: 'bp',
  rdx: 'dx',
  rdi: 'di',
  rax: 'ax',
  cfa: 'prevsp',
};

const place = (base: string, offset: number): string =>
  `${SHORT[base] ?? base}${offset < 0 ? '' : '+'}${offset}`;

/** A row in objtool's words. */
function described({ kind, cfa, saved, signal }: UnwindRow): string {
  if (kind === 'end' || kind === 'unknown') return kind;
  const { rbp } = saved;
  if ('expression' in cfa || (rbp && (rbp === 'lost' || 'expression' in rbp))) return 'not of ORC';
  const plain = place(cfa.base, cfa.offset);
  const loaded = cfa.load === 'at place' ? `(${plain})` : plain;
  const sp = cfa.load === 'at base' ? plain.replace(/^sp/, '(sp)') : loaded;
  return [kind, sp, rbp ? place(rbp.base, rbp.offset) : '(und)', signal].join(' ');
}

/** Look-ups by address take a while. */
const STEP = 16;

describe.runIf(debianArchive)('ORC rows of a kernel', { timeout: 600_000 }, () => {
  // Formats 1 and 3.
  test.each(['linux-image-cloud-amd64', 'linux-image-6.12-cloud-amd64'])('%s', (meta) => {
    const { release, vmlinux } = debianKernel(meta);
    const path = vmlinux();
    const file = new FileSource(path);
    onTestFinished(() => file.close());
    const elf = openElf(file);
    const section = (name: string): Uint8Array | undefined => {
      const found = findSection(elf, name);
      return found && readSection(elf, found);
    };
    const [entries, header] = [section('.orc_unwind') ?? new Uint8Array(0), section('.orc_header')];
    const rows = orcFromElf(elf);
    const dump = execFileSync(objtoolOf(release), ['--dump=orc', path], {
      encoding: 'utf8',
      maxBuffer: 1 << 27,
    });
    const told = dump.trim().split('\n').map(parse);
    expect(told.length).toBe(entries.length / ENTRY_SIZE);
    expect(told.length).toBeGreaterThan(300_000);
    const kinds = new Set<string>();
    const wrong: string[] = [];
    told.forEach(({ address, row }, index) => {
      const entry = decodeOrcEntry(entries.subarray(index * ENTRY_SIZE, (index + 1) * ENTRY_SIZE), header);
      kinds.add(entry.kind);
      if (described(entry) !== row) wrong.push(`${index}: ${described(entry)}, objtool: ${row}`);
      const next = told[index + 1]?.address;
      // Of rows with one address the last holds.
      if (index % STEP !== 0 || address === undefined || next === undefined || next === address) return;
      const found = rows?.find(address);
      if (!found || described(found) !== row) wrong.push(`${address.toString(16)}: another row than ${row}`);
    });
    expect(wrong.slice(0, 10)).toEqual([]);
    expect([...kinds].sort()).toEqual(['call', 'end', 'iret frame', 'registers', 'unknown']);
  });
});
