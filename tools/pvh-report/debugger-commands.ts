// The very commands that open a dump in crash, drgn and gdb: with what each has to be told of where the kernel runs.
import type { GuestKernel } from '../shared/guest-kernel.ts';

export interface DumpToOpen {
  /** `kind` of the Target that it is. */
  readonly form: string;
  readonly path: string;
  readonly vmlinux: string;
}

const quoted = (text: string): string =>
  /^[\w./:=+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

const hex = (value: bigint): string => `0x${BigInt.asUintN(64, value).toString(16)}`;

/** How far the kernel runs from where its vmlinux is linked; the guest itself knows since 3.14. */
const slideOf = ({ slide, linux }: GuestKernel): bigint | undefined =>
  slide ?? linux?.vmcoreinfo?.kernelOffset;

/** Lines of shell. */
export function commandsFor(kernel: GuestKernel, { form, path, vmlinux }: DumpToOpen): string[] {
  const [file, symbols] = [quoted(path), quoted(vmlinux)];
  const slide = slideOf(kernel);
  const load = slide === undefined || slide === 0n ? '' : ` -o ${hex(slide)}`;
  const gdb = `gdb -ex ${quoted(`symbol-file ${vmlinux}${load}`)} -ex 'thread apply all bt' -c ${file}`;
  if (!kernel.linux) return [gdb];
  if (form !== 'dump-core')
    return [`crash ${symbols} ${file}`, `drgn -c ${file} -s ${symbols}`, ...(form === 'kdump' ? [] : [gdb])];
  // crash looks for neither in a file of Xen.
  const moved = slide === undefined || slide === 0n ? '' : ` --kaslr=${hex(slide)}`;
  const base = ` --machdep phys_base=${hex(kernel.physicalBase ?? 0n)}`;
  return [`crash${moved}${base} ${symbols} ${file}`];
}
