// The very commands that open a dump in crash, drgn and gdb: with what each has to be told of where the kernel runs.
import type { GuestKernel } from '../shared/guest-kernel.ts';

export interface DumpToOpen {
  /** `kind` of the Target that it is. */
  readonly form: string;
  readonly path: string;
  readonly vmlinux: string;
  /** The guest's unwind tables as a file for gdb, where one was written. */
  readonly unwinding?: string | undefined;
}

const quoted = (text: string): string =>
  /^[\w./:=+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

const hex = (value: bigint): string => `0x${BigInt.asUintN(64, value).toString(16)}`;

/** How far the kernel runs from where its vmlinux is linked; the guest itself knows since 3.14. */
const slideOf = ({ slide, linux }: GuestKernel): bigint | undefined =>
  slide ?? linux?.vmcoreinfo?.kernelOffset;

/** Which CPU and process the panic was in: drgn and crash have to be asked for it. */
function panicked({ linux }: GuestKernel): string[] {
  const cpu = linux?.facts().panicCpu.value;
  if (typeof cpu !== 'number') return [];
  const task = linux?.currentTask(cpu).value;
  const process = task ? `, process ${task.pid}: prog.stack_trace(${task.pid}) in drgn` : '';
  return [`# the panic was on CPU ${cpu}${process}`];
}

/** Lines of shell, and of comment. */
export function commandsFor(kernel: GuestKernel, { form, path, vmlinux, unwinding }: DumpToOpen): string[] {
  const [file, symbols] = [quoted(path), quoted(vmlinux)];
  const slide = slideOf(kernel);
  const moved = slide === undefined || slide === 0n ? undefined : hex(slide);
  const names = `${vmlinux}${moved === undefined ? '' : ` -o ${moved}`}`;
  // gdb asks the first file that has a row: the tables come before the vmlinux.
  const load =
    unwinding === undefined
      ? [`symbol-file ${names}`]
      : ['set confirm off', `symbol-file ${unwinding}`, `add-symbol-file ${names}`];
  const steps = [...load, `core-file ${path}`, 'thread apply all bt'];
  const gdb = `gdb ${steps.map((step) => `-ex ${quoted(step)}`).join(' ')}`;
  if (!kernel.linux) return [gdb];
  if (form === 'dump-core') {
    // crash looks for neither in a file of Xen.
    const base = `--machdep phys_base=${hex(kernel.physicalBase ?? 0n)}`;
    return [`crash ${moved === undefined ? '' : `--kaslr=${moved} `}${base} ${symbols} ${file}`];
  }
  const tools = [`crash ${symbols} ${file}`, `drgn -c ${file} -s ${symbols}`];
  return [...(form === 'kdump' ? tools : [...tools, gdb]), ...panicked(kernel)];
}
