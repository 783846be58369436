// What is waiting for a vCPU: decides whether the run loop must stop at the next block border. Delivers nothing.
import {
  CPU, DR7, INIT_PENDING, INTERRUPT_SHADOW, LINE_ADDRESS, LINE_ENABLED, NMI_BLOCKED, NMI_PENDING, RFLAGS,
} from '../layout';
import { pendingVector } from './apic';
import { hostOf } from './frames';
import { FLAG_IF, FLAG_RF, FLAG_TF } from './state';

/** Not 0 when deliverEvents has something to do before the next instruction. The run loop looks at every block border. */
export let eventsPending: i32 = 0;

const NMI_EVENT: i32 = 1;
const INTERRUPT_EVENT: i32 = 2;
const STEP_EVENT: i32 = 4;
const INIT_EVENT: i32 = 8;

/** The level-triggered line beside the LAPIC is high. */
export function lineIsHigh(block: usize): bool {
  if (!load<u8>(block + LINE_ENABLED - CPU)) return false;
  const host = hostOf(load<u64>(block + LINE_ADDRESS - CPU));
  return host != 0 && load<u8>(host) != 0;
}

/** An interrupt would be taken now if `block` were at an instruction border: IF is set and something asks. */
export function interruptDeliverable(block: usize): bool {
  if (!(load<u64>(block + RFLAGS - CPU) & FLAG_IF)) return false;
  return lineIsHigh(block) || pendingVector(block) >= 0;
}

/** True when a halted `block` would wake. */
export function wakes(block: usize): bool {
  if (load<u8>(block + INIT_PENDING - CPU)) return true;
  if (load<u8>(block + NMI_PENDING - CPU) && !load<u8>(block + NMI_BLOCKED - CPU)) return true;
  return interruptDeliverable(block);
}

/** Call after anything that could make an event deliverable: IF, TPR, IRR, NMI blocking, TF, RF, DR7, the start of run(). */
export function updateEvents(): void {
  let events: i32 = 0;
  if (load<u8>(NMI_PENDING) && !load<u8>(NMI_BLOCKED)) events |= NMI_EVENT;
  if (interruptDeliverable(CPU)) events |= INTERRUPT_EVENT;
  if (load<u64>(RFLAGS) & (FLAG_TF | FLAG_RF) || load<u64>(DR7) & 0xff) events |= STEP_EVENT;
  if (load<u8>(INIT_PENDING)) events |= INIT_EVENT;
  eventsPending = events;
}

/** True when each instruction must be executed by itself: TF, RF or an armed breakpoint. */
// @ts-ignore: decorator
@inline
export function mustStep(): bool {
  return (eventsPending & STEP_EVENT) != 0;
}
