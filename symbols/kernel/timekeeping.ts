// The guest's clocks at its last tick (linux kernel/time/timekeeping.c).
import { FormatError } from '../errors.ts';
import type { LinuxMemory } from './linux-memory.ts';

export interface GuestClock {
  /** CLOCK_MONOTONIC: nanoseconds since boot, without sleep. */
  readonly monotonicNs: bigint;
  /** Seconds since 1970. */
  readonly wallSeconds: number;
}

/** Of an anonymous structure before 6.13: behind its sequence counter, at the next multiple of 8. */
const TIMEKEEPER_OFFSET = 8;
const MAX_SHIFT = 32;
/** Until the year 2286. */
const MAX_WALL = 10_000_000_000n;

/** @throws FormatError or MemoryFault */
export function guestClock(linux: LinuxMemory): GuestClock {
  const core = linux.address('tk_core', 'timekeeper_data');
  const offset = linux.layouts?.offsetOf('tk_data', 'timekeeper') ?? TIMEKEEPER_OFFSET;
  const timekeeper = core + BigInt(offset);
  const base = linux.u64(timekeeper, 'timekeeper', 'tkr_mono.base');
  const fraction = linux.u64(timekeeper, 'timekeeper', 'tkr_mono.xtime_nsec');
  const shift = linux.u32(timekeeper, 'timekeeper', 'tkr_mono.shift');
  const wall = linux.u64(timekeeper, 'timekeeper', 'xtime_sec');
  if (wall === 0n) throw new FormatError('the clock is not set yet');
  if (shift > MAX_SHIFT || wall > MAX_WALL)
    throw new FormatError(`a clock of shift ${shift} and ${wall} seconds`);
  // The base is signed: below zero until the first second is full.
  const monotonicNs = BigInt.asIntN(64, base + (fraction >> BigInt(shift)));
  return { monotonicNs, wallSeconds: Number(wall) };
}
