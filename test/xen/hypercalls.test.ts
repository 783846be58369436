import { describe, expect, test } from 'vitest';
import { ARGUMENT, type Field, XenTestGuest } from '../support/xen-guest.ts';

const EVTCHN = 32;
const MEMORY = 12;
const VERSION = 17;
const VCPU = 24;
const SCHED = 29;
const HVM = 34;
const GRANT = 20;
const SELF = 0x7ff0;
const [EPERM, ENOENT, ESRCH, E2BIG, EFAULT, EEXIST, EINVAL, ENOSYS, ETIME] = [
  -1, -2, -3, -7, -14, -17, -22, -38, -62,
];

interface Row {
  readonly name: string;
  readonly number: number;
  readonly command: number;
  readonly fields?: readonly Field[];
  readonly result: number;
}

const shared = (gfn: number): Field[] => [
  [0, 2, SELF],
  [4, 4, 0],
  [16, 8, gfn],
];

describe('what a guest may ask, and what Xen answers', () => {
  test.each<Row>([
    { name: 'unknown hypercall', number: 99, command: 0, result: ENOSYS },
    { name: 'number beyond 32 bits counts by its low half', number: 0xffff_ffff, command: 0, result: ENOSYS },
    { name: 'version 4.17', number: VERSION, command: 0, result: 0x40011 },
    { name: 'pagesize', number: VERSION, command: 7, result: 4096 },
    { name: 'features submap 1', number: VERSION, command: 6, fields: [[0, 4, 1]], result: EINVAL },
    { name: 'command line of Xen', number: VERSION, command: 9, result: EPERM },
    { name: 'bind_virq 24', number: EVTCHN, command: 1, fields: [[0, 4, 24]], result: EINVAL },
    {
      name: 'global virq on vCPU 1',
      number: EVTCHN,
      command: 1,
      fields: [
        [0, 4, 2],
        [4, 4, 1],
      ],
      result: EINVAL,
    },
    { name: 'bind_ipi on no vCPU', number: EVTCHN, command: 7, fields: [[0, 4, 9]], result: ENOENT },
    { name: 'send on a closed port', number: EVTCHN, command: 4, fields: [[0, 4, 77]], result: EINVAL },
    {
      name: 'send on port 2^32-1',
      number: EVTCHN,
      command: 4,
      fields: [[0, 4, 0xffff_ffff]],
      result: EINVAL,
    },
    { name: 'unmask port 4096', number: EVTCHN, command: 9, fields: [[0, 4, 4096]], result: EINVAL },
    { name: 'FIFO init_control', number: EVTCHN, command: 11, result: ENOSYS },
    {
      name: 'add_to_physmap, space 9',
      number: MEMORY,
      command: 7,
      fields: [
        [0, 2, SELF],
        [4, 4, 9],
      ],
      result: EINVAL,
    },
    { name: 'add_to_physmap, other domain', number: MEMORY, command: 7, fields: [[0, 2, 5]], result: ESRCH },
    { name: 'add_to_physmap, gfn 2^41', number: MEMORY, command: 7, fields: shared(2 ** 41), result: EINVAL },
    {
      name: 'grant frame 64',
      number: MEMORY,
      command: 7,
      fields: [
        [0, 2, SELF],
        [4, 4, 1],
        [8, 8, 64],
        [16, 8, 100],
      ],
      result: EINVAL,
    },
    {
      name: 'remove a hole',
      number: MEMORY,
      command: 15,
      fields: [
        [0, 2, SELF],
        [8, 8, 0x9_0000],
      ],
      result: ENOENT,
    },
    { name: 'memory map without room', number: MEMORY, command: 9, fields: [[0, 4, 1]], result: E2BIG },
    {
      name: 'order 10',
      number: MEMORY,
      command: 6,
      fields: [
        [0, 8, ARGUMENT],
        [8, 8, 1],
        [16, 4, 10],
        [24, 2, SELF],
      ],
      result: EPERM,
    },
    {
      name: 'set a parameter of the toolstack',
      number: HVM,
      command: 0,
      fields: [
        [0, 2, SELF],
        [4, 4, 1],
      ],
      result: EPERM,
    },
    {
      name: 'parameter 39',
      number: HVM,
      command: 1,
      fields: [
        [0, 2, SELF],
        [4, 4, 39],
      ],
      result: EINVAL,
    },
    { name: 'upcall vector 15', number: HVM, command: 23, fields: [[4, 1, 15]], result: EINVAL },
    { name: 'pagetable_dying', number: HVM, command: 9, result: ENOSYS },
    { name: 'poll 129 ports', number: SCHED, command: 3, fields: [[8, 4, 129]], result: EINVAL },
    {
      name: 'watchdog that never was',
      number: SCHED,
      command: 6,
      fields: [
        [0, 4, 1],
        [4, 4, 5],
      ],
      result: EINVAL,
    },
    { name: 'physdev_op', number: 33, command: 0, result: ENOSYS },
  ])('$name', ({ number, command, fields = [], result }) => {
    expect(new XenTestGuest().op(number, command, fields)).toBe(result);
  });

  test.each([
    ['not mapped', 0xffff_8000_0000_0000n],
    ['not canonical', 0x8000_0000_0000_0000n],
    ['beyond RAM', 0x2000_0000n],
    ['across the end of RAM', 0xff_ffffen],
    ['the last byte there is', 0xffff_ffff_ffff_ffffn],
  ])('a pointer that is %s gives EFAULT', (_name, pointer) => {
    const guest = new XenTestGuest();
    for (const [number, command] of [
      [EVTCHN, 1],
      [EVTCHN, 4],
      [MEMORY, 7],
      [MEMORY, 6],
      [HVM, 1],
      [SCHED, 2],
      [SCHED, 3],
      [VERSION, 1],
      [VERSION, 3],
    ] as const)
      expect([number, command, guest.call(number, [command, pointer])]).toEqual([number, command, EFAULT]);
    expect(guest.call(GRANT, [6, pointer, 1])).toBe(EFAULT);
    expect(guest.call(VCPU, [5, 0, pointer])).toBe(EFAULT);
  });

  test('user mode may not', () => {
    const guest = new XenTestGuest();
    guest.enterUserMode();
    expect(guest.call(VERSION, [0, 0])).toBe(EPERM);
  });

  test('extraversion, capabilities, uuid', () => {
    const guest = new XenTestGuest();
    const text = (command: number): string => {
      expect(guest.op(VERSION, command, [])).toBe(0);
      const bytes = guest.machine.read(ARGUMENT, 128);
      return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
    };
    expect(text(1)).toBe('.0-pvh-report');
    expect(text(3)).toBe('xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ');
    guest.op(VERSION, 8, []);
    expect(Buffer.from(guest.machine.read(ARGUMENT, 16)).toString('hex')).toBe(
      '0123456789abcdef0123456789abcdef',
    );
  });

  test('features of a PVH domU', () => {
    const guest = new XenTestGuest();
    expect(guest.op(VERSION, 6, [])).toBe(0);
    expect(guest.u32(4)).toBe(0x12305);
  });
});

