// What identifies a crash: how the domain ended, the message on the console, and the first frames below the machinery
// that stops a kernel. Text and names only: addresses change with every build.
import type { CrashFrame, CrashVcpu } from './crash.ts';

/**
 * Functions that stop a kernel or report an exception: on top of every crash, so they tell nothing about one.
 * Linux v6.1 arch/x86/kernel/{traps,dumpstack,reboot}.c, arch/x86/mm/fault.c, arch/x86/xen, kernel/panic.c; samples/lib.
 */
const MACHINERY =
  /^(shutdown|die|trap|trap_entry|panic|vpanic|nmi_panic|xen_hypercall_\w+|__xen_hypercall_\w+|hypercall_page|xen_(reboot|crash_shutdown|emergency_restart|machine_halt|panic_event|hvm_\w+)|(machine_|native_machine_)?emergency_restart|native_machine_\w+|oops_(begin|end)|__die(_body)?|die_addr|(__)?(page_fault_oops|bad_area\w*|bad_area_nosemaphore|no_context)|kernelmode_fixup_or_oops|do_(user|kern)_addr_fault|exc_\w+|asm_exc_\w+|handle_bug|report_bug|do_error_trap|do_trap\w*|error_entry|crash_kexec|__crash_kexec|dump_stack\w*|show_(regs|stack|trace)\w*|(srso|retbleed|its)_\w*return_thunk|__x86_return_thunk|delay_\w+|__const_udelay|__delay|atomic_notifier_call_chain|notifier_call_chain)$/;

/** `parse_term.isra.0+0x12` is `parse_term`: compilers name the parts, people do not. */
export const functionName = (symbol: string): string =>
  symbol
    .replace(/\+0x[0-9a-f]+(\/0x[0-9a-f]+)?$/, '')
    .replace(/(\.(isra|constprop|part|cold|llvm)(\.\d+)?)+$/, '')
    .replace(/^__(se|do)_sys_/, '__sys_');

const isMachinery = ({ symbol }: CrashFrame): boolean =>
  symbol !== undefined && MACHINERY.test(functionName(symbol));

/** The frames below the machinery; all of them when there is nothing else. */
export function tellingFrames(frames: readonly CrashFrame[]): readonly CrashFrame[] {
  const last = frames.findLastIndex(isMachinery);
  const below = frames.slice(last + 1).filter((frame) => !isMachinery(frame));
  // Frames above the machinery's last one belong to it, unless that one stands at the very end.
  return below.length > 0 ? below : frames.filter((frame) => !isMachinery(frame));
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
