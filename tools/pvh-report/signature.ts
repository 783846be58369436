// What identifies a crash: how the domain ended, the message on the console, and the first frames below the machinery
// that stops a kernel. Text and names only: addresses change with every build.
import type { CrashFrame, CrashVcpu } from './crash.ts';

/**
 * Functions that stop a kernel or report an exception: on top of every crash, so they tell nothing about one.
 * Linux v6.1 arch/x86/kernel/{traps,dumpstack,reboot}.c, arch/x86/mm/fault.c, arch/x86/xen, kernel/panic.c; samples/lib.
 */
const MACHINERY = new RegExp(
  `^(${[
    'shutdown|die|trap|trap_entry|panic|vpanic|nmi_panic',
    '(__)?xen_hypercall_\\w+|hypercall_page|xen_(reboot|crash_shutdown|emergency_restart|machine_halt|panic_event|hvm_\\w+)',
    '(machine_|native_machine_)?emergency_restart|native_machine_\\w+|(__)?crash_kexec|dump_stack\\w*|show_(regs|stack|trace)\\w*',
    'oops_(begin|end)|__die(_body|_header)?|die_addr|page_fault_oops|kernelmode_fixup_or_oops|no_context',
    '(__)?bad_area\\w*|do_(user|kern)_addr_fault|do_error_trap|do_trap\\w*|error_entry|handle_bug|report_bug|(asm_)?exc_\\w+',
  ].join('|')})$`,
);

/** Functions that stand everywhere between others. */
const NOISE =
  /^((srso|retbleed|its|zen)_\w*return_thunk|__x86_\w+_thunk\w*|v?_?printk\w*|delay_\w+|__const_udelay|__delay|(atomic_|raw_|blocking_)?notifier_call_chain)$/;

/** A scan finds stale words between the frames of the machinery; a longer run of others ends it. */
const MAX_BETWEEN = 5;

/** `parse_term.isra.0+0x12` is `parse_term`: compilers name the parts, people do not. */
export const functionName = (symbol: string): string =>
  symbol
    .replace(/\+0x[0-9a-f]+(\/0x[0-9a-f]+)?$/, '')
    .replace(/(\.(isra|constprop|part|cold|llvm)(\.\d+)?)+$/, '')
    .replace(/^__(se|do)_sys_/, '__sys_');

const matches = (pattern: RegExp, { symbol }: CrashFrame): boolean =>
  symbol !== undefined && pattern.test(functionName(symbol));

const isMachinery = (frame: CrashFrame): boolean => matches(MACHINERY, frame);

/** The frames below the machinery; none when there is nothing else. */
export function tellingFrames(frames: readonly CrashFrame[]): readonly CrashFrame[] {
  const quiet = frames.filter((frame) => !matches(NOISE, frame));
  let last = -1;
  for (const [index, frame] of quiet.entries())
    if (isMachinery(frame) && index - last <= MAX_BETWEEN + 1) last = index;
  return quiet.slice(last + 1);
}

/** The vCPU that the crash is about: the one that the runtime named, the first that was stopping the kernel, the first. */
export function crashingVcpu(vcpus: readonly CrashVcpu[], named: number | undefined): CrashVcpu | undefined {
  const readable = vcpus.filter((vcpu) => vcpu.online && vcpu.missing === undefined);
  return (
    readable.find(({ id }) => id === named) ??
    readable.find(({ frames }) => frames.some(isMachinery)) ??
    readable[0]
  );
}

/** Lines by which kernels say why they stop, most telling first. */
const TITLES = [
  /Kernel panic - not syncing: .*/,
  /\bBUG: .*/,
  /\bkernel BUG at .*/,
  /\bBUG at .*/,
  /\bgeneral protection fault\b.*/,
  /\bOops: .*/,
  /\bPanic: .*/,
  /\bUnhandled exception .*/,
];

/** The message of the crash with numbers taken out, or undefined when the console has none. */
export function crashTitle(consoleText: string): string | undefined {
  for (const pattern of TITLES) {
    const found = pattern.exec(consoleText);
    if (found)
      return found[0]
        .trim()
        .slice(0, 200)
        .replace(/\b(0x)?[0-9a-f]{8,16}\b/gi, '<hex>');
  }
  return undefined;
}

export interface Signature {
  /** `crash`, `reboot`, ... or the state of a domain that did not shut down. */
  readonly ending: string;
  readonly title: string | undefined;
  readonly vcpu: CrashVcpu | undefined;
  readonly frames: readonly CrashFrame[];
}

/** @param named the vCPU on which the domain ended, when the runtime's log has it. */
export function signatureOf(
  ending: string,
  consoleText: string,
  vcpus: readonly CrashVcpu[],
  named: number | undefined,
): Signature {
  const vcpu = crashingVcpu(vcpus, named);
  return { ending, title: crashTitle(consoleText), vcpu, frames: tellingFrames(vcpu?.frames ?? []) };
}