describe('memory', () => {
  test('shared_info replaces the RAM at its gfn and moves when asked again', () => {
    const guest = new XenTestGuest();
    guest.machine.writeU32(0x5000, 0x1234);
    expect(guest.op(MEMORY, 7, shared(5))).toBe(0);
    expect(guest.machine.readU32(0x5000 + 0xc04)).toBe(1_700_000_000);
    expect(guest.machine.readU32(0x5000 + 32 + 24)).toBe(0x8000_0000);
    expect(guest.op(MEMORY, 7, shared(0x9_0000))).toBe(0);
    expect(guest.machine.isBacked(5)).toBe(false);
    expect(guest.machine.readU32(0x9000_0000 + 0xc04)).toBe(1_700_000_000);
    expect(
      guest.op(MEMORY, 15, [
        [0, 2, SELF],
        [8, 8, 0x9_0000],
      ]),
    ).toBe(0);
    expect(guest.machine.isBacked(0x9_0000)).toBe(false);
  });

  test('grant frames hold the two entries of the toolstack', () => {
    const guest = new XenTestGuest();
    expect(
      guest.op(MEMORY, 7, [
        [0, 2, SELF],
        [4, 4, 1],
        [16, 8, 0x8_0000],
      ]),
    ).toBe(0);
    expect(guest.machine.readU64(0x8000_0000)).toBe((0xfefffn << 32n) | 1n);
    expect(guest.machine.readU64(0x8000_0008)).toBe((0xfeffcn << 32n) | 1n);
    expect(
      guest.op(MEMORY, 7, [
        [0, 2, SELF],
        [4, 4, 1],
        [8, 8, 63],
        [16, 8, 0x8_0001],
      ]),
    ).toBe(0);
    guest.struct([0, 2, SELF]);
    expect(guest.call(GRANT, [6, ARGUMENT, 1])).toBe(0);
    expect([guest.u32(4), guest.u32(8)]).toEqual([64, 64]);
  });

  test('ballooning down and up again changes the reservation', () => {
    const guest = new XenTestGuest();
    const current = (): number => guest.op(MEMORY, 3, [[0, 2, SELF]]);
    expect(current()).toBe(4096);
    const list = 0x30_0000;
    for (const [i, gfn] of [10, 11, 12].entries()) guest.machine.writeU64(list + 8 * i, BigInt(gfn));
    const extents: Field[] = [
      [0, 8, list],
      [8, 8, 3],
      [24, 2, SELF],
    ];
    expect(guest.op(MEMORY, 1, extents)).toBe(3);
    expect(current()).toBe(4093);
    expect(guest.machine.isBacked(11)).toBe(false);
    expect(guest.op(MEMORY, 1, extents)).toBe(0);
    expect(guest.op(MEMORY, 6, extents)).toBe(3);
    expect(current()).toBe(4096);
    expect(guest.machine.readU32(11 * 4096)).toBe(0);
  });

  test('a count of 2^64-1 ends at the first page that cannot go', () => {
    const guest = new XenTestGuest();
    guest.machine.writeU64(0x30_0000, 10n);
    expect(
      guest.op(MEMORY, 1, [
        [0, 8, 0x30_0000],
        [8, 8, -1n],
        [24, 2, SELF],
      ]),
    ).toBe(2);
  });

  test('memory map: RAM, ACPI, special pages', () => {
    const guest = new XenTestGuest();
    expect(
      guest.op(MEMORY, 9, [
        [0, 4, 16],
        [8, 8, 0x30_0000],
      ]),
    ).toBe(0);
    expect(guest.u32(0)).toBe(3);
    expect(guest.machine.readU64(0x30_0000 + 20)).toBe(0xfc00_0000n);
    expect(guest.machine.readU32(0x30_0000 + 56)).toBe(2);
  });
});

