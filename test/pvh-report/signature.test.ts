import { afterAll, describe, expect, test } from 'vitest';
import type { CrashVcpu } from '../../tools/pvh-report/crash.ts';
import {
  crashingVcpu,
  EXCEPTIONS,
  IRRELEVANT,
  OBSERVERS,
  SENTINELS,
  STOPPING,
  tellingFrames,
} from '../../tools/pvh-report/signature/frames.ts';
import { NAME_RULES } from '../../tools/pvh-report/signature/names.ts';
import { crashTitle, KINDS, TITLE_RULES } from '../../tools/pvh-report/signature/title.ts';
import { functionName, renderSignature, signatureOf } from '../../tools/pvh-report/signature.ts';
import { pvhReport } from './run.ts';
import { packReport, scratchFolder } from './support.ts';

type HowFound = 'orc' | 'scan';
const framesOf = (names: readonly string[], how: HowFound = 'orc') =>
  names.map((symbol) => ({ address: 'ffffffff81000000', symbol: `${symbol}+0x1`, how }));
const vcpu = (id: number, names: readonly string[], how: HowFound = 'orc'): CrashVcpu => ({
  id,
  online: true,
  registers: [],
  trace: how,
  frames: framesOf(names, how),
});
const telling = (names: readonly string[], how: HowFound = 'orc') =>
  tellingFrames(framesOf(names, how)).map(({ name }) => name);

describe('names', () => {
  const rows: [string, string, string][] = [
    ['offset', 'sum+0x1/0x40', 'sum'],
    ['module', 'level3+0x12/0x40 [contexts]', 'contexts:level3'],
    ['module', 'level3 [contexts 0123456789abcdef]', 'contexts:level3'],
    ['compiler part', 'parse_term.isra.0+0x12', 'parse_term'],
    ['compiler part', 'foo.constprop.0.cold', 'foo'],
    ['compiler part', 'walk.part.3.llvm.1234567890', 'walk'],
    ['system call', '__se_sys_read+0x1', 'sys_read'],
    ['system call', '__x64_sys_read', 'sys_read'],
    ['system call', '__do_sys_read', 'sys_read'],
    ['renamed', 'mount_block_root+0x1', 'mount_root_generic'],
  ];
  test.each(rows)('%s: %s is %s', (_, symbol, name) => expect(functionName(symbol)).toBe(name));
  test('every rule has a case', () =>
    expect(new Set(rows.map(([rule]) => rule))).toEqual(new Set(NAME_RULES.map(({ rule }) => rule))));
});

