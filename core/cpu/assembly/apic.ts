// The local APIC of every vCPU: registers (xAPIC page and x2APIC MSRs), IPIs, timer. Registers are kept in the vCPU block at
// their xAPIC offset / 4 (SDM vol 3A, chapter 11). Delivery into a running vCPU is interrupts.ts.
import {
  APIC, APIC_BASE, APIC_ID, CPU, CS, INIT_PENDING, NMI_PENDING, RIP, RUN_STATE, RUN_STATE_RUNNING, RUN_STATE_WAIT_FOR_SIPI, SEG_BASE,
  SEG_SELECTOR, TIMER_DEADLINE, TIMER_PERIOD, TIMER_START, CURRENT_VCPU, VCPU_COUNT,
} from '../layout';
import { updateEvents } from './events';
import { initBlock } from './reset';
import { blockOf } from './state';
import { shortenSlice, virtualTime } from './time';

const ID: u32 = 0x20;
const VERSION: u32 = 0x30;
const TPR: u32 = 0x80;
const PPR: u32 = 0xa0;
const EOI: u32 = 0xb0;
const LDR: u32 = 0xd0;
const DFR: u32 = 0xe0;
const SVR: u32 = 0xf0;
const ISR: u32 = 0x100;
const IRR: u32 = 0x200;
const ESR: u32 = 0x280;
const ESR_PENDING: u32 = 0x290; // not an APIC register: errors since the last write to ESR
const ICR_LOW: u32 = 0x300;
const ICR_HIGH: u32 = 0x310;
const LVT_TIMER: u32 = 0x320;
const LVT_LINT0: u32 = 0x350;
const LVT_LINT1: u32 = 0x360;
const LVT_ERROR: u32 = 0x370;
const TIMER_INITIAL: u32 = 0x380;
const TIMER_CURRENT: u32 = 0x390;
const TIMER_DIVIDE: u32 = 0x3e0;
const SELF_IPI: u32 = 0x3f0;

const BASE_ENABLED: u64 = 0x800;
const BASE_X2APIC: u64 = 0x400;
const LVT_MASKED: u32 = 0x10000;
const SVR_ENABLED: u32 = 0x100;
const ERROR_SEND_ILLEGAL: u32 = 0x20;
const ERROR_RECEIVE_ILLEGAL: u32 = 0x40;

// @ts-ignore: decorator
@inline
function register(block: usize, offset: u32): usize {
  return block + APIC - CPU + (offset >> 2);
}

// @ts-ignore: decorator
@inline
function at(block: usize, field: usize): usize {
  return block + field - CPU;
}

/** Gpa of the xAPIC page of the current vCPU; a value that is no page when it has none. */
export function apicPage(): u64 {
  const base = load<u64>(APIC_BASE);
  return (base & (BASE_ENABLED | BASE_X2APIC)) == BASE_ENABLED ? base & ~0xfff : 1;
}

export function isX2apic(): bool {
  return (load<u64>(APIC_BASE) & (BASE_ENABLED | BASE_X2APIC)) == (BASE_ENABLED | BASE_X2APIC);
}

/** Highest bit of a 256-bit register bank, -1 when it is empty. */
function highest(bank: usize): i32 {
  for (let i: i32 = 3; i >= 0; i--) {
    const word = load<u64>(bank + i * 8);
    if (word) return i * 64 + 63 - <i32>clz(word);
  }
  return -1;
}

function setBit(bank: usize, vector: u32): void {
  const place = bank + (vector >> 5) * 4;
  store<u32>(place, load<u32>(place) | (1 << (vector & 31)));
}

function clearBit(bank: usize, vector: u32): void {
  const place = bank + (vector >> 5) * 4;
  store<u32>(place, load<u32>(place) & ~(1 << (vector & 31)));
}

function processorPriority(block: usize): u32 {
  const task = load<u32>(register(block, TPR)) & 0xff;
  const inService = highest(register(block, ISR));
  const service: u32 = inService < 0 ? 0 : <u32>inService & 0xf0;
  return task >> 4 >= service >> 4 ? task : service;
}

/**
 * Vector that the APIC of `block` would give the CPU now, -1 when none is above the processor priority.
 * What was requested before software disabled the APIC stays deliverable (SDM vol 3A, 11.4.7.2).
 */
export function pendingVector(block: usize): i32 {
  const vector = highest(register(block, IRR));
  if (vector < 0) return -1;
  return <u32>vector >> 4 > processorPriority(block) >> 4 ? vector : -1;
}

/** The CPU takes `vector`: it moves from requested to in service. */
export function acceptVector(vector: u32): void {
  clearBit(register(CPU, IRR), vector);
  setBit(register(CPU, ISR), vector);
}

