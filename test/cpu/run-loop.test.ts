// The run loop: what is cached, linked and left out must not show. Self-modifying code, page crossings, budgets, strings.
import { expect, test } from 'vitest';
import { CODE, DATA, Guest, TABLES, WINDOW } from '../support/guest.ts';

/** Page-table entry of a page in the identity map of long mode. */
const entryOf = (address: number): number => TABLES + 0x3000 + 8 * (address >> 12);

// mov ecx, 1000; xor eax, eax; 1: add rax, rcx; test al, 1; jz 2f; inc rbx; 2: dec ecx; jnz 1b
const LOOP = 'b9 e8030000 31c0 4801c8 a801 7403 48ffc3 ffc9 75f2';

test.each([1, 2, 3, 7, 100, 1_000_000])('a budget of %i slices a program without changing it', (budget) => {
  const guest = new Guest('long');
  guest.machine.write(CODE, Buffer.from(`${LOOP}f4`.replaceAll(' ', ''), 'hex'));
  guest.set({ rbx: 0n });
  let runs = 0;
  while (guest.machine.run(0, budget).kind === 'budget') if (++runs > 100_000) throw new Error('no end');
  expect(guest.registers.rax).toBe(500_500n);
  // Every second partial sum is odd, and those count one INC each.
  const odd = Number(guest.registers.rbx);
  expect(odd).toBe(500);
  expect(guest.machine.retired(0)).toBe(2 + 5 * 1000 + odd + 1);
  expect(guest.machine.now()).toBe(guest.machine.retired(0));
});

test.each([
  // mov byte [rip+1], 42h; mov al, 1 (its immediate is what the store changes)
  ['a store', 'c6 05 01000000 42 b0 01'],
  // mov rdi, CODE+18; mov al, 42h; cld; stosb; nop; mov al, 1
  ['STOS', '48c7c7 0d800000 b042 fc aa 90 b001'],
])('%s changes the next instruction of its own run', (_, code) => {
  const guest = new Guest('long');
  guest.run(code);
  expect(guest.registers.rax & 0xffn).toBe(0x42n);
  guest.run(code);
  expect(guest.registers.rax & 0xffn).toBe(0x42n);
});

test('a PUSH into decoded code moves rsp and changes the code', () => {
  const guest = new Guest('long');
  // push rax writes 8 bytes over what follows at CODE+16: mov bl, 1 becomes mov bl, 42h; hlt
  const rest = '90'.repeat(15);
  guest.run(`50 ${rest} b301 f4 90 90 90 90 90`);
  expect(guest.registers.rbx & 0xffn).toBe(1n);
  guest.set({ rip: BigInt(CODE), rsp: BigInt(CODE + 24), rax: 0x90909090_90f442b3n, rbx: 0n });
  guest.resume();
  expect(guest.registers.rbx & 0xffn).toBe(0x42n);
  expect(guest.registers.rsp).toBe(BigInt(CODE + 16));
});

test('code that another page rewrites is decoded again, and so is code that the host rewrites', () => {
  const guest = new Guest('long');
  const other = CODE + 0x1000;
  guest.machine.write(other, Uint8Array.of(0xb3, 1, 0xc3)); // mov bl, 1; ret
  // call other; mov byte [other+1], 2; call other
  const call = (at: number) => {
    const bytes = Buffer.alloc(5, 0xe8);
    bytes.writeInt32LE(other - (at + 5), 1);
    return bytes.toString('hex');
  };
  guest.run(`${call(CODE)} 88d9 c60425 01900000 02 ${call(CODE + 15)}`);
  expect(guest.registers.rcx & 0xffn).toBe(1n);
  expect(guest.registers.rbx & 0xffn).toBe(2n);
  guest.machine.writeU8(other + 1, 3);
  guest.run(call(CODE));
  expect(guest.registers.rbx & 0xffn).toBe(3n);
});

test('an instruction that crosses into a page which is not there faults at that page', () => {
  const guest = new Guest('long');
  const at = DATA + 0x1000 - 3;
  const code = Uint8Array.of(0x48, 0xc7, 0xc0, 0x78, 0x56, 0x34, 0x12, 0xf4); // mov rax, 12345678h
  guest.machine.write(at, code);
  const entry = entryOf(DATA + 0x1000);
  const present = guest.machine.readU64(entry);
  guest.machine.writeU64(entry, 0n);
  guest.set({ rip: BigInt(at), rax: 0n, cr3: BigInt(TABLES) });
  expect(guest.resume()).toMatchObject({ vector: 14, error: 16, rip: BigInt(at) });
  expect(guest.registers.cr2).toBe(BigInt(DATA + 0x1000));
  guest.machine.writeU64(entry, present);
  for (const high of [0x12, 0x34]) {
    // Its second half changes in the other page.
    guest.machine.writeU8(DATA + 0x1003, high);
    guest.set({ rip: BigInt(at), rsp: 0xa000n });
    expect(guest.resume()).toBeUndefined();
    expect(guest.registers.rax).toBe(0x345678n | (BigInt(high) << 24n));
  }
});