describe('frames', () => {
  /** Rule, a stack, what of it tells. */
  const rows: [string, string[], string[]][] = [
    ['thunk', ['panic', 'srso_return_thunk', 'list_del', '__x86_return_thunk', 'work'], ['list_del', 'work']],
    ['printing', ['_printk', 'list_del'], ['list_del']],
    ['delay', ['delay_tsc', '__const_udelay', 'reset_device'], ['reset_device']],
    ['notifier', ['panic', 'atomic_notifier_call_chain', 'f'], ['f']],
    ['hypercall', ['xen_hypercall_amd', 'xen_reboot', 'f'], ['f']],
    ['reboot', ['native_machine_emergency_restart', 'f'], ['f']],
    [
      'panic',
      ['vpanic', 'panic', 'sysrq_handle_crash', 'write_sysrq_trigger'],
      ['sysrq_handle_crash', 'write_sysrq_trigger'],
    ],
    ['die', ['panic', 'do_exit', 'make_task_dead', 'f'], ['f']],
    ['sample', ['shutdown', 'sum_ring', 'audit'], ['sum_ring', 'audit']],
    [
      'page fault',
      ['panic', 'oops_end', 'page_fault_oops', 'exc_page_fault', 'asm_exc_page_fault', 'list_del'],
      ['list_del'],
    ],
    [
      'trap',
      ['panic', 'oops_end', 'do_trap', 'do_error_trap', 'exc_invalid_op', 'asm_exc_invalid_op', 'f'],
      ['f'],
    ],
    [
      'warning',
      ['panic', 'check_panic_on_warn', '__warn', 'report_bug', 'handle_bug', 'asm_exc_invalid_op', 'f'],
      ['f'],
    ],
    ['sample trap', ['shutdown', 'panic', 'trap', 'trap_entry', 'f'], ['f']],
    [
      'watchdog',
      [
        ...['panic', 'watchdog_timer_fn.cold', '__hrtimer_run_queues', 'hrtimer_interrupt', '__sysvec_timer'],
        ...['sysvec_apic_timer_interrupt', 'asm_sysvec_apic_timer_interrupt', 'spin', 'work'],
      ],
      ['spin', 'work'],
    ],
    ['interrupt', ['panic', 'on_timer', 'asm_sysvec_apic_timer_interrupt', 'whoever', 'ran'], ['on_timer']],
    [
      'interrupt',
      ['panic', 'nmi_panic', 'unknown_nmi_error', 'default_do_nmi', 'exc_nmi', 'do_idle'],
      ['unknown_nmi_error', 'default_do_nmi'],
    ],
    ['softirq', ['panic', 'on_tasklet', '__do_softirq', 'do_softirq', 'whoever'], ['on_tasklet']],
    ['system call', ['panic', 'f', '__x64_sys_write', 'do_syscall_64'], ['f', 'sys_write']],
    ['thread', ['panic', 'on_work', 'process_one_work', 'worker_thread', 'kthread'], ['on_work']],
    ['start', ['panic', 'f', 'start_kernel', 'x86_64_start_kernel'], ['f']],
    ['idle', ['asm_exc_page_fault', 'f', 'do_idle', 'start_secondary'], ['f']],
  ];
  test.each(rows)('%s: of %j', (_, names, left) => expect(telling(names)).toEqual(left));
  test('every rule has a case', () =>
    expect(new Set(rows.map(([rule]) => rule))).toEqual(
      new Set(
        [...IRRELEVANT, ...STOPPING, ...EXCEPTIONS, ...OBSERVERS, ...SENTINELS].map(({ rule }) => rule),
      ),
    ));

  test('some kernels have a function inside of its caller', () => {
    const names = ['panic', 'mount_block_root', 'mount_root', 'prepare_namespace'];
    expect(telling(names)).toEqual(['mount_root_generic', 'prepare_namespace']);
    expect(telling(['panic', 'mount_root', 'f'])).toEqual(['mount_root', 'f']);
  });

  test('how deep a recursion is does not count', () =>
    expect(telling(['panic', 'walk', 'walk.part.0', 'walk', 'find'])).toEqual(['walk', 'find']));

  test('a stack without machinery is kept', () =>
    expect(telling(['wait_for_event', 'wait_for_work'])).toEqual(['wait_for_event', 'wait_for_work']));

  test('where the stack was scanned, stale words lie between the frames of the machinery', () => {
    const stale = [
      'panic',
      'oops_end',
      'stale1',
      'stale2',
      'page_fault_oops',
      'asm_exc_page_fault',
      'list_del',
    ];
    expect(telling(stale, 'scan')).toEqual(['list_del']);
    expect(telling(['panic', 'f', 'a', 'b', 'c', 'asm_exc_page_fault', 'user'], 'orc')).toEqual([
      'f',
      'a',
      'b',
      'c',
      'asm_exc_page_fault',
      'user',
    ]);
  });

  test("a module's init function has two names", () => {
    const names = (init: string) =>
      tellingFrames([
        { address: '', symbol: 'bug+0x1/0x2 [m]', how: 'orc' },
        { address: '', symbol: `${init}+0x1/0x2 [m]`, how: 'orc' },
        { address: '', symbol: 'do_one_initcall+0x1/0x2', how: 'orc' },
      ]).map(({ name }) => name);
    expect(names('init_module')).toEqual(['m:bug', 'm:<init>']);
    expect(names('m_start')).toEqual(names('init_module'));
  });
});

