// Which frames of a stack tell about a crash: tables of the functions that do not, and the walk that leaves them out.
import type { CrashFrame, CrashVcpu } from '../crash.ts';
import { functionName, type OnStep } from './names.ts';

/** Functions that mean the same to a signature. */
export interface FunctionRule {
  readonly rule: string;
  /** Why, and where they are. */
  readonly why: string;
  readonly functions: RegExp;
}

/** Stand everywhere between others: left out wherever they are. */
export const IRRELEVANT: readonly FunctionRule[] = [
  {
    rule: 'thunk',
    why: 'jumps of mitigations (linux arch/x86/lib/retpoline.S)',
    functions: /^((srso|retbleed|its|zen|clear_bhb|entry_ibpb)\w{0,40}|__x86_\w{1,60}|__fentry__)$/,
  },
  {
    rule: 'printing',
    why: 'says that something happened, not what (linux kernel/printk, lib/dump_stack.c, arch/x86/kernel/dumpstack.c)',
    functions: /^(_?v?printk\w{0,40}|vprintk\w{0,40}|dump_stack\w{0,40}|show_(regs|stack|trace)\w{0,40})$/,
  },
  {
    rule: 'delay',
    why: 'waits on behalf of its caller (linux arch/x86/lib/delay.c)',
    functions: /^(delay_\w{1,40}|__(const_)?udelay|__ndelay|__delay)$/,
  },
  {
    rule: 'notifier',
    why: 'calls whoever asked for it (linux kernel/notifier.c)',
    functions: /^((atomic_|raw_|blocking_)?notifier_call_chain|notify_die)$/,
  },
];

/** Some kernels have `outer` inside of its caller: left out where `inner` was called from it. */
export const INLINED: readonly { readonly why: string; readonly inner: string; readonly outer: string }[] = [
  { why: 'linux v6.6, init/do_mounts.c', inner: 'mount_root_generic', outer: 'mount_root' },
];

/** Stop a kernel: whoever is in them ends the domain. */
export const STOPPING: readonly FunctionRule[] = [
  {
    rule: 'hypercall',
    why: 'the way out (linux arch/x86/xen)',
    functions:
      /^((__)?xen_hypercall_\w{1,40}|hypercall_page|HYPERVISOR_\w{1,40}|xen_(reboot|crash_shutdown|emergency_restart|machine_halt|machine_power_off|panic_event|hvm_\w{1,40}))$/,
  },
  {
    rule: 'reboot',
    why: 'linux arch/x86/kernel/reboot.c',
    functions: /^((native_)?machine_\w{1,40}|emergency_restart|crash_kexec|__crash_kexec)$/,
  },
  {
    rule: 'panic',
    why: 'linux kernel/panic.c',
    functions: /^(v?panic|nmi_panic|panic_smp_self_stop|check_panic_on_warn|oops_(begin|end|enter|exit))$/,
  },
  {
    rule: 'die',
    why: 'linux arch/x86/kernel/dumpstack.c, kernel/exit.c: the task is killed for an oops',
    functions: /^(die|__die(_body|_header)?|die_addr|make_task_dead|rewind_stack_and_make_dead)$/,
  },
  { rule: 'sample', why: 'samples/lib: shutdown() ends the domain', functions: /^shutdown$/ },
];

/** Report an exception: on top of the function that had it. */
export const EXCEPTIONS: readonly FunctionRule[] = [
  {
    rule: 'page fault',
    why: 'linux arch/x86/mm/fault.c',
    functions:
      /^(page_fault_oops|kernelmode_fixup_or_oops|no_context|(__)?bad_area\w{0,40}|do_(user|kern)_addr_fault|handle_page_fault)$/,
  },
  {
    rule: 'trap',
    why: 'linux arch/x86/kernel/traps.c; an NMI is no exception: what it interrupts has not caused it',
    functions:
      /^(do_error_trap|do_trap\w{0,40}|handle_(bug|invalid_op|stack_overflow)|error_entry|error_return|(asm_)?exc_(?!nmi)\w{1,40})$/,
  },
  {
    rule: 'warning',
    why: 'linux kernel/panic.c, lib/bug.c: with panic_on_warn',
    functions: /^(report_bug|__report_bug|__warn(_printk)?|warn_slowpath_\w{1,20})$/,
  },
  { rule: 'sample trap', why: 'samples/lib/traps.S, traps.c', functions: /^(trap|trap_entry)$/ },
];

/** Look at what others do: behind the interrupt that they run in stands what they complain about. */
export const OBSERVERS: readonly FunctionRule[] = [
  {
    rule: 'watchdog',
    why: 'linux kernel/watchdog.c: soft and hard lockups',
    functions: /^(watchdog_timer_fn|watchdog_overflow_callback|watchdog_hardlockup_check)$/,
  },
];