function noteError(block: usize, error: u32): void {
  const place = register(block, ESR_PENDING);
  if (load<u32>(place) & error) return;
  store<u32>(place, load<u32>(place) | error);
  const lvt = load<u32>(register(block, LVT_ERROR));
  if (!(lvt & LVT_MASKED) && (lvt & 0xff) >= 16) requestVector(block, lvt & 0xff);
}

/** An edge-triggered fixed interrupt arrives at the APIC of `block`. */
export function requestVector(block: usize, vector: u32): void {
  if (!(load<u32>(register(block, SVR)) & SVR_ENABLED)) return;
  if (vector < 16) noteError(block, ERROR_RECEIVE_ILLEGAL);
  else latchVector(block, vector);
}

/**
 * The hypervisor requests `vector` at the APIC of `block`, enabled by software or not: a guest that binds its event
 * upcall before it sets up the APIC gets only one edge, and Xen does not drop it.
 */
export function latchVector(block: usize, vector: u32): void {
  if (!(load<u64>(at(block, APIC_BASE)) & BASE_ENABLED)) return;
  setBit(register(block, IRR), vector);
  if (block == CPU) updateEvents();
}

function logicalId(block: usize): u32 {
  const id = load<u32>(at(block, APIC_ID));
  if (load<u64>(at(block, APIC_BASE)) & BASE_X2APIC) return ((id >> 4) << 16) | (1 << (id & 15));
  return load<u32>(register(block, LDR)) >> 24;
}

function isDestination(block: usize, destination: u32, logical: bool, sentByX2: bool): bool {
  const broadcast: u32 = sentByX2 ? 0xffffffff : 0xff;
  if (destination == broadcast) return true;
  if (!logical) return load<u32>(at(block, APIC_ID)) == destination;
  const id = logicalId(block);
  if (load<u64>(at(block, APIC_BASE)) & BASE_X2APIC) return id >> 16 == destination >> 16 && (id & destination & 0xffff) != 0;
  if (load<u32>(register(block, DFR)) >> 28 == 0xf) return (id & destination) != 0;
  return id >> 4 == destination >> 4 && (id & destination & 0xf) != 0;
}

/** Sends what the interrupt command register says (SDM vol 3A, 11.6). */
function sendCommand(low: u32, destination: u32): void {
  const mode = (low >> 8) & 7;
  const shorthand = (low >> 18) & 3;
  const current = load<u32>(CURRENT_VCPU);
  const vcpus = load<u32>(VCPU_COUNT);
  const x2 = isX2apic();
  if (mode <= 1 && (low & 0xff) < 16) {
    noteError(CPU, ERROR_SEND_ILLEGAL);
    return;
  }
  // A level-triggered INIT that is de-asserted only synchronised arbitration ids of old processors.
  if (mode == 5 && (low & 0xc000) == 0x8000) return;
  for (let vcpu: u32 = 0; vcpu < vcpus; vcpu++) {
    const block = blockOf(vcpu);
    let chosen = shorthand == 2;
    if (shorthand == 0) chosen = isDestination(block, destination, (low & 0x800) != 0, x2);
    else if (shorthand == 1) chosen = vcpu == current;
    else if (shorthand == 3) chosen = vcpu != current;
    if (!chosen) continue;
    receive(block, mode, low & 0xff);
    if (mode == 1) return;
  }
}

function receive(block: usize, mode: u32, vector: u32): void {
  switch (mode) {
    case 0:
    case 1:
      requestVector(block, vector);
      break;
    case 4:
      requestNmi(block);
      break;
    case 5:
      requestInit(block);
      break;
    case 6:
      startUp(block, vector);
      break;
  }
}

export function requestNmi(block: usize): void {
  store<u8>(at(block, NMI_PENDING), 1);
  if (block == CPU) updateEvents();
}

function requestInit(block: usize): void {
  // A vCPU that waits for SIPI is reset already: what the hypervisor latched in its APIC since then stays, as in Xen.
  // One that is offline (HLT for ever, VCPUOP_down) comes back by it.
  if (load<u8>(at(block, RUN_STATE)) == RUN_STATE_WAIT_FOR_SIPI) return;
  if (block != CPU) {
    initBlock(block);
    return;
  }
  store<u8>(INIT_PENDING, 1);
  updateEvents();
}

function startUp(block: usize, vector: u32): void {
  if (load<u8>(at(block, RUN_STATE)) != RUN_STATE_WAIT_FOR_SIPI) return;
  store<u16>(at(block, CS) + SEG_SELECTOR, <u16>(vector << 8));
  store<u64>(at(block, CS) + SEG_BASE, vector << 12);
  store<u64>(at(block, RIP), 0);
  store<u8>(at(block, RUN_STATE), RUN_STATE_RUNNING);
}