describe('the vCPU that a crash is about', () => {
  const idle = vcpu(0, ['pv_native_safe_halt', 'default_idle', 'do_idle']);
  const busy = vcpu(1, ['memcpy', 'vfs_read']);
  const stopping = vcpu(2, ['delay_tsc', 'panic', 'f']);
  const gone: CrashVcpu = { ...stopping, id: 3, online: false };
  test.each<[string, CrashVcpu[], number | undefined, number | undefined, number | undefined]>([
    ['the domain ended on it', [idle, busy, stopping], 1, 2, 1],
    ['the console names it', [idle, busy, stopping], undefined, 1, 1],
    ['it stops the kernel', [idle, busy, stopping], undefined, undefined, 2],
    ['it is not idle', [idle, busy], undefined, undefined, 1],
    ['the first', [idle], undefined, undefined, 0],
    ['one that cannot be read is none', [idle, gone], 3, 3, 0],
    ['none', [gone], 3, 3, undefined],
  ])('%s', (_, vcpus, named, printed, id) => expect(crashingVcpu(vcpus, named, printed)?.id).toBe(id));
});

describe('titles', () => {
  test.each<[string, string[], string, string]>([
    [
      'panic',
      ['[    1.5] x', '[    1.600000] Kernel panic - not syncing: VFS: no root'],
      'panic',
      'VFS: no root',
    ],
    [
      'what a panic follows from',
      [
        '[    1.600000] BUG: kernel NULL pointer dereference, address: 0000000000000010',
        '[    1.600001] #PF: supervisor write access in kernel mode',
        '[    1.600002] Oops: 0002 [#1] PREEMPT SMP NOPTI',
        '[    1.700000] Kernel panic - not syncing: Fatal exception in interrupt',
      ],
      'page fault',
      'kernel NULL pointer dereference, address: <address>',
    ],
    [
      'an older oops is another story',
      [
        'BUG: kernel NULL pointer dereference, address: 0000000000000010',
        ...Array.from({ length: 50 }, (_, i) => `line ${i}`),
        'Kernel panic - not syncing: sysrq triggered crash',
      ],
      'panic',
      'sysrq triggered crash',
    ],
    [
      'init dies of an oops',
      [
        'Oops: general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] SMP NOPTI',
        'CPU: 1 UID: 0 PID: 1 Comm: init Not tainted',
        'Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b',
      ],
      'exception',
      'general protection fault, probably for non-canonical address <address>',
    ],
    [
      'general protection, as 6.1 says it',
      [
        'general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] PREEMPT SMP',
      ],
      'exception',
      'general protection fault, probably for non-canonical address <address>',
    ],
    [
      'kernel BUG',
      ['kernel BUG at /tmp/x/contexts.c:157!', 'invalid opcode: 0000 [#1] PREEMPT SMP NOPTI'],
      'kernel BUG',
      'contexts.c',
    ],
    [
      'soft lockup',
      [
        'watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [sh:77]',
        'Kernel panic - not syncing: softlockup: hung tasks',
      ],
      'soft lockup',
      'CPU stuck for <time>',
    ],
    [
      'hung task',
      [
        'INFO: task sh:77 blocked for more than 120 seconds.',
        'Kernel panic - not syncing: hung_task: blocked tasks',
      ],
      'hung task',
      'task blocked for more than',
    ],
    [
      'stack guard page',
      [
        'BUG: TASK stack guard page was hit at 00000000abcdef01 (stack is 0000000012345678..00000000abcdef01)',
        'Kernel panic - not syncing: Fatal exception',
      ],
      'stack overflow',
      'TASK stack guard page was hit',
    ],
    [
      'warning',
      [
        'WARNING: CPU: 1 PID: 7 at kernel/foo.c:12 bar+0x1/0x2',
        'Kernel panic - not syncing: kernel: panic_on_warn set ...',
      ],
      'warning',
      'foo.c bar',
    ],
    [
      'sample',
      ['BUG at samples/bug-ud2/main.c:10!', 'Unhandled exception 6 (invalid opcode), error code 0000'],
      'BUG',
      'main.c',
    ],
  ])('%s', (_, lines, kind, text) =>
    expect(crashTitle(`${lines.join('\r\n')}\r\n`)).toMatchObject({ kind, text }),
  );

  test('nothing of the kind', () => expect(crashTitle('all is well\n')).toBeUndefined());

  const rows: [string, string, string][] = [
    ['signal', 'Attempted to kill init! exitcode=0x0000000b', 'Attempted to kill init! killed by a signal'],
    ['exit code', 'Attempted to kill init! exitcode=0x00000100', 'Attempted to kill init! by its own exit'],
    ['error code', 'something: 0002 [#1] PREEMPT SMP NOPTI', 'something'],
    [
      'root device by name',
      'Unable to mount root fs on "" or unknown-block(0,0)',
      'Unable to mount root fs on unknown-block(0,0)',
    ],
    ['uuid', 'no d31fd777-6930-4506-a150-7718bb5770d7 here', 'no <uuid> here'],
    ['mac', 'lost 00:16:3e:01:02:03 twice', 'lost <mac> twice'],
    ['ip', 'no answer from 10.0.0.17 yet', 'no answer from <ip> yet'],
    ['address', 'lost at ffffc90000617c60', 'lost at <address>'],
    ['offset', 'stack is corrupted in: foo+0x12/0x40', 'stack is corrupted in: foo'],
    ['source line', 'at mm/slub.c:12!', 'at slub.c'],
    ['task', 'stuck [kworker/0:1-events:77] here', 'stuck here'],
    ['named task', 'task init:1 blocked', 'task blocked'],
    ['cpu', 'LOCKUP on cpu 3 now', 'LOCKUP on CPU now'],
    ['pid', 'killed PID: 77 now', 'killed PID now'],
    ['duration', 'waited 22s long', 'waited <time> long'],
    ['comm', 'x in init Comm: sh now', 'x in init now'],
    ['end', 'No working init found.', 'No working init found'],
  ];
  test.each(rows)('%s: %s', (_, before, after) =>
    expect(crashTitle(`Kernel panic - not syncing: ${before}\n`)?.text).toBe(after),
  );
  test('every rule has a case', () =>
    expect(new Set(rows.map(([rule]) => rule))).toEqual(new Set(TITLE_RULES.map(({ rule }) => rule))));

  test('the vCPU stands behind the message', () => {
    const text = (line: string) => `WARNING: CPU: 7 PID: 1 at x\nKernel panic - not syncing: x\n${line}\n`;
    expect(crashTitle(text('CPU: 2 PID: 1 Comm: init'))?.cpu).toBe(2);
    expect(crashTitle(text('[    1.000000] CPU: 3 UID: 0 PID: 1 Comm: init'))?.cpu).toBe(3);
  });

  test('a hostile line takes no time', () => {
    for (const { kind } of KINDS) expect(kind).not.toBe('');
    for (const part of ['a/', '[', '0', 'BUG: ', '1:', ' ', '.', 'task a:1 ', '00:'])
      crashTitle(`Kernel panic - not syncing: ${part.repeat(200_000)}\n${part.repeat(200_000)}Oops: `);
  });
});

