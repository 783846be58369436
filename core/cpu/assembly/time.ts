// Virtual time: one retired instruction of any vCPU is one nanosecond. The run loop counts down a budget; what it used of the
// slice is not in VIRTUAL_TIME yet, so ask here.
import { VIRTUAL_TIME } from '../layout';
import { endSliceWithin, retiredInSlice } from './execute';

/** ns, exact to the instruction. */
export function virtualTime(): u64 {
  return load<u64>(VIRTUAL_TIME) + retiredInSlice();
}

/** A timer was armed `ns` from now: the running slice must end by then. */
export function shortenSlice(ns: u64): void {
  endSliceWithin(ns);
}
