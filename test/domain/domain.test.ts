// A domain as a value: scheduling, time, ends, determinism. Guests are a few instructions long.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { apicId } from '../../core/boot/layout.ts';
import { buildPvhGuest } from '../../core/boot/pvh.ts';
import { Domain, type DomainEvent } from '../../core/domain/domain.ts';
import { Replay, type ReplayEvent, type ReplayPlan } from '../../core/domain/replay.ts';
import { Machine } from '../../core/machine/machine.ts';
import { guestCpuid } from '../../core/xen/cpuid.ts';
import { XenSide } from '../../core/xen/xen-side.ts';
import { memorySource } from '../../symbols/bytes.ts';
import { cpuModule } from '../support/machine.ts';
import { TinyKernel } from '../support/tiny-kernel.ts';

const version = { major: 4, minor: 17, extra: '.0-test' };

interface TestDomain {
  readonly domain: Domain;
  readonly console: () => string;
  readonly log: string[];
}

function start(kernel: TinyKernel, vcpus = 1): TestDomain {
  const machine = Machine.create({
    module: cpuModule(),
    ramBytes: 8 << 20,
    vcpus,
    cpuid: guestCpuid({ vendor: 'GenuineIntel', vcpus, domid: 1, version }),
    apicIds: Array.from({ length: vcpus }, (_, vcpu) => apicId(vcpu)),
    seed: 0,
  });
  let console = '';
  const log: string[] = [];
  const xen = new XenSide(machine, {
    domid: 1,
    uuid: 'd31fd777-6930-4506-a150-7718bb5770d7',
    name: 'tiny',
    wallclockSeconds: 0,
    maxMemKiB: 8192,
    version,
    vendor: 'GenuineIntel',
    onConsole: (bytes) => {
      console += Buffer.from(bytes).toString();
    },
    onLog: (line) => log.push(line),
  });
  buildPvhGuest(machine, { kernel: memorySource('tiny', kernel.elf()), cmdline: '', codecs: {} });
  return { domain: new Domain(machine, xen, version), console: () => console, log };
}

/** Runs to the end, skipping what is idle. */
function finish({ domain }: TestDomain): DomainEvent {
  for (let turns = 0; turns < 2000; turns++) {
    const event = domain.run(1_000_000);
    if (event.kind === 'shutdown') return event;
    if (event.kind === 'idle') {
      if (event.until === undefined) return event;
      domain.skipTo(event.until);
    }
  }
  return { kind: 'budget' };
}

describe('ends', () => {
  test.each(['poweroff', 'reboot', 'suspend', 'crash', 'soft_reset'] as const)(
    'SCHEDOP_shutdown: %s',
    (reason) => {
      const guest = start(new TinyKernel().print('bye\n').shutdown(reason));
      expect(finish(guest)).toMatchObject({ kind: 'shutdown', reason, vcpu: 0, asked: true });
      expect(guest.console()).toBe('bye\n');
    },
  );

  test('HLT with interrupts off powers off and takes the vCPU offline', () => {
    const guest = start(new TinyKernel().haltForever());
    expect(finish(guest)).toMatchObject({ reason: 'poweroff' });
    expect(guest.domain.vcpuRecords()).toMatchObject([{ id: 0, online: false }]);
  });

  test('a triple fault is a reboot, with the registers in the log', () => {
    const guest = start(new TinyKernel().tripleFault());
    expect(finish(guest)).toMatchObject({ reason: 'reboot', asked: false });
    expect(guest.log.slice(0, 2)).toEqual([
      '(XEN) d1v0 Triple fault - invoking HVM shutdown action 1',
      '(XEN) *** Dumping Dom1 vcpu#0 state: ***',
    ]);
  });

  test('the watchdog fires on a guest that spins', () => {
    const guest = start(new TinyKernel().watchdog(1).spin());
    expect(finish(guest)).toMatchObject({ reason: 'watchdog', asked: false });
    expect(guest.domain.now()).toBeGreaterThanOrEqual(1e9);
    expect(guest.domain.now()).toBeLessThan(1.001e9);
  });

  test('after the end it stays ended', () => {
    const guest = start(new TinyKernel().shutdown('crash'));
    const end = finish(guest);
    expect(guest.domain.run(1000)).toBe(end);
  });
});

describe('time', () => {
  test('an idle guest says until when, and time can be skipped there', () => {
    const { domain } = start(new TinyKernel().sleepUntil(3e9).shutdown('poweroff'));
    expect(domain.run(1e6)).toEqual({ kind: 'idle', until: 3e9 });
    domain.skipTo(9e9);
    expect(domain.now()).toBe(3e9);
    expect(domain.run(1e6)).toMatchObject({ kind: 'shutdown', reason: 'poweroff' });
  });

  test('a guest that waits for input waits for ever', () => {
    const { domain } = start(new TinyKernel().awaitInput().shutdown('poweroff'));
    expect(domain.run(1e6)).toEqual({ kind: 'idle', until: undefined });
    domain.input({ kind: 'console', bytes: Buffer.from('x') });
    expect(domain.run(1e6)).toMatchObject({ kind: 'shutdown', reason: 'poweroff' });
    expect(domain.inputs).toHaveLength(1);
    expect(domain.inputs[0]?.input.kind).toBe('console');
  });

  test('run gives back after about as many instructions as asked for', () => {
    const { domain } = start(new TinyKernel().spin());
    expect(domain.run(250_000)).toEqual({ kind: 'budget' });
    expect(domain.retired()).toBeGreaterThanOrEqual(250_000);
    expect(domain.retired()).toBeLessThan(360_000);
  });
});

