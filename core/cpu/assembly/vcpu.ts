// What Machine calls: run, switching between vCPUs, and the host's changes to registers, memory and frames.
import {
  ANSWER_ADDRESS, ANSWER_AX, ANSWER_MEMORY, ANSWER_MSR, ANSWER_NONE, CPU, CPU_SIZE, CR3, CURRENT_VCPU, EMPTY_TLB, TLB_TABLE_SIZE, EXIT_ANSWER, EXIT_BUDGET, EXIT_HALT,
  EXIT_HALT_FOREVER, EXIT_KIND, EXIT_LENGTH, EXIT_SHUTDOWN, EXIT_SIZE, PAGE_CODE, RAX, RDX, RFLAGS, RIP, RUN_STATE, RUN_STATE_HALTED,
  RUN_STATE_RUNNING, SHUTDOWN_PENDING, VCPUS, VCPU_COUNT, VIRTUAL_TIME, TLB_STALE,
} from '../layout';
import { earliestTimer, fireDueTimers, latchVector, requestNmi } from './apic';
import { invalidateCode } from './code-cache';
import { updateEvents, wakes } from './events';
import { execute } from './execute';
import { hostOf, mapFrame, markTouched, pageFlags, unmapFrame } from './frames';
import { injectVector, LEAVE } from './interrupts';
import { writeU16, writeU32, writeU8 } from './memory';
import { loadPdptes, walk, walkAddress } from './paging';
import { initBlock, powerUpBlock } from './reset';
import { ACCESS_PROBE, FLAG_IF, PAGING_PAE, blockOf, clearFault, isCanonical, pagingMode, updateMode } from './state';
import { flushAll } from './tlb';

export function initialise(): void {
  const count = load<u32>(VCPU_COUNT);
  for (let vcpu: u32 = 0; vcpu < count; vcpu++) powerUpBlock(VCPUS + vcpu * CPU_SIZE, vcpu);
  memory.copy(CPU, VCPUS, CPU_SIZE);
  store<u32>(CURRENT_VCPU, 0);
  memory.fill(EMPTY_TLB, 0xff, TLB_TABLE_SIZE);
  flushEveryTlb();
  updateMode();
}

/** Makes the CPU block hold `vcpu`. */
export function switchTo(vcpu: u32): void {
  const current = load<u32>(CURRENT_VCPU);
  if (current == vcpu) return;
  memory.copy(VCPUS + current * CPU_SIZE, CPU, CPU_SIZE);
  memory.copy(CPU, VCPUS + vcpu * CPU_SIZE, CPU_SIZE);
  store<u32>(CURRENT_VCPU, vcpu);
  updateMode();
}

/** Runs `vcpu` for about `budget` instructions; gives the EXIT_* of why it came back. */
export function run(vcpu: u32, budget: f64): i32 {
  switchTo(vcpu);
  syncTlb();
  const now = load<u64>(VIRTUAL_TIME);
  fireDueTimers(now);
  updateEvents();
  if (load<u8>(RUN_STATE) != RUN_STATE_RUNNING) {
    if (load<u8>(RUN_STATE) != RUN_STATE_HALTED) return EXIT_HALT;
    if (!wakes(CPU)) return load<u64>(RFLAGS) & FLAG_IF ? EXIT_HALT : EXIT_HALT_FOREVER;
    store<u8>(RUN_STATE, RUN_STATE_RUNNING);
  }
  if (load<u8>(SHUTDOWN_PENDING)) {
    store<u8>(SHUTDOWN_PENDING, 0);
    return EXIT_SHUTDOWN;
  }
  store<u32>(EXIT_LENGTH, 0);
  let slice = <i64>budget;
  const timer = earliestTimer();
  if (timer && <i64>(timer - now) < slice) slice = <i64>(timer - now);
  store<i32>(EXIT_KIND, EXIT_BUDGET);
  return execute(slice > 0 ? slice : 1);
}

/** The host wrote registers of the current vCPU; `translation`: those that page walks depend on too. */
export function registersChanged(translation: i32): void {
  updateMode();
  if (translation) store<u8>(TLB_STALE + load<u32>(CURRENT_VCPU), 1);
  updateEvents();
}

/** The host loaded CR3: PAE paging reads its four pointers now. */
export function loadPagePointers(): void {
  if (pagingMode == PAGING_PAE) loadPdptes(load<u64>(CR3));
}