describe('signature', () => {
  const panic = [
    'xen_hypercall_amd',
    'xen_reboot',
    'panic',
    'do_exit.cold',
    'do_group_exit',
    'sys_exit_group',
  ];
  const console = '[    1.0] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n';

  test('is one line that says what happened where', () => {
    const signature = signatureOf('crash', console, [vcpu(0, ['default_idle']), vcpu(1, panic)], 1);
    expect(signature).toMatchObject({
      version: 'pvh-report-signature/3',
      text: 'panic: Attempted to kill init! by its own exit | do_exit | do_group_exit',
      sha8: expect.stringMatching(/^[0-9a-f]{8}$/),
      weak: false,
      kind: 'panic',
      ending: 'crash',
    });
    expect(signature.steps).toContainEqual({ rule: 'vCPU', did: 'vcpu1: the domain ended on it' });
    expect(signature.steps).toContainEqual({ rule: 'compiler part', did: 'do_exit.cold -> do_exit' });
    expect(JSON.parse(renderSignature(signature))).toMatchObject({
      schema: 'pvh-report-signature/3',
      vcpu: 1,
      frames: ['do_exit', 'do_group_exit'],
    });
  });

  test('without names it is weak, and stays the same wherever the kernel lies', () => {
    const at = (slide: bigint) =>
      signatureOf(
        'crash',
        '',
        [
          {
            ...vcpu(0, []),
            frames: [0xffffffff81234567n, 0xffffffff81000001n].map((address) => ({
              address: (address + slide).toString(16),
            })),
          },
        ],
        0,
        { buildId: 'c0ffee00c0ffee00' },
      );
    expect(at(0n)).toMatchObject({ weak: true, text: 'crash | build c0ffee00c0ff | ?34567 | ?1' });
    expect(at(0x200000n).text).toBe(at(0n).text);
    expect(at(0x1000n).text).not.toBe(at(0n).text);
  });

  test('an oops that killed init is not on the stack any more', () => {
    const console = [
      'BUG: unable to handle page fault for address: 000000000dead000',
      'Oops: 0002 [#1] PREEMPT SMP NOPTI',
      'CPU: 0 PID: 1 Comm: insmod Tainted: G           OE',
      'RIP: 0010:wild_pointer+0x12/0x1f [contexts]',
      'Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009',
    ].join('\n');
    const stack = vcpu(0, ['panic', 'do_exit.cold', 'make_task_dead', 'rewind_stack_and_make_dead']);
    expect(signatureOf('crash', console, [stack], 0).text).toBe(
      'page fault: unable to handle page fault for address: <address> | contexts:wild_pointer',
    );
  });

  test('a domain that said nothing', () => {
    expect(signatureOf('reboot', '', [vcpu(0, ['f'])], 0, { xenLog: '(XEN) d1v0 Triple fault' }).text).toBe(
      'triple fault | f',
    );
    expect(signatureOf('watchdog', '', [vcpu(0, ['f'])], 0).text).toBe('watchdog | f');
    expect(signatureOf('poweroff', console, [vcpu(0, ['f'])], 0).text).toBe('poweroff | f');
    expect(signatureOf('crash', '', [], undefined)).toMatchObject({ text: 'crash', weak: true });
  });
});