// ---------------------------------------------------------------------------------------------------------------------
// Timer: counts virtual nanoseconds divided by the divide register.

function divider(block: usize): u64 {
  const bits = load<u32>(register(block, TIMER_DIVIDE));
  const code = (bits & 3) | ((bits >> 1) & 4);
  return code == 7 ? 1 : <u64>2 << code;
}

function startTimer(): void {
  const initial: u64 = load<u32>(register(CPU, TIMER_INITIAL));
  const length = initial * divider(CPU);
  const now = virtualTime();
  const periodic = ((load<u32>(register(CPU, LVT_TIMER)) >> 17) & 3) == 1;
  store<u64>(TIMER_START, now);
  store<u64>(TIMER_DEADLINE, length ? now + length : 0);
  store<u64>(TIMER_PERIOD, periodic ? length : 0);
  if (length) shortenSlice(length);
}

function currentCount(): u32 {
  const deadline = load<u64>(TIMER_DEADLINE);
  const now = virtualTime();
  return deadline > now ? <u32>((deadline - now) / divider(CPU)) : 0;
}

/** Virtual time of the earliest armed timer of any vCPU, 0 when none is. */
export function earliestTimer(): u64 {
  let earliest: u64 = 0;
  const vcpus = load<u32>(VCPU_COUNT);
  for (let vcpu: u32 = 0; vcpu < vcpus; vcpu++) {
    const deadline = load<u64>(at(blockOf(vcpu), TIMER_DEADLINE));
    if (deadline && (!earliest || deadline < earliest)) earliest = deadline;
  }
  return earliest;
}

