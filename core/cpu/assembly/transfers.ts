// Tells the host of every transfer of control of ring 0 in 64-bit mode that uses the stack: calls, returns, events, IRET, SYSCALL.
// Only in a build with `--use RECORD_TRANSFERS=1`; in any other, RECORDING is false and nothing of this is left in the module.
import {
  CPL, CURRENT_VCPU, RIP, RSP, TRANSFER_CALL, TRANSFER_EVENT, TRANSFER_FAR_RETURN, TRANSFER_IRET, TRANSFER_RETURN, TRANSFER_RING_CHANGE,
  TRANSFER_USER,
} from '../layout';
import { CODE_64, codeMode } from './state';

// @ts-ignore: defined on the command line or not at all
export const RECORDING: bool = isDefined(RECORD_TRANSFERS);

/** Addresses go out as f64: canonical ones, taken as signed, are exact. */
// @ts-ignore: decorator
@external('record', 'transfer')
declare function transfer(vcpu: u32, kind: u32, at: f64, address: f64, rsp: f64): void;

function note(kind: u32, at: u64, address: u64, rsp: u64): void {
  transfer(load<u32>(CURRENT_VCPU), kind, <f64><i64>at, <f64><i64>address, <f64><i64>rsp);
}

// @ts-ignore: decorator
@inline
function inKernel(): bool {
  return load<u8>(CPL) == 0 && codeMode == CODE_64;
}

/** CALL wrote `returnAddress` at `slot`. */
export function noteCall(slot: u64, returnAddress: u64): void {
  if (inKernel()) note(TRANSFER_CALL, slot, returnAddress, slot);
}

/** RET takes `target` from `slot`. */
export function noteReturn(slot: u64, target: u64): void {
  if (inKernel()) note(TRANSFER_RETURN, slot, target, slot + 8);
}

/** An exception or interrupt pushed its frame, whose RIP is at `place`; `selector` and `rsp` are those of the interrupted code. */
export function noteEvent(place: u64, rip: u64, selector: u32, rsp: u64): void {
  note(TRANSFER_EVENT | (selector & 3 ? TRANSFER_USER : 0), place, rip, rsp);
}

/** IRET took its frame from `place` and is done. */
export function noteInterruptReturn(place: u64): void {
  note(TRANSFER_IRET | (load<u8>(CPL) ? TRANSFER_USER : 0), place, load<u64>(RIP), load<u64>(RSP));
}

/** RETF is done. */
export function noteFarReturn(): void {
  if (inKernel()) note(TRANSFER_FAR_RETURN, load<u64>(RSP), load<u64>(RIP), load<u64>(RSP));
}

/** SYSCALL or SYSRET: what follows has left its stack. */
export function noteRingChange(): void {
  note(TRANSFER_RING_CHANGE, 0, 0, 0);
}
