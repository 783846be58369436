import { describe, expect, test } from 'vitest';
import { CODE, DATA, Guest, type Mode, PTE, TABLES, WINDOW } from '../support/guest.ts';

const { P, W, U, A, D, PS, G, NX } = PTE;
const PAGED: readonly Mode[] = ['protected', 'pae', 'compat', 'long'];
const WIDE: readonly Mode[] = ['pae', 'compat', 'long'];

const READ = '8a 03'; // mov al, [rbx]
const WRITE = '88 03'; // mov [rbx], al
const MODIFY = '00 03'; // add [rbx], al
const JUMP = 'ff e3'; // jmp rbx

/** Runs one access to the window in ring 0 or 3 and gives the page fault, undefined when it went through. */
function access(guest: Guest, code: string, user = false, address = WINDOW) {
  if (user) guest.enterUser();
  guest.set({ rbx: BigInt(address), cr2: 0n });
  const trap = guest.run(code);
  // Ring 3 may not HLT: #GP there means that the access itself was fine.
  if (trap === undefined || (user && trap.vector === 13)) return undefined;
  expect(trap.vector).toBe(14);
  return { error: trap.error, cr2: guest.registers.cr2, rip: trap.rip };
}

describe.each(PAGED)('%s paging', (mode) => {
  const noExecute = mode === 'protected' ? 0 : 16;
  test.each([
    ['a supervisor read of an absent page', 0n, READ, false, 0],
    ['a supervisor write of an absent page', 0n, WRITE, false, 2],
    ['a user read of an absent page', 0n, READ, true, 4],
    ['a user write of an absent page', W | U, WRITE, true, 6],
    ['a fetch of an absent page', 0n, JUMP, false, noExecute],
    ['a user read of a supervisor page', P | W, READ, true, 5],
    ['a user write of a read-only page', P | U, WRITE, true, 7],
    ['a user read-modify-write of a read-only page', P | U, MODIFY, true, 7],
    ['a supervisor write of a read-only page under WP', P, WRITE, false, 3],
    ['a user fetch of a supervisor page', P | W, JUMP, true, 5 | noExecute],
  ])('%s faults', (_, bits, code, user, error) => {
    const guest = new Guest(mode);
    guest.entry = BigInt(DATA) | bits;
    expect(access(guest, code, user)).toEqual({
      error,
      cr2: BigInt(WINDOW),
      rip: code === JUMP ? BigInt(WINDOW) : BigInt(CODE),
    });
    expect(guest.entry).toBe(BigInt(DATA) | bits);
  });

  test('reads set A, writes set D, in every level', () => {
    const guest = new Guest(mode);
    guest.entry = BigInt(DATA) | P | W | U;
    guest.machine.writeU8(DATA, 0x5a);
    expect(access(guest, READ)).toBeUndefined();
    expect(guest.registers.rax & 0xffn).toBe(0x5an);
    expect(guest.entry).toBe(BigInt(DATA) | P | W | U | A);
    guest.set({ rax: 0x77n });
    expect(access(guest, WRITE)).toBeUndefined();
    expect(guest.machine.readU8(DATA)).toBe(0x77);
    expect(guest.entry).toBe(BigInt(DATA) | P | W | U | A | D);
    const upper = mode === 'protected' ? TABLES + 4 : TABLES + 0x2010;
    expect(guest.machine.readU8(upper) & 0x60).toBe(0x20);
  });

  test('without WP the supervisor writes read-only pages', () => {
    const guest = new Guest(mode);
    guest.entry = BigInt(DATA) | P | U;
    guest.set({ cr0: 0x80000011n });
    expect(access(guest, WRITE)).toBeUndefined();
    expect(access(guest, WRITE, true)?.error).toBe(7);
  });

  test('a changed entry counts after INVLPG only', () => {
    const guest = new Guest(mode);
    guest.machine.writeU8(DATA, 1);
    guest.machine.writeU8(DATA + 0x1000, 2);
    access(guest, READ);
    guest.entry = BigInt(DATA + 0x1000) | P | W;
    // mov al, [rbx]; mov cl, al; invlpg [rbx]; mov al, [rbx]
    guest.set({ rbx: BigInt(WINDOW) });
    // The host's write of the entry is not seen either: as on real hardware, only the guest's flush counts.
    guest.run('8a 03 88 c1 0f 01 3b 8a 03');
    expect(guest.registers.rax & 0xffn).toBe(2n);
  });

  test('an access across two pages checks both before it writes', () => {
    const guest = new Guest(mode);
    guest.machine.writeU32(DATA + 0xffc, 0x11111111);
    // mov [rbx], eax with rbx 2 bytes before the window's end
    guest.set({ rax: 0xaabbccddn });
    expect(access(guest, '89 03', false, WINDOW + 0xffe)).toEqual({
      error: 2,
      cr2: BigInt(WINDOW + 0x1000),
      rip: BigInt(CODE),
    });
    expect(guest.machine.readU32(DATA + 0xffc)).toBe(0x11111111);
    const next = guest.entryAddress + (mode === 'protected' ? 4 : 8);
    guest.machine.writeU32(next, DATA + 0x5000 + 3);
    expect(access(guest, '89 03', false, WINDOW + 0xffe)).toBeUndefined();
    expect(guest.machine.readU16(DATA + 0xffe)).toBe(0xccdd);
    expect(guest.machine.readU16(DATA + 0x5000)).toBe(0xaabb);
  });

  test('SMEP and SMAP keep the supervisor off user pages', () => {
    const guest = new Guest(mode);
    // The identity map must be supervisor pages then.
    const size = mode === 'protected' ? 4 : 8;
    const last = mode === 'protected' ? TABLES + 0x4000 : TABLES + 0x3000;
    for (let i = 0; i < 1024; i++) guest.machine.writeU8(last + size * i, 3);
    const cr4 = guest.registers.cr4;
    guest.entry = BigInt(DATA) | P | W | U;
    guest.machine.writeU8(DATA, 0xf4);
    expect(access(guest, JUMP)).toBeUndefined();
    guest.set({ cr4: cr4 | 0x100000n });
    expect(access(guest, JUMP)?.error).toBe(17);
    expect(access(guest, READ)).toBeUndefined();
    guest.set({ cr4: cr4 | 0x200000n });
    expect(access(guest, READ)?.error).toBe(1);
    expect(access(guest, WRITE)?.error).toBe(3);
    // stac; mov al, [rbx]; clac; mov al, [rbx]
    expect(access(guest, `0f 01 cb ${READ}`)).toBeUndefined();
    guest.set({ rflags: 2n });
    expect(access(guest, `0f 01 cb ${READ} 0f 01 ca ${READ}`)).toMatchObject({
      error: 1,
      rip: BigInt(CODE + 8),
    });
  });

  test('a 4-byte load of an unmapped gpa reads all ones', () => {
    const guest = new Guest(mode);
    guest.entry = 0x0fff0000n | P | W;
    expect(access(guest, '8b 03')).toBeUndefined();
    expect(guest.registers.rax & 0xffffffffn).toBe(0xffffffffn);
    expect(access(guest, '89 03')).toBeUndefined();
  });
});