const INTERRUPT: FunctionRule = {
  rule: 'interrupt',
  why: 'what runs below is any code at all (linux arch/x86/entry/entry_64.S)',
  functions:
    /^((asm_)?sysvec_\w{1,60}|(asm_)?common_interrupt|(asm_)?exc_nmi|end_repeat_nmi|first_nmi|nmi_restore|asm_call_irq_on_stack|xen_hvm_callback_vector)$/,
};

const IDLE: FunctionRule = {
  rule: 'idle',
  why: 'nothing runs (linux kernel/sched/idle.c, arch/x86/kernel/process.c; samples/lib)',
  functions:
    /^((pv_)?native_(safe_halt|halt)|default_idle(_call)?|mwait_idle|cpuidle_\w{1,40}|do_idle|cpu_startup_entry|xen_safe_halt|arch_cpu_idle|acpi_(safe_halt|idle_\w{1,30}))$/,
};

/** From here on down nothing tells any more. */
export const SENTINELS: readonly FunctionRule[] = [
  INTERRUPT,
  {
    rule: 'softirq',
    why: 'runs work of others on anybody’s stack (linux kernel/softirq.c)',
    functions:
      /^(__do_softirq|handle_softirqs|do_softirq(_own_stack)?|(__)?irq_exit_rcu|__local_bh_enable_ip|run_ksoftirqd)$/,
  },
  {
    rule: 'system call',
    why: 'linux arch/x86/entry',
    functions:
      /^(do_syscall_(64|x64|x32)|x64_sys_call|entry_SYSCALL\w{0,40}|do_int80\w{0,30}|ret_from_fork\w{0,10})$/,
  },
  {
    rule: 'thread',
    why: 'starts whatever it was told to (linux kernel/kthread.c, kernel/workqueue.c, kernel/smpboot.c)',
    functions:
      /^(kthread|kthread_worker_fn|worker_thread|process_one_work|process_scheduled_works|smpboot_thread_fn)$/,
  },
  {
    rule: 'start',
    why: 'on every stack of its time (linux init/main.c, arch/x86/kernel/head64.c; samples/lib)',
    functions:
      /^(do_one_initcall|do_initcalls|kernel_init(_freeable)?|rest_init|arch_call_rest_init|start_kernel|x86_64_start_\w{1,40}|start_secondary|secondary_startup_64\w{0,20}|pvh_start\w{0,20}|sample_main)$/,
  },
  IDLE,
];

const ruleOf = (rules: readonly FunctionRule[], name: string | undefined): FunctionRule | undefined =>
  name === undefined ? undefined : rules.find(({ functions }) => functions.test(name));

const MACHINERY = [...STOPPING, ...EXCEPTIONS];

/** A scan finds stale words between the frames of the machinery; a longer run of others ends it. */
const MOST_BETWEEN = { scanned: 5, exact: 1 };

/** A frame and what it is called. */
interface Named {
  readonly frame: CrashFrame;
  readonly name: string | undefined;
}

const MAX_LOOKED_AT = 256;

function named(frames: readonly CrashFrame[], onStep: OnStep): Named[] {
  return frames.slice(0, MAX_LOOKED_AT).map((frame) => ({
    frame,
    name:
      frame.symbol === undefined
        ? undefined
        : functionName(frame.symbol, (rule, did) => rule !== 'offset' && onStep(rule, did)),
  }));
}

const listed = (frames: readonly Named[]): string =>
  frames.map(({ name, frame }) => name ?? frame.address).join(', ');

function withoutIrrelevant(frames: readonly Named[], onStep: OnStep): Named[] {
  return frames.filter(({ name }) => {
    const found = ruleOf(IRRELEVANT, name);
    if (found) onStep(found.rule, `left out: ${name}`);
    return !found;
  });
}

function withoutInlined(frames: readonly Named[], onStep: OnStep): Named[] {
  return frames.filter(({ name }, index) => {
    const inner = frames[index - 1]?.name;
    const found = INLINED.some((each) => each.outer === name && each.inner === inner);
    if (found) onStep('inlined in some kernels', `left out: ${name}`);
    return !found;
  });
}

/** Behind the functions that stop the kernel or report an exception. */
function belowMachinery(frames: readonly Named[], onStep: OnStep): Named[] {
  const guessed = frames.some(({ frame: { how } }) => how === undefined || how === 'scan');
  const between = guessed ? MOST_BETWEEN.scanned : MOST_BETWEEN.exact;
  let last = -1;
  for (const [index, { name }] of frames.entries())
    if (index - last <= between + 1 && ruleOf(MACHINERY, name)) last = index;
  if (last >= 0) onStep('machinery', `left out at the top: ${listed(frames.slice(0, last + 1))}`);
  return frames.slice(last + 1);
}

