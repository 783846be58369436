// Turns what xenctx -S -a -C printed of a domain back into that domain: registers, code and stack, in a dump-core file. With it
// the other captures of the same domain can be compared although nobody kept its memory.
import { type DumpImage, writeDumpCore } from '../../core/dump/dump-core.ts';
import type { MachineRegisters } from '../../core/machine/registers.ts';
import { registersWith } from './registers.ts';
import { SparseFile } from './sparse-file.ts';

const PAGE = 4096n;

/** Physical memory with 4-level page tables below the CR3 of each vCPU. */
class Memory {
  readonly pages = new Map<number, Uint8Array>();
  #next = 0x10000;

  page(gfn: number): Uint8Array {
    const page = this.pages.get(gfn) ?? new Uint8Array(4096);
    this.pages.set(gfn, page);
    return page;
  }

  physical(cr3: bigint, address: bigint): number {
    let table = Number(cr3 / PAGE);
    for (let level = 4; level > 0; level--) {
      const index = Number((address >> BigInt(12 + 9 * (level - 1))) & 0x1ffn);
      const entries = new BigUint64Array(this.page(table).buffer);
      if (entries[index] === 0n) entries[index] = BigInt(this.#next++) * PAGE + 1n;
      table = Number((entries[index] ?? 0n) / PAGE);
    }
    this.page(table);
    return table * 4096 + Number(address % PAGE);
  }

  write(cr3: bigint | undefined, address: bigint, bytes: readonly number[]): void {
    bytes.forEach((byte, index) => {
      const at = address + BigInt(index);
      const physical = cr3 === undefined ? Number(at) : this.physical(cr3, at);
      this.page(Math.floor(physical / 4096))[physical % 4096] = byte;
    });
  }
}

const hex = (text: string | undefined): bigint => BigInt(`0x${text ?? '0'}`);
const wordBytes = (word: bigint, size: number): number[] =>
  Array.from({ length: size }, (_, index) => Number((word >> BigInt(index * 8)) & 0xffn));

const NAMES_32: Readonly<Record<string, string>> = {
  eax: 'rax',
  ebx: 'rbx',
  ecx: 'rcx',
  edx: 'rdx',
  esi: 'rsi',
  edi: 'rdi',
  ebp: 'rbp',
};

function parseRegisters(text: string): MachineRegisters {
  const values: Record<string, unknown> = {};
  for (const [, name = '', value] of text.matchAll(/\b(r\w\w?|e[a-ds][xpi]|[cd]r\d): ([0-9a-f]+)/g))
    values[NAMES_32[name] ?? name] = hex(value);
  for (const [, name = '', value] of text.matchAll(/ ([cdefgs]s): +([0-9a-f]{4})/g))
    values[name] = { selector: Number(hex(value)) };
  const selector = (name: string) => ({ selector: 0, ...(values[name] as object) }); // filled above
  values['rflags'] = hex(/flags: ([0-9a-f]+)/.exec(text)?.[1]);
  const fs = / fs: \w+ @ (\w+)/.exec(text);
  const gs = / gs: \w+ @ (\w+)\/(\w+)/.exec(text);
  if (fs) values['fs'] = { ...selector('fs'), base: hex(fs[1]) };
  if (gs) Object.assign(values, { gs: { ...selector('gs'), base: hex(gs[1]) }, kernel_gs_base: hex(gs[2]) });
  values['efer'] = text.startsWith('rip:') ? 0xd01n : 0n;
  const short = /cs:eip: (\w+):(\w+)[\s\S]*ss:esp: (\w+):(\w+)/.exec(text);
  if (short)
    Object.assign(values, {
      cs: { selector: Number(hex(short[1])) },
      rip: hex(short[2]),
      ss: { selector: Number(hex(short[3])) },
      rsp: hex(short[4]),
    });
  return registersWith(values as Partial<MachineRegisters>); // keys are register names
}

function addMemory(memory: Memory, text: string, registers: MachineRegisters): void {
  const cr3 = (registers.cr0 & 0x80000000n) === 0n ? undefined : registers.cr3;
  const code = /^Code .*\n(.*)$/m.exec(text)?.[1] ?? '';
  const bytes = code.match(/[0-9a-f]{2}/g)?.map((byte) => Number.parseInt(byte, 16)) ?? [];
  memory.write(cr3, registers.rip - 21n, bytes);
  const stack = /^Stack:\n((?: .*\n)*)/m.exec(text)?.[1]?.match(/[0-9a-f]{16}/g) ?? [];
  stack.forEach((word, index) => {
    memory.write(cr3, registers.rsp + BigInt(index * 8), wordBytes(hex(word), 8));
  });
  for (const [, at, word] of text.matchAll(/^([0-9a-f]{16}): +(?:\[<)?([0-9a-f]{16})/gm))
    memory.write(cr3, hex(at), wordBytes(hex(word), 8));
}

/**
 * @param captures of one domain: the first shows all registers (-a -C), each adds the memory that it shows.
 * @param extra words of further memory, as -m printed them.
 */
export function coreFromCaptures(
  captures: readonly string[],
  extra: readonly [address: bigint, words: string][] = [],
): SparseFile {
  const memory = new Memory();
  const blocks = (capture = '') => capture.split(/^vcpu(?=\d+)/m).slice(1);
  const vcpus = blocks(captures[0]).map((block, id) => {
    const online = !/^\d+ offline/.test(block);
    const registers = online ? parseRegisters(block.replace(/^\d+:\n/, '')) : registersWith({});
    if (online) for (const capture of captures) addMemory(memory, blocks(capture)[id] ?? '', registers);
    return { id, online, registers };
  });
  for (const [address, words] of extra)
    memory.write(
      undefined,
      address,
      [...words.matchAll(/[0-9a-f]{8}/g)].flatMap(([word]) => wordBytes(hex(word), 4)),
    );
  const frames: DumpImage['frames'] = [...memory.pages].sort(([a], [b]) => a - b);
  const file = new SparseFile();
  writeDumpCore(file, { vcpus, xen: { major: 4, minor: 17, extra: '.7' }, frames });
  return file;
}
