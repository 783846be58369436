// A reader with every fault that the harness looks for, for the test of the harness: the first byte says which.
import type { FuzzTarget } from '../target.ts';

const FAULTS: Readonly<Record<number, () => void>> = {
  1: () => {
    throw new TypeError('no FormatError');
  },
  2: () => {
    new Uint8Array(1 << 30);
  },
  3: () => {
    for (const all: string[][] = []; ; ) all.push(Array.from({ length: 1 << 16 }, (_, index) => `${index}`));
  },
  4: () => {
    for (;;);
  },
};

export const FAULTY: FuzzTarget = {
  name: 'faulty',
  seeds: () => Array.from({ length: 5 }, (_, fault) => Uint8Array.of(fault, 0, 0, 0, 0, 0, 0, 0)),
  run: ([fault = 0]) => {
    FAULTS[fault]?.();
    return 1;
  },
};
