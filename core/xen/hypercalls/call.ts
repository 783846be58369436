// One hypercall as its handler sees it, and the table form of a group of operations. Knows no operation.
import { EFAULT, ENOSYS } from '../abi/errno.ts';
import type { Width } from '../abi/layout.ts';
import type { Effect } from '../effect.ts';
import type { XenGuest } from '../guest.ts';

export interface Call {
  readonly guest: XenGuest;
  readonly vcpu: number;
  readonly width: Width;
  /** Six, zero-extended from the caller's width. */
  readonly args: readonly bigint[];
}

/** The value for rax, alone or with what the scheduler has to do. */
export type Result = number | bigint | { readonly value: number | bigint; readonly effect: Effect };

/** One operation of a group: `bytes` of its argument struct, which is written back when `writes` says so. */
export interface Operation {
  readonly bytes?: number | Readonly<Record<Width, number>>;
  readonly writes?: boolean;
  readonly run: (call: Call, argument: DataView) => Result;
}

export type Operations = ReadonlyMap<number, Operation>;

/** Argument `index` as an unsigned 32-bit number. */
export const u32 = (call: Call, index: number): number => Number((call.args[index] ?? 0n) & 0xffff_ffffn);

/** Argument `index` as the caller's `unsigned long`. */
export const word = (call: Call, index: number): bigint => call.args[index] ?? 0n;

/** `unsigned long` at `offset`, in the caller's width. */
export const getWord = (call: Call, view: DataView, offset: number): bigint =>
  call.width === 64 ? view.getBigUint64(offset, true) : BigInt(view.getUint32(offset, true));

/** Bytes at a linear address of the caller, or undefined when one is not mapped. */
export function readGuest(call: Call, address: bigint, length: number): DataView | undefined {
  const bytes = call.guest.machine.readVirtual(call.vcpu, address, length);
  return bytes && new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** False when a byte is not mapped. */
export const writeGuest = (call: Call, address: bigint, bytes: Uint8Array): boolean =>
  call.guest.machine.writeVirtual(call.vcpu, address, bytes);

/** Bytes that a DataView covers. */
export const bytesOf = (view: DataView): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

const NONE = new DataView(new ArrayBuffer(0));

/** Runs the operation that `number` names on the struct at `pointer`. */
export function runOperation(operations: Operations, number: number, call: Call, pointer: bigint): Result {
  const operation = operations.get(number);
  if (operation === undefined) return -ENOSYS;
  const { bytes = 0 } = operation;
  const size = typeof bytes === 'number' ? bytes : bytes[call.width];
  const argument = size === 0 ? NONE : readGuest(call, pointer, size);
  if (argument === undefined) return -EFAULT;
  const result = operation.run(call, argument);
  if (operation.writes && typeof result === 'number' && result >= 0)
    if (!writeGuest(call, pointer, bytesOf(argument))) return -EFAULT;
  return result;
}