describe('pvh-report signature', () => {
  const folder = scratchFolder();
  afterAll(() => folder.remove());
  const run = (...argv: string[]) => pvhReport('signature', ...argv);

  test('prints one line, its rules, or data', async () => {
    const bytes = await packReport({
      frames: ['shutdown', 'panic', 'mount_root.isra.0', 'start_services'],
      console: '[    0.200000] Panic: no root\n',
    });
    const path = folder.write('report.tar.gz', bytes);
    const line = await run(path);
    expect(line.status).toBe(0);
    expect(line.out).toMatch(/^[0-9a-f]{8} panic: no root \| mount_root \| start_services\n$/);
    const explained = (await run(path, '--explain')).out;
    expect(explained).toContain('mount_root.isra.0 -> mount_root');
    expect(explained).toContain('left out at the top: shutdown, panic');
    const data = JSON.parse((await run(path, '--json')).out);
    expect(data).toMatchObject({ schema: 'pvh-report-signature/3', kind: 'panic', weak: false, vcpu: 0 });
    expect(line.out).toBe(`${data.sha8} ${data.text}\n`);
  });

  test('what is no report is refused', async () => {
    const ran = await run(folder.write('other', Buffer.from('hello')));
    expect(ran.status).toBe(2);
    expect(ran.err).toMatch(/^pvh-report: .*not a whole gzip file/);
  });
});