function belowObserver(frames: readonly Named[], onStep: OnStep): Named[] {
  const found = ruleOf(OBSERVERS, frames[0]?.name);
  if (!found) return [...frames];
  const isInterrupt = ({ name }: Named) => ruleOf([INTERRUPT], name) !== undefined;
  const entry = frames.findLastIndex((frame, index) => isInterrupt(frame) && index < MAX_LOOKED_AT);
  const first = frames.findIndex(isInterrupt);
  if (first < 0) return [...frames];
  // Entries come in runs of two: the last of the first run.
  let end = first;
  while (end < entry && isInterrupt(frames[end + 1] ?? { frame: { address: '' }, name: undefined })) end++;
  onStep(found.rule, `it complains of what it interrupted, behind ${frames[end]?.name}`);
  return frames.slice(end + 1);
}

/** A module's init function has two names, and tables differ in which they know (linux include/linux/module.h). */
function withInitcall(frames: readonly Named[], onStep: OnStep): Named[] {
  return frames.map((each, index) => {
    const module = /^([\w-]{1,64}):/.exec(each.name ?? '')?.[1];
    if (module === undefined || frames[index + 1]?.name !== 'do_one_initcall') return each;
    const name = `${module}:<init>`;
    onStep('init of a module', `${each.name} -> ${name}`);
    return { ...each, name };
  });
}

function aboveSentinel(frames: readonly Named[], onStep: OnStep): readonly Named[] {
  const end = frames.findIndex(({ name }) => ruleOf(SENTINELS, name));
  const found = ruleOf(SENTINELS, frames[end]?.name);
  if (!found) return frames;
  // A stack that has nothing else is at least in that.
  const kept = Math.max(end, 1);
  onStep(found.rule, `nothing tells below ${frames[end]?.name}`);
  return frames.slice(0, kept);
}

/** How deep a recursion was is chance: a function that called itself counts once. */
function withoutRecursion(frames: readonly Named[], onStep: OnStep): readonly Named[] {
  const once = frames.filter(({ name }, index) => name === undefined || name !== frames[index - 1]?.name);
  const repeated = frames.length - once.length;
  if (repeated > 0) onStep('recursion', `${repeated} frames left out of functions that called themselves`);
  return once;
}

/** A frame that tells about a crash, as a signature calls it. */
export interface TellingFrame extends CrashFrame {
  readonly name: string | undefined;
}

/** The frames that tell about a crash, innermost first; none when there is nothing but machinery. */
export function tellingFrames(
  frames: readonly CrashFrame[],
  onStep: OnStep = () => undefined,
): readonly TellingFrame[] {
  const quiet = withoutInlined(withoutIrrelevant(named(frames, onStep), onStep), onStep);
  const below = belowObserver(belowMachinery(quiet, onStep), onStep);
  const told = aboveSentinel(withInitcall(below, onStep), onStep);
  return withoutRecursion(told, onStep).map(({ frame, name }) => ({ ...frame, name }));
}

const names = ({ frames }: CrashVcpu): (string | undefined)[] =>
  frames.slice(0, MAX_LOOKED_AT).map(({ symbol }) => symbol && functionName(symbol));

const isStopping = (vcpu: CrashVcpu): boolean => names(vcpu).some((name) => ruleOf(STOPPING, name));

/** Whether a vCPU does nothing, or nothing is known of it. */
export function isIdle(vcpu: CrashVcpu): boolean {
  const quiet = names(vcpu).filter((name) => !ruleOf(IRRELEVANT, name));
  return quiet.length === 0 || ruleOf([IDLE], quiet[0]) !== undefined;
}

interface VcpuRule {
  readonly rule: string;
  readonly choose: (
    vcpus: readonly CrashVcpu[],
    named: number | undefined,
    printed: number | undefined,
  ) => CrashVcpu | undefined;
}

/** The vCPU that a crash is about: the first rule that finds one. */
const VCPU_RULES: readonly VcpuRule[] = [
  { rule: 'the domain ended on it', choose: (vcpus, named) => vcpus.find(({ id }) => id === named) },
  {
    rule: 'the message on the console names it',
    choose: (vcpus, _, printed) => vcpus.find(({ id }) => id === printed),
  },
  { rule: 'it was stopping the kernel', choose: (vcpus) => vcpus.find(isStopping) },
  { rule: 'the first that is not idle', choose: (vcpus) => vcpus.find((vcpu) => !isIdle(vcpu)) },
  { rule: 'the first', choose: (vcpus) => vcpus[0] },
];

/**
 * @param named where the domain ended, as the hypervisor's log says it.
 * @param printed behind `CPU:` in the message of the crash.
 */
export function crashingVcpu(
  vcpus: readonly CrashVcpu[],
  named: number | undefined,
  printed: number | undefined,
  onStep: OnStep = () => undefined,
): CrashVcpu | undefined {
  const readable = vcpus.filter(({ online, missing }) => online && missing === undefined);
  for (const { rule, choose } of VCPU_RULES) {
    const found = choose(readable, named, printed);
    if (found === undefined) continue;
    onStep('vCPU', `vcpu${found.id}: ${rule}`);
    return found;
  }
  return undefined;
}