describe.each(WIDE)('%s paging', (mode) => {
  test.each([
    ['a read of a page above the physical width', P | (1n << 46n), READ, false, 9],
    ['a fetch of a no-execute page', P | NX, JUMP, false, 17],
    ['a user fetch of a no-execute page', P | U | NX, JUMP, true, 21],
  ])('%s faults', (_, bits, code, user, error) => {
    const guest = new Guest(mode);
    guest.entry = BigInt(DATA) | bits;
    expect(access(guest, code, user)?.error).toBe(error);
  });

  test('NX is reserved without EFER.NXE', () => {
    const guest = new Guest(mode);
    guest.set({ efer: guest.registers.efer === undefined ? 0n : guest.registers.efer & ~0x800n });
    guest.entry = BigInt(DATA) | P | NX;
    expect(access(guest, READ)?.error).toBe(9);
  });

  test('2 MiB pages: data, reserved bits, INVLPG of the whole', () => {
    const guest = new Guest(mode);
    const pde = TABLES + 0x2010;
    guest.machine.writeU64(pde, P | W | PS);
    guest.machine.writeU8(DATA + 5, 0x42);
    expect(access(guest, READ, false, WINDOW + DATA + 5)).toBeUndefined();
    expect(guest.registers.rax & 0xffn).toBe(0x42n);
    expect(guest.machine.readU64(pde)).toBe(P | W | PS | A);
    guest.machine.writeU64(pde, 0x200000n | P | W | PS);
    guest.set({ rbx: BigInt(WINDOW + DATA + 5), rcx: BigInt(WINDOW) });
    guest.run('0f 01 39 8a 03'); // invlpg [rcx]; mov al, [rbx]
    expect(guest.registers.rax & 0xffn).toBe(0n);
    guest.machine.writeU64(pde, 0x2000n | P | W | PS);
    guest.run('0f 01 39 8a 03');
    expect(guest.registers.cr2).toBe(BigInt(WINDOW + DATA + 5));
  });
});

