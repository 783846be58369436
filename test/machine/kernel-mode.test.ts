// Where a vCPU is, by ring and address.
import { expect, test } from 'vitest';
import { inKernelMode } from '../../core/machine/registers.ts';

const KERNEL = 0xffffffff81000000n;
const PROGRAM = 0x47b7a0n;

test.each([
  ['ring 0', 0x10, KERNEL, true],
  ['a program', 0x33, PROGRAM, false],
  ['a program that jumped to a kernel address', 0x33, KERNEL, false],
  ['a 32-bit PV kernel, in ring 1', 0xe019, 0xc1000123n, true],
  ['a 64-bit PV kernel, in ring 3', 0xe033, KERNEL, true],
  ['a program of a 64-bit PV guest', 0xe033, PROGRAM, false],
] as const)('%s', (_, selector, rip, expected) => {
  expect(inKernelMode({ cs: { selector }, rip })).toBe(expected);
});