describe('vcpu_op', () => {
  const register = (guest: XenTestGuest, vcpu: number, gfn: number, offset: number): number => {
    guest.struct([0, 8, gfn], [8, 4, offset]);
    return guest.call(VCPU, [10, vcpu, ARGUMENT]);
  };

  test('register_vcpu_info moves it once and asks the guest to look', () => {
    const guest = new XenTestGuest({ vcpus: 2 });
    expect(register(guest, 0, 6, 4096 - 63)).toBe(EINVAL);
    expect(register(guest, 0, 0x9_0000, 0)).toBe(EINVAL);
    expect(register(guest, 5, 6, 0)).toBe(ENOENT);
    expect(register(guest, 1, 6, 128)).toBe(0);
    expect(guest.machine.readU8(6 * 4096 + 128)).toBe(1);
    expect(guest.machine.readU64(6 * 4096 + 136)).toBe(0xffff_ffff_ffff_ffffn);
    expect(guest.machine.readU32(6 * 4096 + 128 + 56)).toBe(0x8000_0000);
    expect(register(guest, 1, 6, 0)).toBe(EINVAL);
  });

  test('a vcpu_info whose page was given back hurts nobody', () => {
    const guest = new XenTestGuest();
    expect(register(guest, 0, 6, 0)).toBe(0);
    expect(
      guest.op(MEMORY, 15, [
        [0, 2, SELF],
        [8, 8, 6],
      ]),
    ).toBe(0);
    expect(guest.op(EVTCHN, 7, [])).toBe(0);
    expect(guest.op(EVTCHN, 4, [[0, 4, 3]])).toBe(0);
  });

  test('single-shot timer fires VIRQ_TIMER at its time', () => {
    const guest = new XenTestGuest();
    expect(guest.op(EVTCHN, 1, [[0, 4, 0]])).toBe(0);
    expect(guest.u32(8)).toBe(3);
    expect(guest.op(EVTCHN, 1, [[0, 4, 0]])).toBe(EEXIST);
    guest.struct([0, 8, 5_000_000]);
    expect(guest.call(VCPU, [8, 0, ARGUMENT])).toBe(0);
    expect(guest.xen.nextDeadline()).toBe(5_000_000);
    guest.op(MEMORY, 7, shared(5));
    guest.xen.advance(4_999_999);
    expect(guest.machine.readU64(0x5800)).toBe(0n);
    guest.xen.advance(5_000_000);
    expect(guest.machine.readU64(0x5800)).toBe(8n);
    expect(guest.machine.readU64(0x5008)).toBe(1n);
    expect(guest.machine.readU8(0x5000)).toBe(1);
    expect(guest.xen.nextDeadline()).toBeUndefined();
    guest.machine.skipTo(10_000_000);
    guest.struct([0, 8, 1], [8, 4, 1]);
    expect(guest.call(VCPU, [8, 0, ARGUMENT])).toBe(ETIME);
  });

  test('a timer that is due after the end of time is none', () => {
    const guest = new XenTestGuest();
    guest.struct([0, 8, -1]);
    expect(guest.call(VCPU, [8, 0, ARGUMENT])).toBe(0);
    expect(guest.call(15, [-1])).toBe(0);
    expect(guest.xen.nextDeadline()).toBeUndefined();
  });

  test('runstate area follows the scheduler', () => {
    const guest = new XenTestGuest();
    guest.struct([0, 8, 0x40_0000]);
    expect(guest.call(VCPU, [5, 0, ARGUMENT])).toBe(0);
    guest.xen.scheduled(undefined);
    guest.machine.skipTo(1000);
    guest.xen.scheduled(0);
    expect(guest.machine.readU32(0x40_0000)).toBe(0);
    expect(guest.machine.readU64(0x40_0000 + 8)).toBe(1000n);
    // Not halted, so it was runnable while nothing ran.
    expect(guest.machine.readU64(0x40_0000 + 24)).toBe(1000n);
  });

  test('initialise and up start a vCPU in 32-bit mode', () => {
    const guest = new XenTestGuest({ vcpus: 2 });
    guest.machine.resetVcpu(1);
    guest.struct(
      [8 + 32, 4, 0x1234], // eip
      [8 + 36, 4, 2],
      [8 + 40, 4, 1], // cr0
      [8 + 84, 4, -1],
      [8 + 88, 4, -1],
      [8 + 92, 4, -1],
      [8 + 104, 2, 0xc9b],
      [8 + 106, 2, 0xc93],
      [8 + 108, 2, 0xc93],
      [8 + 110, 2, 0xc93],
      [8 + 112, 2, 0x8b],
    );
    expect(guest.call(VCPU, [1, 1, 0])).toBe(EINVAL);
    expect(guest.call(VCPU, [3, 1, 0])).toBe(0);
    expect(guest.call(VCPU, [0, 1, ARGUMENT])).toBe(0);
    expect(guest.call(VCPU, [0, 1, ARGUMENT])).toBe(EEXIST);
    expect(guest.call(VCPU, [1, 1, 0])).toBe(0);
    expect(guest.call(VCPU, [3, 1, 0])).toBe(1);
    expect(guest.machine.registers(1)).toMatchObject({ rip: 0x1234n, cr0: 1n, cs: { attributes: 0xc09b } });
    expect(guest.machine.codeBits(1)).toBe(32);
  });
});