test.each([
  ['forward, overlapping: the first byte spreads', 'fc f3a4', DATA, DATA + 1, 'aaaaaaaaaaaa'],
  ['backward, overlapping: a proper move', 'fd f3a4', DATA + 4, DATA + 5, 'aabbccddee'],
  ['count 0: nothing', 'fc 31c9 f3a4', DATA, DATA + 1, 'aabbccddeeff'],
])('rep movsb %s', (name, code, from, to, expected) => {
  const guest = new Guest('long');
  guest.machine.write(DATA, Uint8Array.of(0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff));
  guest.set({ rsi: BigInt(from), rdi: BigInt(to), rcx: 5n });
  guest.run(code);
  const got = Buffer.from(
    guest.machine.read(name.startsWith('backward') ? DATA + 1 : DATA, expected.length / 2),
  );
  expect(got.toString('hex')).toBe(expected);
  expect(guest.registers.rcx).toBe(0n);
});

test('rep stos that runs into a missing page stops there with its registers, and goes on when it is restarted', () => {
  const guest = new Guest('long');
  const start = WINDOW - 0x1800;
  guest.entry = 0n;
  guest.set({ rdi: BigInt(start), rcx: 0x800n, rax: 0x1122334455667788n });
  expect(guest.run('fc f348ab')).toMatchObject({ vector: 14, error: 2, rip: BigInt(CODE + 1) });
  expect(guest.registers.cr2).toBe(BigInt(WINDOW));
  expect(guest.registers.rdi).toBe(BigInt(WINDOW));
  expect(guest.registers.rcx).toBe(0x500n);
  expect(guest.machine.readU64(WINDOW - 8)).toBe(0x1122334455667788n);
});

test('a repeat counts one instruction for each pass inside a page', () => {
  const guest = new Guest('long');
  guest.set({ rdi: BigInt(DATA), rcx: 0x3000n, rax: 0n });
  const before = guest.machine.retired(0);
  guest.run('fc f3aa');
  expect(guest.machine.retired(0) - before).toBe(1 + 3 + 1);
});

test.each([
  ['repe cmpsb', 'fc f3a6', 3n],
  ['repne scasb', 'b0dd fc f2ae', 4n],
])('%s stops where it should', (_, code, left) => {
  const guest = new Guest('long');
  guest.machine.write(DATA, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  guest.machine.write(DATA + 0x100, Uint8Array.of(1, 2, 3, 0xdd, 0xdd, 6, 7, 8));
  guest.set({ rsi: BigInt(DATA), rdi: BigInt(DATA + 0x100), rcx: code.startsWith('b0') ? 8n : 7n });
  guest.run(code);
  expect(guest.registers.rcx).toBe(left);
});

/** A program of register instructions and short forward jumps, `count` of them. */
function randomProgram(seed: number, count: number): number[] {
  let state = seed;
  const random = (n: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  // Not rsp.
  const register = (): number => [0, 1, 2, 3, 5, 6, 7][random(7)] ?? 0;
  const modrm = (): number => 0xc0 | (register() << 3) | register();
  const rex = (): number => (random(2) ? 0x48 : 0x40);
  const makers: (() => number[])[] = [
    () => [rex(), random(8) * 8 + (random(2) ? 1 : 3), modrm()], // ALU rr
    () => [rex(), 0x83, 0xc0 | (random(8) << 3) | register(), random(256)], // ALU ri
    () => [rex(), random(2) ? 0x89 : 0x85, modrm()], // MOV, TEST
    () => [rex(), 0xc1, 0xc0 | ((4 + random(4)) * 8) | register(), random(2) ? random(64) : 0], // shift ri
    () => [rex(), 0xd3, 0xc0 | ((4 + random(4)) * 8) | register()], // shift by cl
    () => [rex(), 0x0f, 0xaf, modrm()], // IMUL
    () => [rex(), 0xff, 0xc0 | (random(2) << 3) | register()], // INC, DEC
    () => [rex(), 0xf7, 0xd0 | (random(2) << 3) | register()], // NOT, NEG
    () => [0x40, 0x0f, 0x90 | random(16), 0xc0 | register()], // SETcc
    () => [rex(), 0x0f, 0x40 | random(16), modrm()], // CMOVcc
    () => [0x48, 0x8d, 0x40 | (register() << 3) | register(), random(128)], // LEA
    () => [0x70 | random(16), 0x03, 0x48, 0x01, modrm()], // Jcc over an ADD
    () => [rex(), 0x0f, 0xb6, modrm()], // MOVZX
    () => [0x9f], // LAHF: what the flags really are
  ];
  return Array.from({ length: count }, () => makers[random(makers.length)]?.() ?? []).flat();
}

test('flags that the loop leaves out are never seen: random programs give what single steps give', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const program = Buffer.from(randomProgram(seed, 80)).toString('hex');
    const results = [0n, 0x100n].map((trapFlag) => {
      const guest = new Guest('long');
      guest.machine.write(0x7000, Uint8Array.of(0x48, 0xcf)); // iretq
      guest.machine.write(0x4010, Uint8Array.of(0xe9, 0xeb, 0x2f, 0, 0)); // #DB: jmp 7000h
      guest.set({
        rax: 1n,
        rbx: 0x8000000000000000n,
        rcx: 0xffffffffn,
        rdx: 77n,
        rsi: 0x7fn,
        rdi: 0xfffffffffffffff0n,
        rbp: 5n,
      });
      guest.set({ rflags: 2n | trapFlag });
      guest.run(program);
      const { rax, rbx, rcx, rdx, rsi, rdi, rbp, rflags } = guest.registers;
      return [rax, rbx, rcx, rdx, rsi, rdi, rbp, rflags].map((v) => v & ~(trapFlag || 0x100n));
    });
    expect(results[0], `seed ${seed}`).toEqual(results[1]);
  }
});