/** The frames and registers of a dump, comparable. */
const dump = ({ domain }: TestDomain): unknown => {
  const { vcpus, sharedInfo, frames } = domain.dumpImage();
  return {
    vcpus,
    sharedInfo,
    frames: [...frames].filter(([, bytes]) => bytes?.some((byte) => byte !== 0)),
  };
};

describe('a value', () => {
  const kernel = (): TinyKernel =>
    new TinyKernel().store(0x30_0000, 0x1234).print('one\n').sleepUntil(1e9).print('two\n').shutdown('crash');

  test('the same twice', () => {
    const [a, b] = [start(kernel()), start(kernel())];
    expect(finish(a)).toEqual(finish(b));
    expect(a.console()).toBe('one\ntwo\n');
    expect(dump(a)).toEqual(dump(b));
  });

  test('restored in the middle it goes on as it would have', () => {
    const a = start(kernel());
    expect(a.domain.run(1e6).kind).toBe('idle');
    const state = structuredClone(a.domain.snapshot());
    const end = finish(a);
    const b = start(new TinyKernel().spin());
    b.domain.restore(state);
    expect(finish(b)).toEqual(end);
    expect(b.console()).toBe('two\n');
    expect(dump(b)).toEqual(dump(a));
  });

  test('a dump has every frame of RAM once, in order, and the special pages', () => {
    const { domain } = start(kernel());
    const gfns = [...domain.dumpImage().frames].map(([gfn]) => gfn);
    expect(gfns.slice(0, 2048)).toEqual(Array.from({ length: 2048 }, (_, gfn) => gfn));
    expect(gfns).toContain(0xfefff);
    expect([...gfns].sort((a, b) => a - b)).toEqual(gfns);
  });

  test('more vCPUs do not disturb: those that were never started are offline', () => {
    const guest = start(kernel(), 4);
    expect(finish(guest)).toMatchObject({ reason: 'crash' });
    expect(guest.domain.vcpuRecords().map(({ online }) => online)).toEqual([true, false, false, false]);
  });
});

describe('a replay', () => {
  const NMI = { kind: 'nmi', vcpu: 0 } as const;
  const kernel = (): TinyKernel =>
    new TinyKernel().awaitInput().print('one\n').sleepUntil(1e9).awaitInput().print('two\n').spin();

  function replay({ domain }: TestDomain, plan: ReplayPlan): ReplayEvent {
    const run = new Replay(domain, plan);
    for (let turns = 0; turns < 1000; turns++) {
      const event = run.run();
      if (event.kind !== 'going') return event;
    }
    return { kind: 'going' };
  }

  /** What a host may do between two slices: run for a while, let an idle guest's time go on a little (as a pause does), type, press sysrq. */
  const steps = fc.array(
    fc.oneof(
      fc.nat(300_000).map((instructions) => ({ run: instructions })),
      fc.nat(700_000_000).map((ns) => ({ skip: ns })),
      fc.constantFrom(
        { kind: 'console', bytes: Buffer.from('x') } as const,
        {
          kind: 'sysrq',
          key: 's',
        } as const,
      ),
    ),
    { maxLength: 20 },
  );

  test.each([1, 3])('ends as what was recorded, whenever that was run and paused: %i vCPUs', (vcpus) => {
    fc.assert(
      fc.property(steps, (taken) => {
        const a = start(kernel(), vcpus);
        let isIdle = false;
        for (const step of taken)
          if ('run' in step) isIdle = a.domain.run(step.run).kind === 'idle';
          else if ('skip' in step) a.domain.skipTo(a.domain.now() + (isIdle ? step.skip : 0));
          else {
            a.domain.input(step);
            isIdle = false;
          }
        a.domain.input(NMI);
        const end = finish(a);
        expect(end).toMatchObject({ kind: 'shutdown', reason: 'reboot' });
        const b = start(kernel(), vcpus);
        const plan = {
          inputs: a.domain.inputs,
          instruction: a.domain.retired(),
          nanoseconds: a.domain.now(),
        };
        expect(replay(b, plan)).toEqual(end);
        expect([b.console(), b.domain.snapshot()]).toEqual([a.console(), a.domain.snapshot()]);
      }),
      { seed: 5, numRuns: 12 },
    );
  });

  const place = { at: 0, slice: 0, instruction: 0 };
  test.each<[string, TinyKernel, Partial<ReplayPlan>, ReplayEvent['kind']]>([
    ['runs on beyond the recorded instruction', new TinyKernel().spin(), { instruction: 500_000 }, 'past'],
    ['lets time go on beyond the recorded one', new TinyKernel().sleepUntil(1e9).spin(), {}, 'past'],
    ['waits for what does not come', new TinyKernel().awaitInput().spin(), {}, 'idle'],
    [
      'is not where an input was given',
      new TinyKernel().spin(),
      { instruction: 1e6, inputs: [{ ...place, slice: 1, instruction: 99, input: NMI }] },
      'astray',
    ],
    [
      'has run more when an input was given',
      new TinyKernel().spin(),
      { instruction: 1e6, inputs: [{ ...place, instruction: 7, input: NMI }] },
      'astray',
    ],
    [
      'ends before an input was given',
      new TinyKernel().shutdown('crash'),
      { instruction: 1e6, inputs: [{ at: 5e5, slice: 5, instruction: 5e5, input: NMI }] },
      'shutdown',
    ],
  ])('of a guest that %s', (_, guest, plan, kind) => {
    const whole = { inputs: [], instruction: 1000, nanoseconds: 900_000, ...plan };
    expect(replay(start(guest), whole).kind).toBe(kind);
  });
});