describe('sched_op', () => {
  test.each([
    [0, 'poweroff'],
    [1, 'reboot'],
    [3, 'crash'],
    [200, 'crash'],
  ] as const)('shutdown %d is %s, and the first one counts', (code, reason) => {
    const guest = new XenTestGuest();
    guest.op(SCHED, 2, [[0, 4, code]]);
    expect(guest.shutdown).toBe(reason);
    guest.op(SCHED, 2, [[0, 4, 4]]);
    expect(guest.shutdown).toBe(reason);
  });

  test('poll sleeps until the port is pending, though masked', () => {
    const guest = new XenTestGuest({ vcpus: 2 });
    guest.op(MEMORY, 7, shared(5));
    expect(guest.op(EVTCHN, 7, [])).toBe(0);
    guest.machine.writeU64(0x5a00, 8n);
    guest.machine.writeU32(0x30_0000, 3);
    expect(
      guest.op(SCHED, 3, [
        [0, 8, 0x30_0000],
        [8, 4, 1],
      ]),
    ).toBe(0);
    expect(guest.effect.kind).toBe('block');
    expect(guest.xen.isBlocked(0)).toBe(true);
    expect(guest.op(EVTCHN, 4, [[0, 4, 3]], 1)).toBe(0);
    expect(guest.xen.isBlocked(0)).toBe(false);
    expect(guest.machine.readU8(0x5000)).toBe(0);
  });

  test('poll ends by its timeout, by an NMI and by a LAPIC interrupt', () => {
    const guest = new XenTestGuest();
    guest.machine.writeU32(0x30_0000, 1);
    const poll = (timeout: number): void => {
      guest.op(SCHED, 3, [
        [0, 8, 0x30_0000],
        [8, 4, 1],
        [16, 8, timeout],
      ]);
      expect(guest.xen.isBlocked(0)).toBe(true);
    };
    poll(777);
    expect(guest.xen.nextDeadline()).toBe(777);
    guest.xen.advance(777);
    expect(guest.xen.isBlocked(0)).toBe(false);
    poll(0);
    guest.machine.lapicInterrupt(0, 0x40);
    expect(guest.xen.isBlocked(0)).toBe(false);
    poll(0);
    guest.machine.raiseNmi(0);
    expect(guest.xen.isBlocked(0)).toBe(false);
  });

  test('watchdog: armed, fed, and at last it bites', () => {
    const guest = new XenTestGuest();
    expect(guest.op(SCHED, 6, [[4, 4, 2]])).toBe(1);
    guest.machine.skipTo(1e9);
    expect(
      guest.op(SCHED, 6, [
        [0, 4, 1],
        [4, 4, 2],
      ]),
    ).toBe(0);
    expect(guest.xen.advance(2.5e9)).toEqual({ kind: 'continue' });
    expect(guest.xen.advance(3e9)).toEqual({ kind: 'shutdown', reason: 'watchdog' });
    expect(guest.lines).toEqual(['(XEN) Watchdog timer fired for domain 1']);
  });

  test('the last vCPU that halts for ever powers the domain off', () => {
    const guest = new XenTestGuest({ vcpus: 2 });
    expect(guest.xen.handle(0, { kind: 'halt-forever' })).toEqual({ kind: 'block' });
    expect(guest.xen.handle(1, { kind: 'halt-forever' })).toEqual({ kind: 'shutdown', reason: 'poweroff' });
  });

  test('a triple fault is a reboot, with the registers in the log', () => {
    const guest = new XenTestGuest();
    expect(guest.xen.handle(0, { kind: 'shutdown' })).toEqual({ kind: 'shutdown', reason: 'reboot' });
    expect(guest.lines[0]).toBe('(XEN) d1v0 Triple fault - invoking HVM shutdown action 1');
    expect(guest.lines).toContain('(XEN) RIP:    0000:[<0000000000200000>]');
  });
});