/** Fires every timer that is due at `now`. */
export function fireDueTimers(now: u64): void {
  const vcpus = load<u32>(VCPU_COUNT);
  for (let vcpu: u32 = 0; vcpu < vcpus; vcpu++) {
    const block = blockOf(vcpu);
    const deadline = load<u64>(at(block, TIMER_DEADLINE));
    if (!deadline || deadline > now) continue;
    const period = load<u64>(at(block, TIMER_PERIOD));
    // Periods that passed while nothing ran are one interrupt, as they would be in the IRR.
    const missed = period ? (now - deadline) / period + 1 : 0;
    store<u64>(at(block, TIMER_DEADLINE), period ? deadline + missed * period : 0);
    store<u64>(at(block, TIMER_START), period ? deadline + (missed - 1) * period : 0);
    const lvt = load<u32>(register(block, LVT_TIMER));
    if (!(lvt & LVT_MASKED)) requestVector(block, lvt & 0xff);
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Registers

function readRegister(offset: u32): u32 {
  switch (offset) {
    case ID:
      return isX2apic() ? load<u32>(APIC_ID) : load<u32>(APIC_ID) << 24;
    case VERSION:
      return 0x50014;
    case PPR:
      return processorPriority(CPU);
    case LDR:
      return isX2apic() ? logicalId(CPU) : load<u32>(register(CPU, LDR));
    case TIMER_CURRENT:
      return currentCount();
    case EOI:
    case ESR_PENDING:
    case SELF_IPI:
      return 0;
  }
  return load<u32>(register(CPU, offset));
}

function writeLvt(offset: u32, value: u32): void {
  let allowed: u32 = 0x100ff; // vector, mask
  if (offset == LVT_TIMER) allowed = 0x700ff;
  else if (offset == LVT_LINT0 || offset == LVT_LINT1) allowed = 0x1a7ff;
  else if (offset != LVT_ERROR) allowed = 0x107ff;
  let next = value & allowed;
  if (!(load<u32>(register(CPU, SVR)) & SVR_ENABLED)) next |= LVT_MASKED;
  store<u32>(register(CPU, offset), next);
}

function writeRegister(offset: u32, value: u32): void {
  switch (offset) {
    case TPR:
      store<u32>(register(CPU, TPR), value & 0xff);
      updateEvents();
      return;
    case EOI: {
      const vector = highest(register(CPU, ISR));
      if (vector >= 0) clearBit(register(CPU, ISR), vector);
      updateEvents();
      return;
    }
    case LDR:
      store<u32>(register(CPU, LDR), value & 0xff000000);
      return;
    case DFR:
      store<u32>(register(CPU, DFR), value | 0x0fffffff);
      return;
    case SVR:
      store<u32>(register(CPU, SVR), value & 0x1ff);
      if (!(value & SVR_ENABLED))
        for (let lvt: u32 = LVT_TIMER; lvt <= LVT_ERROR; lvt += 0x10) writeLvt(lvt, load<u32>(register(CPU, lvt)));
      updateEvents();
      return;
    case ESR:
      store<u32>(register(CPU, ESR), load<u32>(register(CPU, ESR_PENDING)));
      store<u32>(register(CPU, ESR_PENDING), 0);
      return;
    case ICR_LOW:
      store<u32>(register(CPU, ICR_LOW), value & ~0x1000);
      sendCommand(value, load<u32>(register(CPU, ICR_HIGH)) >> 24);
      return;
    case ICR_HIGH:
      store<u32>(register(CPU, ICR_HIGH), value & 0xff000000);
      return;
    case TIMER_INITIAL:
      store<u32>(register(CPU, TIMER_INITIAL), value);
      startTimer();
      return;
    case TIMER_DIVIDE:
      store<u32>(register(CPU, TIMER_DIVIDE), value & 0xb);
      return;
  }
  if (offset >= LVT_TIMER && offset <= LVT_ERROR) writeLvt(offset, value);
}

/** A load from the xAPIC page. Registers are 32 bits wide at 16-byte strides; what lies between reads as 0. */
export function apicRead(offset: u32, size: u32): u64 {
  const within = offset & 15;
  if (within >= 4 || offset >= 0x400) return 0;
  const value = <u64>readRegister(offset & ~15) >> (within * 8);
  return size >= 4 ? value : value & ((<u64>1 << (size * 8)) - 1);
}

/** A store to the xAPIC page; only those at the start of a register do anything. */
export function apicWrite(offset: u32, value: u64, size: u32): void {
  if (offset & 15 || offset >= 0x400 || size < 4) return;
  writeRegister(offset, <u32>value);
}

/** True when the x2APIC MSR 0x800 + n exists (SDM vol 3A, table 11-6). */
function existsInX2(offset: u32, write: bool): bool {
  switch (offset) {
    case ID:
    case VERSION:
    case PPR:
    case LDR:
    case TIMER_CURRENT:
      return !write;
    case EOI:
    case SELF_IPI:
      return write;
    case TPR:
    case SVR:
    case ESR:
    case ICR_LOW:
    case TIMER_INITIAL:
    case TIMER_DIVIDE:
      return true;
  }
  if (offset >= ISR && offset < ESR) return !write;
  return offset >= LVT_TIMER && offset <= LVT_ERROR;
}

/** RDMSR 0x800..0x8ff in x2APIC mode. False: #GP(0). */
export function x2apicRead(index: u32): bool {
  const offset = (index - 0x800) << 4;
  if (!isX2apic() || offset >= 0x400 || !existsInX2(offset, false)) return false;
  x2apicValue = readRegister(offset);
  if (offset == ICR_LOW) x2apicValue |= <u64>load<u32>(register(CPU, ICR_HIGH)) << 32;
  return true;
}
/** Result of x2apicRead. */
export let x2apicValue: u64 = 0;

/** WRMSR 0x800..0x8ff in x2APIC mode. False: #GP(0). */
export function x2apicWrite(index: u32, value: u64): bool {
  const offset = (index - 0x800) << 4;
  if (!isX2apic() || offset >= 0x400 || !existsInX2(offset, true)) return false;
  if (offset == ICR_LOW) {
    store<u32>(register(CPU, ICR_LOW), <u32>value & ~0x1000);
    store<u32>(register(CPU, ICR_HIGH), <u32>(value >> 32));
    sendCommand(<u32>value, <u32>(value >> 32));
    return true;
  }
  if (value >> 32) return false;
  if (offset == SELF_IPI) {
    if (value > 255) return false;
    if (value < 16) noteError(CPU, ERROR_SEND_ILLEGAL);
    else requestVector(CPU, <u32>value);
    return true;
  }
  if ((offset == EOI || offset == ESR) && value) return false;
  writeRegister(offset, <u32>value);
  return true;
}

/** WRMSR IA32_APIC_BASE. False: #GP(0). Base and the BSP bit stay; the mode may go disabled -> xAPIC -> x2APIC -> disabled. */
export function writeApicBase(value: u64): bool {
  const old = load<u64>(APIC_BASE);
  const mode = BASE_ENABLED | BASE_X2APIC;
  if (value & ~0x00003ffffffffd00) return false;
  if ((value & mode) == BASE_X2APIC) return false;
  if ((old & mode) == mode && (value & mode) == BASE_ENABLED) return false;
  if (!(old & BASE_ENABLED) && (value & mode) == mode) return false;
  store<u64>(APIC_BASE, (old & 0x100) | (value & (0x00003ffffffff000 | mode)));
  updateEvents();
  return true;
}
