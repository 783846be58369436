// What every Target promises, whatever it reads: one set of expectations for all kinds.
import { describe, expect, test } from 'vitest';
import type { Target } from '../../core/target/target.ts';
import { MemoryFault } from '../../symbols/errors.ts';

const PAGE = 4096;

/** The guest of the contract: frames 1 and 2 follow each other, 16 stands alone, each full of its own number. */
export const CONTRACT_FRAMES: readonly number[] = [1, 2, 16];
export const contractPage = (gfn: number): Uint8Array => new Uint8Array(PAGE).fill(gfn);
export const CONTRACT_RIP = 0xffffffff81234567n;
export const CONTRACT_RSP = 0xffffc90000013e60n;

/** @param open a target over that guest with two vCPUs, the first with CONTRACT_RIP and CONTRACT_RSP. */
export function targetContract(kind: string, open: () => Target | Promise<Target>): void {
  describe(`${kind}: what every target promises`, () => {
    /** Opens for one test. */
    const using = async (look: (target: Target) => void): Promise<void> => {
      const target = await open();
      try {
        look(target);
      } finally {
        target.close();
      }
    };
    const read = (target: Target, address: number, length: number): number[] => {
      const into = new Uint8Array(length);
      target.readPhysical(address, into);
      return [...into];
    };

    test('it says what it is', () =>
      using((target) => {
        expect(target.kind).toBe(kind);
        expect(target.description.length).toBeGreaterThan(5);
      }));
    test('vCPUs count from 0, with registers or a reason', () =>
      using((target) => {
        expect(target.vcpus.map(({ id }) => id)).toEqual([0, 1]);
        for (const { registers, missing } of target.vcpus)
          expect((registers === undefined) === (missing === undefined)).toBe(false);
        expect(target.vcpus[0]?.registers).toMatchObject({ rip: CONTRACT_RIP, rsp: CONTRACT_RSP });
      }));
    test('frames ascend and do not touch', () =>
      using((target) => {
        expect(target.frames).toEqual([
          [1, 2],
          [16, 1],
        ]);
      }));
    test('reads in a frame, over the border of two, and of all that follow', () =>
      using((target) => {
        expect(read(target, PAGE + 5, 2)).toEqual([1, 1]);
        expect(read(target, 2 * PAGE - 1, 2)).toEqual([1, 2]);
        expect(read(target, PAGE, 2 * PAGE)).toEqual([...contractPage(1), ...contractPage(2)]);
        expect(read(target, 17 * PAGE - 1, 1)).toEqual([16]);
        expect(read(target, PAGE, 0)).toEqual([]);
      }));
    test.each([
      ['below the first frame', 0, 8, 0],
      ['behind the last frame', 17 * PAGE, 1, 17 * PAGE],
      ['over the end of a run', 3 * PAGE - 2, 4, 3 * PAGE],
      ['far away', 2 ** 51, 1, 2 ** 51],
    ])('a read %s is a MemoryFault at the first byte that is not there', (_, address, length, fault) =>
      using((target) => {
        const reading = () => target.readPhysical(address, new Uint8Array(length));
        expect(reading).toThrow(MemoryFault);
        expect(reading).toThrow(
          expect.objectContaining({ space: 'physical', address: BigInt(fault), reason: 'not in dump' }),
        );
      }),
    );
    test('what it lacks it says in words', () =>
      using((target) => {
        for (const text of target.lacks) expect(text).toMatch(/^[\w ,]+: .*\w/);
        const known = target.vcpus[0]?.registers;
        if (known?.efer === undefined) expect(target.lacks.join()).toContain('EFER');
        if (known?.cr3 === undefined) expect(target.lacks.join()).toContain('CR3');
        if (known?.dr7 === undefined) expect(target.lacks.join()).toContain('debug registers');
        if (target.console === undefined) expect(target.lacks.join()).toContain('console');
      }));
    test('after close nothing is read, and closing again is nothing', async () => {
      const target = await open();
      read(target, PAGE, 1);
      target.close();
      expect(() => read(target, PAGE, 1)).toThrow();
      target.close();
    });
  });
}