describe('events', () => {
  test('callback vector: the flag is where vcpu_info is', () => {
    const guest = new XenTestGuest();
    guest.op(HVM, 0, [
      [0, 2, SELF],
      [4, 4, 0],
      [8, 8, 0x0200_0000_0000_00f3n],
    ]);
    expect(guest.machine.interruptLine(0)).toBeUndefined();
    guest.op(MEMORY, 7, shared(5));
    expect(guest.machine.interruptLine(0)).toEqual({ flagGpa: 0x5000, vector: 0xf3 });
    guest.struct([0, 8, 6], [8, 4, 64]);
    guest.call(VCPU, [10, 0, ARGUMENT]);
    expect(guest.machine.interruptLine(0)).toEqual({ flagGpa: 0x6040, vector: 0xf3 });
    guest.op(HVM, 0, [
      [0, 2, SELF],
      [4, 4, 0],
      [8, 8, 1],
    ]);
    expect(guest.machine.interruptLine(0)).toBeUndefined();
  });

  test('upcall vector: an edge at the LAPIC', () => {
    const guest = new XenTestGuest();
    expect(guest.op(HVM, 23, [[4, 1, 0xf3]])).toBe(0);
    expect(guest.lines).toEqual(['(XEN) d1v0: upcall vector f3']);
    guest.op(EVTCHN, 7, []);
    guest.op(EVTCHN, 4, [[0, 4, 3]]);
    expect(guest.machine.interruptRequests(0)).toBe(1n << 0xf3n);
  });

  test('unmask delivers what waited', () => {
    const guest = new XenTestGuest();
    guest.op(MEMORY, 7, shared(5));
    guest.op(EVTCHN, 7, []);
    guest.machine.writeU64(0x5a00, ~0n & 0xffff_ffff_ffff_ffffn);
    guest.op(EVTCHN, 4, [[0, 4, 3]]);
    expect(guest.machine.readU8(0x5000)).toBe(0);
    expect(guest.op(EVTCHN, 9, [[0, 4, 3]])).toBe(0);
    expect(guest.machine.readU8(0x5000)).toBe(1);
  });

  test('a domain talks to itself', () => {
    const guest = new XenTestGuest();
    guest.op(MEMORY, 7, shared(5));
    expect(
      guest.op(EVTCHN, 6, [
        [0, 2, SELF],
        [2, 2, SELF],
      ]),
    ).toBe(0);
    expect(guest.u32(4)).toBe(3);
    expect(
      guest.op(EVTCHN, 0, [
        [0, 2, SELF],
        [4, 4, 3],
      ]),
    ).toBe(0);
    expect(guest.u32(8)).toBe(4);
    expect(guest.op(EVTCHN, 4, [[0, 4, 4]])).toBe(0);
    expect(guest.machine.readU64(0x5800)).toBe(0x18n);
    expect(guest.op(EVTCHN, 3, [[0, 4, 4]])).toBe(0);
    expect(
      guest.op(EVTCHN, 5, [
        [0, 2, SELF],
        [4, 4, 3],
      ]),
    ).toBe(0);
    expect(guest.u32(8)).toBe(1);
  });

  test('ports run out at 1023', () => {
    const guest = new XenTestGuest();
    let bound = 0;
    while (guest.op(EVTCHN, 7, []) === 0) bound++;
    expect(bound).toBe(1021);
    expect(guest.op(EVTCHN, 7, [])).toBe(-28);
  });
});

