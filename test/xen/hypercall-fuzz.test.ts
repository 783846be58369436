// Whatever a guest asks, the Xen side answers: it throws nothing, ends soon, and leaves the machine usable.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ARGUMENT, XenTestGuest } from '../support/xen-guest.ts';

const GROUPS = [12, 13, 15, 17, 18, 20, 21, 24, 29, 32, 33, 34];
const interesting = fc.oneof(
  { weight: 4, arbitrary: fc.nat(64) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(ARGUMENT, ARGUMENT + 8, ARGUMENT + 4090, 0x3000, 0x7ff0, 4095, 4096),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(0xffff_ffff, 0x8000_0000, 0xfc000, 0xfeffc, 0xfefff, 0xfee00, 0xffff),
  },
  { weight: 1, arbitrary: fc.nat(0xffff_ffff) },
);
const long = fc.oneof(
  interesting.map(BigInt),
  fc.constantFrom(-1n, 1n << 63n, 1n << 40n, (1n << 40n) - 1n, 0xffff_8000_0000_0000n),
);
const hypercall = fc.record({
  number: fc.oneof(fc.constantFrom(...GROUPS), fc.nat(255)),
  command: fc.oneof(fc.nat(40), interesting),
  second: fc.oneof({ weight: 3, arbitrary: fc.constant(BigInt(ARGUMENT)) }, { weight: 2, arbitrary: long }),
  third: fc.oneof(
    { weight: 2, arbitrary: fc.constantFrom(1n, BigInt(ARGUMENT)) },
    { weight: 1, arbitrary: long },
  ),
  words: fc.array(long, { minLength: 4, maxLength: 8 }),
  halves: fc.boolean(),
  vcpu: fc.nat(1),
  wide: fc.boolean(),
});

test('any sequence of hypercalls', () => {
  fc.assert(
    fc.property(fc.array(hypercall, { minLength: 20, maxLength: 60 }), (calls) => {
      const guest = new XenTestGuest({ vcpus: 2, ramBytes: 4 << 20, maxMemKiB: 5 << 10 });
      for (const { number, command, second, third, words, halves, vcpu, wide } of calls) {
        if (wide) guest.enter64(vcpu);
        else guest.enter32(vcpu);
        // The page tables and the argument's page may have been given away: then the calls just fail.
        if (guest.machine.isBacked(ARGUMENT / 4096))
          words.forEach((word, i) => {
            if (halves) guest.machine.writeU32(ARGUMENT + 4 * i, Number(word & 0xffff_ffffn));
            else guest.machine.writeU64(ARGUMENT + 8 * i, BigInt.asUintN(64, word));
          });
        guest.call(number, [command, second, third], vcpu);
        expect(guest.lines.length).toBeLessThan(5000);
        guest.xen.advance(guest.machine.now());
        guest.xen.scheduled(vcpu);
        guest.xen.isBlocked(vcpu);
      }
      structuredClone(guest.xen.snapshot());
      guest.xen.consoleInput(Uint8Array.of(10));
      guest.xen.sysrq('c');
    }),
    { seed: 7, numRuns: 150 },
  );
});

test('any exit that a guest can cause', () => {
  const exit = fc.oneof(
    fc.record({
      kind: fc.constant('msr-read' as const),
      index: fc.oneof(fc.constantFrom(0x40000000, 0xfe, 0x2ff), fc.nat(0xffff_ffff)),
    }),
    fc.record({
      kind: fc.constant('msr-write' as const),
      index: fc.oneof(fc.constantFrom(0x40000000, 0x250, 0x201, 0x2ff), fc.nat(0xffff_ffff)),
      value: long.map((x) => BigInt.asUintN(64, x)),
    }),
    fc.record({
      kind: fc.constant('port-in' as const),
      port: fc.oneof(fc.constantFrom(0xb000, 0xb003, 0xb004, 0xafe0, 0x42), fc.nat(0xffff)),
      size: fc.constantFrom(1, 2, 4),
    }),
    fc.record({
      kind: fc.constant('port-out' as const),
      port: fc.oneof(fc.constantFrom(0xb000, 0xb003, 0xb005, 0xe9), fc.nat(0xffff)),
      size: fc.constantFrom(1, 2, 4),
      value: fc.nat(0xffff_ffff),
    }),
  );
  const guest = new XenTestGuest();
  fc.assert(
    fc.property(exit, (each) => {
      guest.xen.handle(0, each);
    }),
    { seed: 7, numRuns: 2000 },
  );
});
