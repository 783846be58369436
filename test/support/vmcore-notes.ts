// Notes of memory dumps for tests: what Linux, QEMU and their dump tools write about CPUs and the kernel.
import { note } from './elf-writer.ts';

const NT_PRSTATUS = 1;

/** Registers of user_regs_struct by index, as words. */
const words = (size: number, offset: number, values: Readonly<Record<number, bigint>>): Uint8Array => {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  for (const [index, value] of Object.entries(values))
    view.setBigUint64(offset + Number(index) * 8, value, true);
  return bytes;
};

/** A CPU as Linux writes it: rip 16, cs 17, rsp 19, fs_base 21, gs_base 22. */
export const prstatusNote = (values: Readonly<Record<number, bigint>>): Uint8Array =>
  note('CORE', NT_PRSTATUS, words(336, 112, values));

/** A CPU as QEMU knows it: rip 16, rflags 17, from 48 on cr0, cr1, cr2, cr3, cr4, kernel_gs_base. Segments are flat and long. */
export function qemuNote(values: Readonly<Record<number, bigint>>): Uint8Array {
  const bytes = words(440, 8, values);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 1, true);
  view.setUint32(4, 440, true);
  for (let index = 0; index < 10; index++) {
    const at = 152 + index * 24;
    view.setUint32(at, index === 0 ? 0x10 : 0, true);
    view.setUint32(at + 4, 0xffffffff, true);
    view.setUint32(at + 8, index === 0 ? 0xaf9b00 : 0xcf9300, true);
    view.setBigUint64(at + 16, BigInt(index) << 12n, true);
  }
  return note('QEMU', 0, bytes);
}

/** The note in which a kernel describes itself. */
export const vmcoreinfoNote = (lines: readonly string[]): Uint8Array =>
  note('VMCOREINFO', 0, new TextEncoder().encode(lines.map((line) => `${line}\n`).join('')));