describe('32-bit callers', () => {
  test('registers, structs and shared_info of a 32-bit guest', () => {
    const guest = new XenTestGuest();
    guest.enter32();
    expect(guest.call(VERSION, [0, 0])).toBe(0x40011);
    expect(
      guest.op(MEMORY, 7, [
        [0, 2, SELF],
        [4, 4, 0],
        [8, 4, 0],
        [12, 4, 5],
      ]),
    ).toBe(0);
    expect(guest.machine.readU32(0x5000 + 0x904)).toBe(1_700_000_000);
    expect(guest.op(EVTCHN, 7, [])).toBe(0);
    expect(guest.op(EVTCHN, 4, [[0, 4, 3]])).toBe(0);
    expect(guest.machine.readU32(0x5800)).toBe(8);
    expect(guest.machine.readU32(0x5004)).toBe(1);
    guest.struct([0, 8, 5000], [8, 4, 0]);
    expect(guest.call(VCPU, [8, 0, ARGUMENT])).toBe(0);
    expect(guest.xen.nextDeadline()).toBe(5000);
    expect(guest.call(15, [6000, 0])).toBe(0);
    expect(guest.xen.nextDeadline()).toBe(6000);
    expect(guest.call(99, [0])).toBe(ENOSYS);
    expect(guest.machine.reg(0, 'rax')).toBe(0xffff_ffdan);
  });

  test('real mode may not', () => {
    const guest = new XenTestGuest();
    guest.enter32();
    guest.machine.setRegisters(0, { cr0: 0x10n });
    expect(guest.call(VERSION, [0, 0])).toBe(EPERM);
  });
});

