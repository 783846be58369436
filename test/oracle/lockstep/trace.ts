// A lockstep trace: what QEMU's registers and the watched memory were at each checkpoint of a program. As a file it is
// compressed JSON with differences only.
import { brotliCompressSync, brotliDecompressSync } from 'node:zlib';

/** Register values at a checkpoint: all hex text, so that a trace is JSON. */
export type RegisterValues = Readonly<Record<string, string>>;

/** Bytes of watched memory that changed since the checkpoint before: offset into the watch region, hex bytes. */
export type MemoryChange = readonly [offset: number, bytes: string];

export interface Checkpoint {
  readonly registers: RegisterValues;
  readonly memory: readonly MemoryChange[];
}

export interface Trace {
  /** Physical address of the watch region, and its size. */
  readonly watch: number;
  readonly watchBytes: number;
  readonly qemu: string;
  readonly checkpoints: readonly Checkpoint[];
}

/** General registers in the order of QEMU's gdb stub. */
export const STUB_REGISTERS: readonly string[] = [
  ...['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp'],
  ...['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'],
];
export const SEGMENT_NAMES: readonly string[] = ['cs', 'ss', 'ds', 'es', 'fs', 'gs'];
export const CONTROL_NAMES: readonly string[] = ['cr0', 'cr2', 'cr3', 'cr4', 'efer'];

/** AF is often undefined, RF only shows in images that the programs mask themselves. */
export const TRACED_FLAGS: number = 0x3e_7fd5 & ~0x10 & ~0x1_0000;

/** Runs of differing bytes, close ones joined. */
export function memoryChanges(before: Uint8Array, now: Uint8Array): MemoryChange[] {
  const changes: MemoryChange[] = [];
  for (let i = 0; i < now.length; i++) {
    if (before[i] === now[i]) continue;
    let end = i + 1;
    for (let gap = 0; end + gap < now.length && gap < 8; ) {
      if (before[end + gap] === now[end + gap]) gap++;
      else {
        end += gap + 1;
        gap = 0;
      }
    }
    changes.push([i, Buffer.from(now.subarray(i, end)).toString('hex')]);
    i = end;
  }
  return changes;
}

/** The trace as the bytes of its file: registers that stayed are left out. */
export function packTrace(trace: Trace): Uint8Array {
  let last: RegisterValues = {};
  const checkpoints = trace.checkpoints.map(({ registers, memory }) => {
    const changed = Object.fromEntries(
      Object.entries(registers).filter(([name, value]) => last[name] !== value),
    );
    last = registers;
    return { registers: changed, memory };
  });
  return brotliCompressSync(JSON.stringify({ ...trace, checkpoints }));
}

export function unpackTrace(file: Uint8Array): Trace {
  const packed = JSON.parse(brotliDecompressSync(file).toString()) as Trace; // our own file
  let last: RegisterValues = {};
  const checkpoints = packed.checkpoints.map(({ registers, memory }) => {
    last = { ...last, ...registers };
    return { registers: last, memory };
  });
  return { ...packed, checkpoints };
}