/** Empties the TLB of the current vCPU when the host asked for that. */
function syncTlb(): void {
  const stale = TLB_STALE + load<u32>(CURRENT_VCPU);
  if (!load<u8>(stale)) return;
  store<u8>(stale, 0);
  flushAll();
}

/** Frames moved. Each vCPU empties its TLB when it is used next: ballooning moves thousands of frames in a row. */
export function flushEveryTlb(): void {
  memory.fill(TLB_STALE, 1, load<u32>(VCPU_COUNT));
}

/** INIT from the host: registers at reset, waiting for SIPI. */
export function resetVcpu(vcpu: u32): void {
  switchTo(vcpu);
  initBlock(CPU);
  registersChanged(1);
}

export function hostAt(gpa: f64): u32 {
  return gpa >= 0 && gpa < 4503599627370496.0 ? <u32>hostOf(<u64>gpa) : 0;
}

export function mapFrameAt(gfn: f64, host: u32): i32 {
  return mapFrame(<u64>gfn, host) ? 1 : 0;
}

export function unmapFrameAt(gfn: f64): void {
  unmapFrame(<u64>gfn);
}

/** The host wrote `length` bytes at offset `host` of this memory. */
export function hostWrote(host: u32, length: u32): void {
  if (!length) return;
  for (let page = host >> 12; page <= (host + length - 1) >> 12; page++) {
    markTouched(<usize>page << 12);
    if (load<u8>(pageFlags(<usize>page << 12)) & PAGE_CODE) invalidateCode(<usize>page << 12, 0x1000);
  }
}

/** Gpa of `linear` with supervisor rights, -1 when it is not mapped. */
export function translateLinear(vcpu: u32, linear: u64): f64 {
  switchTo(vcpu);
  if (!isCanonical(linear) || !walk(linear, ACCESS_PROBE)) return -1;
  return <f64>walkAddress;
}

export function raiseNmi(vcpu: u32): void {
  requestNmi(blockOf(vcpu));
}

export function raiseInterrupt(vcpu: u32, vector: u32): void {
  latchVector(blockOf(vcpu), vector & 0xff);
}

/** 1 when run() would execute or deliver something. */
export function isRunnable(vcpu: u32): i32 {
  const block = blockOf(vcpu);
  const state = load<u8>(block + RUN_STATE - CPU);
  if (state == RUN_STATE_RUNNING) return 1;
  return state == RUN_STATE_HALTED && wakes(block) ? 1 : 0;
}

/** Virtual ns of the earliest LAPIC timer, -1 when none is armed. */
export function nextTimer(): f64 {
  const deadline = earliestTimer();
  return deadline ? <f64>deadline : -1;
}

/** Gives the IN, INS or RDMSR that left run() its value. */
export function answer(vcpu: u32, value: u64): void {
  switchTo(vcpu);
  syncTlb();
  const size = load<u32>(EXIT_SIZE);
  switch (load<u32>(EXIT_ANSWER)) {
    case ANSWER_AX:
      if (size == 4) store<u64>(RAX, value & 0xffffffff);
      else if (size == 2) store<u16>(RAX, <u16>value);
      else store<u8>(RAX, <u8>value);
      break;
    case ANSWER_MSR:
      store<u64>(RAX, value & 0xffffffff);
      store<u64>(RDX, value >> 32);
      break;
    case ANSWER_MEMORY: {
      // Checked before the exit; only another vCPU's page tables could make it fault now, and then it is lost.
      const linear = load<u64>(ANSWER_ADDRESS);
      if (size == 4) writeU32(linear, value);
      else if (size == 2) writeU16(linear, value);
      else writeU8(linear, value);
      clearFault();
      break;
    }
  }
  store<u32>(EXIT_ANSWER, ANSWER_NONE);
}

/** Raises an exception; the instruction that left run() for an MSR or a port counts as not executed. */
export function injectException(vcpu: u32, vector: i32, error: u32): void {
  switchTo(vcpu);
  syncTlb();
  store<u64>(RIP, load<u64>(RIP) - load<u32>(EXIT_LENGTH));
  store<u32>(EXIT_LENGTH, 0);
  if (injectVector(vector, error) == LEAVE) store<u8>(SHUTDOWN_PENDING, 1);
}

export function fireTimers(): void {
  fireDueTimers(load<u64>(VIRTUAL_TIME));
}