describe('multicall', () => {
  const entry = (guest: XenTestGuest, at: number, words: readonly number[]): void => {
    for (const [i, word] of words.entries()) guest.machine.writeU64(at + 8 * i, BigInt(word));
  };

  test('each entry gets its result', () => {
    const guest = new XenTestGuest();
    entry(guest, 0x30_0000, [VERSION, 0, 0, 0]);
    entry(guest, 0x30_0040, [99, 0]);
    entry(guest, 0x30_0080, [13, 0]);
    expect(guest.call(13, [0x30_0000, 3])).toBe(0);
    expect([8, 72, 136].map((at) => BigInt.asIntN(64, guest.machine.readU64(0x30_0000 + at)))).toEqual([
      0x40011n,
      -38n,
      -22n,
    ]);
  });

  test('a long one goes on in pieces', () => {
    const guest = new XenTestGuest();
    for (let i = 0; i < 100; i++) entry(guest, 0x30_0000 + 64 * i, [VERSION, 0, 0, 0]);
    guest.call(13, [0x30_0000, 100]);
    expect(guest.machine.registers(0)).toMatchObject({
      rip: 0x1f_fffdn,
      rdi: 0x30_1000n,
      rsi: 36n,
      rax: 13n,
    });
    expect(guest.call(13, [0x30_1000, 36])).toBe(0);
    expect(guest.machine.readU64(0x30_0000 + 99 * 64 + 8)).toBe(0x40011n);
  });
});