describe('4-level paging', () => {
  test('1 GiB pages', () => {
    const guest = new Guest('long');
    guest.machine.writeU64(TABLES + 0x1008, P | W | PS);
    guest.machine.writeU8(DATA + 9, 0x33);
    expect(access(guest, READ, false, 0x40000000 + DATA + 9)).toBeUndefined();
    expect(guest.registers.rax & 0xffn).toBe(0x33n);
    guest.machine.writeU64(TABLES + 0x1008, P | W | PS | 0x200000n);
    guest.set({ cr3: BigInt(TABLES) });
    expect(access(guest, READ, false, 0x40000000)?.error).toBe(9);
  });

  test('PS in a level-4 entry is reserved', () => {
    const guest = new Guest('long');
    guest.machine.writeU64(TABLES + 8, BigInt(TABLES + 0x1000) | P | W | PS);
    expect(access(guest, READ, false, 2 ** 39)?.error).toBe(9);
  });

  test('global pages live through a CR3 load, others do not', () => {
    for (const global of [0n, G]) {
      const guest = new Guest('long');
      guest.set({ cr4: 0xa0n, rbx: BigInt(WINDOW), rcx: BigInt(guest.entryAddress), rdx: BigInt(TABLES) });
      guest.entry = BigInt(DATA) | P | W | global;
      guest.machine.writeU8(DATA, 1);
      // mov al, [rbx]; mov dword [rcx], 0; mov cr3, rdx; mov al, [rbx]
      const trap = guest.run('8a 03 c7 01 00 00 00 00 0f 22 da 8a 03');
      expect(trap?.vector).toBe(global ? undefined : 14);
    }
  });

  test.each([
    ['a non-canonical load is #GP', '8a 03', 0x800000000000n, 13],
    ['a non-canonical store is #GP', '88 03', 0xffff7fffffffffffn, 13],
    ['a non-canonical push is #SS', '53', 0x800000000008n, 12],
    ['a load through rsp is #SS', '8a 04 24', 0x800000000000n, 12],
    ['a load across the end of the low half is #GP', '48 8b 03', 0x7ffffffffffcn, 13],
  ])('%s', (_, code, address, vector) => {
    const guest = new Guest('long');
    for (let v = 0; v < 32; v++) guest.setGate(v, 0x8e, 1);
    guest.set({ rbx: address, rsp: address });
    const trap = guest.run(code);
    expect(trap).toMatchObject({ vector, rip: BigInt(CODE) });
    expect(trap?.error).toBe(0);
  });
});

describe('PAE', () => {
  test('page-directory pointers are read when CR3 is loaded, and reserved bits there are #GP', () => {
    const guest = new Guest('pae');
    guest.machine.writeU64(TABLES, 0n);
    expect(access(guest, READ)).toBeUndefined();
    guest.machine.writeU64(TABLES, BigInt(TABLES + 0x2000) | P | W);
    guest.set({ rax: BigInt(TABLES) });
    expect(guest.run('0f 22 d8')).toMatchObject({ vector: 13, error: 0, rip: BigInt(CODE) });
  });
});

test('2-level 4 MiB pages', () => {
  const guest = new Guest('protected');
  guest.machine.writeU32(TABLES + 4, 0x83);
  guest.machine.writeU8(DATA + 1, 0x24);
  expect(access(guest, READ, false, WINDOW + DATA + 1)).toBeUndefined();
  expect(guest.registers.rax & 0xffn).toBe(0x24n);
  guest.machine.writeU32(TABLES + 4, 0x2083);
  guest.set({ cr3: BigInt(TABLES) });
  expect(access(guest, READ)?.error).toBe(9);
});

test('translate follows the guest tables and leaves A and D alone', () => {
  const guest = new Guest('long');
  expect(guest.machine.translate(0, BigInt(WINDOW + 5))).toBe(DATA + 5);
  expect(guest.machine.translate(0, BigInt(WINDOW + 0x1000))).toBeUndefined();
  expect(guest.machine.translate(0, 1n << 47n)).toBeUndefined();
  expect(guest.entry & (A | D)).toBe(0n);
  guest.machine.write(DATA, Uint8Array.of(1, 2, 3));
  expect(guest.machine.readVirtual(0, BigInt(WINDOW), 3)).toEqual(Uint8Array.of(1, 2, 3));
  expect(guest.machine.readVirtual(0, BigInt(WINDOW + 0xfff), 2)).toBeUndefined();
  expect(guest.machine.writeVirtual(0, BigInt(WINDOW + 0xfff), Uint8Array.of(9, 9))).toBe(false);
  expect(guest.machine.readU8(DATA + 0xfff)).toBe(0);
});