describe('beside hypercalls', () => {
  test('hypercall page', () => {
    const guest = new XenTestGuest({ vendor: 'AuthenticAMD' });
    expect(guest.xen.handle(0, { kind: 'msr-write', index: 0x4000_0000, value: 0x7000n })).toEqual({
      kind: 'continue',
    });
    expect([...guest.machine.read(0x7000 + 32 * 29, 9)]).toEqual([0xb8, 29, 0, 0, 0, 0x0f, 0x01, 0xd9, 0xc3]);
    expect([...guest.machine.read(0x7000 + 32 * 23, 2)]).toEqual([0x0f, 0x0b]);
  });

  test.each([
    ['GenuineIntel', 0xfe, 0x508n],
    ['GenuineIntel', 0x2ff, 0x806n],
    ['GenuineIntel', 0x4000_0000, 0n],
    ['GenuineIntel', 0xc001_0015, undefined],
    ['AuthenticAMD', 0xc001_0015, 0x100_0000n],
    ['AuthenticAMD', 0x1234, undefined],
  ] as const)('%s: MSR 0x%x reads %s', (vendor, index, value) => {
    const guest = new XenTestGuest({ vendor });
    // RDMSR; HLT
    guest.machine.write(0x20_0000, Uint8Array.of(0x0f, 0x32, 0xf4));
    guest.machine.setReg(0, 'rcx', BigInt(index));
    const exit = guest.machine.run(0, 1);
    expect(exit).toEqual({ kind: 'msr-read', index });
    guest.xen.handle(0, exit);
    const then = guest.machine.run(0, 1);
    const { rax, rdx } = guest.machine.registers(0);
    if (value === undefined) expect(then.kind).toBe('shutdown');
    else expect((rdx << 32n) | rax).toBe(value);
  });

  test('an MTRR keeps what fits it', () => {
    const guest = new XenTestGuest();
    const write = (index: number, value: bigint): bigint | undefined => {
      guest.xen.handle(0, { kind: 'msr-write', index, value });
      return new Map(guest.xen.snapshot().mtrrs.vcpus[0]).get(index);
    };
    expect(write(0x2ff, 0xc06n)).toBe(0xc06n);
    expect(write(0x2ff, 0xc02n)).toBe(0xc06n);
    expect(write(0x200, 0xf000_0006n)).toBe(0xf000_0006n);
    expect(write(0x201, 1n << 60n)).toBeUndefined();
    expect(write(0x250, 0x0606_0606_0606_0602n)).toBeUndefined();
    expect(write(0xfe, 1n)).toBeUndefined();
  });

  test('port 0xE9 and console_io go to the log by lines', () => {
    const guest = new XenTestGuest();
    for (const byte of Buffer.from('early\x07 bird\n'))
      guest.xen.handle(0, { kind: 'port-out', port: 0xe9, size: 1, value: byte });
    guest.machine.write(0x30_0000, Buffer.from('one\ntwo\n'));
    expect(guest.call(18, [0, 8, 0x30_0000])).toBe(0);
    expect(guest.call(18, [0, -1, 0x30_0000])).toBe(0);
    expect(guest.lines.slice(0, 3)).toEqual(['(d1) early bird', '(d1) one', '(d1) two']);
  });

  test('ACPI S5 powers off, the reset port reboots', () => {
    const guest = new XenTestGuest();
    const out = (port: number, size: number, value: number) =>
      guest.xen.handle(0, { kind: 'port-out', port, size, value });
    expect(out(0xb002, 2, 0x20).kind).toBe('continue');
    expect(out(0xb004, 2, 0x2000)).toEqual({ kind: 'shutdown', reason: 'poweroff' });
    expect(new XenTestGuest().xen.handle(0, { kind: 'port-out', port: 0xcf9, size: 1, value: 6 })).toEqual({
      kind: 'shutdown',
      reason: 'reboot',
    });
  });
});

describe('a domain is a value', () => {
  test('snapshot and restore in another machine', () => {
    const guest = new XenTestGuest();
    guest.op(MEMORY, 7, shared(5));
    guest.op(EVTCHN, 1, [[0, 4, 0]]);
    guest.struct([0, 8, 9000]);
    guest.call(VCPU, [8, 0, ARGUMENT]);
    guest.xen.xenstore.write('/local/domain/1/data/x', 'y');
    const state = structuredClone({ machine: guest.machine.snapshot(), xen: guest.xen.snapshot() });
    const other = new XenTestGuest();
    other.machine.restore(state.machine);
    other.xen.restore(state.xen);
    expect(other.xen.nextDeadline()).toBe(9000);
    expect(other.xen.xenstore.read('/local/domain/1/data/x')).toBe('y');
    other.xen.advance(9000);
    expect(other.machine.readU64(0x5800)).toBe(8n);
    expect(structuredClone(other.xen.snapshot()).physmap).toEqual(state.xen.physmap);
  });
});
