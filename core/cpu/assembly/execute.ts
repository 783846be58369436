// The run loop's surroundings: where it enters, leaves and jumps. The loop itself is generated/loop.ts.
//
// The budget counts retired instructions. budgetLeft is exact at a run's first record; inside a run the instructions done so
// far (the record's ordinal) are still to be taken off. Every way out of a run takes them off.
import {
  CODE_ARENA, CS, EXIT_KIND, LAZY_KIND, PAGE_CONSTANT, RCX, RETIRED, RIP, RIP_PAGE, RSP, SCRATCH, SEG_BASE, SEG_LIMIT, VIRTUAL_TIME,
} from '../layout';
import {
  cacheGeneration, clearCodeChanged, codeChanged, codePageOf, headPage, linkRecord, recordAt, recordIn,
} from './code-cache';
import { LONGEST, decode } from './decode';
import { eventsPending } from './events';
import { isZero, rflags } from './flags';
import { endsBeforeOperand, fpOp, storesToMemory } from './fp';
import { FP_BASE, FP_BYTES, H_CALL_64, H_CALL_64_LINKED, H_EXIT, H_GOTO, H_JMP, H_JMP_LINKED, H_JO, H_STEP_END, H_UNDEFINED } from './generated/tables';
import { runLoop } from './generated/loop';
import { CONTINUE, LEAVE, STEP, afterStep, deliverEvents, deliverFault } from './interrupts';
import { fetchPhysical, readU64 } from './memory';
import { cutAddress, operandAddress, readFirst, readRegister, writeRegister } from './operands';
import {
  F_STACK, RECORD_SIZE, R_COST, R_FLAGS, R_HANDLER, R_IMM, R_LENGTH, R_OFFSET, R_ORDINAL, R_TARGET, addressSize, hasMemory, setEaLinear,
  setNextRip, sizeLog2,
} from './record';
import { asStackFault, dropStack, peek, push } from './stack';
import { CODE_64, GP, clearFault, codeMode, faultNonCanonical, faultPending, isCanonical, raiseFault } from './state';
import { systemOp } from './system';
import { TAG_EXECUTE, TLB_ADDEND, tlbEntry } from './tlb';
import { noteCall, RECORDING } from './transfers';

/** Scratch: the bytes of an instruction that may cross a page, its record, a STEP_END record, an EXIT record. */
const SCRATCH_BYTES: usize = SCRATCH;
const SCRATCH_RECORD: usize = SCRATCH + 0x20;
const EXIT_RECORD: usize = SCRATCH + 0x60;

export let budgetLeft: i32 = 0;
/** The budget that this slice began with, less what endSliceWithin took off. */
let slice: i32 = 0;
/** Code page of the running records; 0 while a scratch record runs. */
let currentPage: usize = 0;
/** deliverEvents asked for exactly one instruction. */
let stepping: bool = false;

// @ts-ignore: decorator
@inline
export function chargeBudget(cost: i32): void {
  budgetLeft -= cost;
}

/** The running handler must not go on to the next record: a fault, or its code is void. */
// @ts-ignore: decorator
@inline
export function mustLeave(): bool {
  return (faultPending | codeChanged) != 0;
}

/** Runs the current vCPU for at most about `budget` instructions; gives the EXIT_* of why it stopped. */
export function execute(budget: i64): i32 {
  budgetLeft = budget > 0x3fffffff ? 0x3fffffff : <i32>budget;
  slice = budgetLeft;
  stepping = false;
  store<u64>(PAGE_CONSTANT, 4096);
  store<u16>(EXIT_RECORD, <u16>H_EXIT);
  runLoop(enter());
  rflags();
  const used = <u64>(slice - budgetLeft);
  store<u64>(RETIRED, load<u64>(RETIRED) + used);
  store<u64>(VIRTUAL_TIME, load<u64>(VIRTUAL_TIME) + used);
  slice = budgetLeft;
  return load<i32>(EXIT_KIND);
}

/** Instructions of this slice that VIRTUAL_TIME does not hold yet. Inside a run, for MMIO, it is that of the run's entry. */
export function retiredInSlice(): u64 {
  return <u64>max(slice - budgetLeft, 0);
}

/** Lets the slice end within `ns` instructions from now. */
export function endSliceWithin(ns: u64): void {
  if (budgetLeft <= 0 || ns >= <u64>budgetLeft) return;
  slice -= budgetLeft - <i32>ns;
  budgetLeft = <i32>ns;
}

/** rip outside 64-bit mode has 32 bits. */
// @ts-ignore: decorator
@inline
function cutRip(rip: u64): u64 {
  return codeMode == CODE_64 ? rip : rip & 0xffffffff;
}

// @ts-ignore: decorator
@inline
function ripOf(record: usize): u64 {
  return cutRip(load<u64>(RIP_PAGE) + load<u16>(record, R_OFFSET));
}

// @ts-ignore: decorator
@inline
function ripAfter(record: usize): u64 {
  return cutRip(load<u64>(RIP_PAGE) + load<u16>(record, R_OFFSET) + load<u8>(record, R_LENGTH));
}

// @ts-ignore: decorator
@inline
function codeLinear(rip: u64): u64 {
  return codeMode == CODE_64 ? rip : (rip + load<u64>(CS + SEG_BASE)) & 0xffffffff;
}

/** The record to go on with at RIP: the border between two runs, where events, the budget and the mode are looked at. */
export function enter(): usize {
  while (true) {
    if (codeChanged) clearCodeChanged();
    if (stepping) {
      stepping = false;
      if (afterStep() == LEAVE) return EXIT_RECORD;
    }
    if (budgetLeft <= 0) return EXIT_RECORD;
    if (eventsPending) {
      const wanted = deliverEvents();
      if (wanted == LEAVE) return EXIT_RECORD;
      if (wanted == STEP) {
        const record = scratchRecord(load<u64>(RIP));
        if (record) {
          stepping = true;
          return record;
        }
        budgetLeft--;
        if (deliverFault() == LEAVE) return EXIT_RECORD;
        continue;
      }
    }
    const record = lookup(load<u64>(RIP));
    if (record) return record;
    budgetLeft--;
    if (deliverFault() == LEAVE) return EXIT_RECORD;
  }
}

/** The record at `rip`, budgetLeft made to fit it; 0 with a fault pending. */
function lookup(rip: u64): usize {
  if (codeMode != CODE_64) {
    const limit: u64 = load<u32>(CS + SEG_LIMIT);
    if (rip > limit) {
      raiseFault(GP, 0);
      return 0;
    }
    // Where the limit falls into the page each instruction is checked by itself.
    if (limit - rip < 0x1000 && limit != 0xffffffff) return scratchRecord(rip);
  }
  const linear = codeLinear(rip);
  const host = fetchPhysical(linear);
  if (faultPending) return 0;
  const offset = <u32>linear & 0xfff;
  const page = codePageOf(<usize>host);
  const record = recordAt(page, offset);
  currentPage = headPage(<u32>host);
  if (!currentPage) currentPage = codePageOf(<usize>host);
  store<u64>(RIP_PAGE, rip - offset);
  budgetLeft += <i32>load<u16>(record, R_ORDINAL);
  return record;
}

/** Decodes the one instruction at `rip` into the scratch record; 0 with a fault pending. */
function scratchRecord(rip: u64): usize {
  const linear = codeLinear(rip);
  const offset = <u32>linear & 0xfff;
  const host = fetchPhysical(linear);
  if (faultPending) return 0;
  const rest: u32 = 0x1000 - offset;
  memory.copy(SCRATCH_BYTES, <usize>host, rest < LONGEST ? rest : LONGEST);
  let length = decode(SCRATCH_RECORD, SCRATCH_BYTES, rest, offset, codeMode);
  if (!length) {
    const second = fetchPhysical(codeMode == CODE_64 ? linear + rest : (linear + rest) & 0xffffffff);
    if (faultPending) return 0;
    memory.copy(SCRATCH_BYTES + rest, <usize>second, LONGEST - rest);
    length = decode(SCRATCH_RECORD, SCRATCH_BYTES, LONGEST, offset, codeMode);
  }
  if (codeMode != CODE_64 && rip + length - 1 > load<u32>(CS + SEG_LIMIT)) {
    raiseFault(GP, 0);
    return 0;
  }
  const end = SCRATCH_RECORD + RECORD_SIZE;
  store<u16>(end, <u16>H_STEP_END, R_HANDLER);
  store<u16>(end, <u16>(offset + length), R_OFFSET);
  store<u16>(end, 1, R_ORDINAL);
  store<u64>(RIP_PAGE, rip - offset);
  currentPage = 0;
  return SCRATCH_RECORD;
}

/** Behind the scratch record. */
export function stepEnd(record: usize): usize {
  store<u64>(RIP, ripOf(record));
  budgetLeft--;
  return enter();
}

/** An instruction that reaches into the next page. */
export function crossPage(record: usize): usize {
  budgetLeft -= <i32>load<u16>(record, R_ORDINAL);
  store<u64>(RIP, ripOf(record));
  const scratch = scratchRecord(load<u64>(RIP));
  if (scratch) return scratch;
  budgetLeft--;
  return deliverFault() == LEAVE ? EXIT_RECORD : enter();
}

/** Leaves a run in or after `record`: delivers the fault, or goes on behind it with new records. */
export function leave(record: usize): usize {
  budgetLeft -= <i32>load<u16>(record, R_ORDINAL) + 1;
  if (!faultPending) {
    return goOn(ripAfter(record));
  }
  if (faultNonCanonical && load<u8>(record, R_FLAGS) & F_STACK) asStackFault();
  store<u64>(RIP, ripOf(record));
  stepping = false;
  return deliverFault() == LEAVE ? EXIT_RECORD : enter();
}

/**
 * Goes on at `rip` with new records, in the middle of what the program sees as straight code. No border: where one is must
 * follow from the program alone, not from what the cache holds, or a restored machine would run another way.
 */
function goOn(rip: u64): usize {
  store<u64>(RIP, rip);
  if (codeChanged) clearCodeChanged();
  if (stepping) return enter();
  const record = lookup(rip);
  if (record) return record;
  budgetLeft--;
  return deliverFault() == LEAVE ? EXIT_RECORD : enter();
}

/** A linked jump arrived at `record` and the budget is used up or an event waits. */
export function border(record: usize): usize {
  budgetLeft -= <i32>load<u16>(record, R_ORDINAL);
  store<u64>(RIP, ripOf(record));
  return enter();
}

/** A run that was cut, or that reached the end of its page. */
export function continueRun(record: usize): usize {
  const offset = <u32>load<u16>(record, R_OFFSET);
  if (offset >= 0x1000 || !currentPage) {
    budgetLeft -= <i32>load<u16>(record, R_ORDINAL);
    return goTo(cutRip(load<u64>(RIP_PAGE) + offset));
  }
  const generation = cacheGeneration;
  const ordinal = <i32>load<u16>(record, R_ORDINAL);
  const target = recordAt(currentPage, offset);
  if (generation != cacheGeneration) {
    budgetLeft -= ordinal;
    return goOn(cutRip(load<u64>(RIP_PAGE) + offset));
  }
  linkRecord(record, target);
  store<u16>(record, <u16>H_GOTO, R_HANDLER);
  budgetLeft -= <i32>load<i16>(record, R_COST);
  return target;
}

/** Goes on at `rip`; the way here has been charged. */
function goTo(rip: u64): usize {
  if (codeMode == CODE_64 && budgetLeft > 0 && !eventsPending && !codeChanged) {
    const entry = tlbEntry(rip);
    if (load<u64>(entry, TAG_EXECUTE) == (rip & ~0xfff)) {
      const page = headPage(<u32>rip + load<u32>(entry, TLB_ADDEND));
      if (page) {
        const record = recordIn(page, <u32>rip & 0xfff);
        if (record) {
          currentPage = page;
          store<u64>(RIP_PAGE, rip & ~0xfff);
          budgetLeft += <i32>load<u16>(record, R_ORDINAL);
          return record;
        }
      }
    }
  }
  store<u64>(RIP, rip);
  return enter();
}

/** Near transfer by `record` to any rip: faults belong to the record. */
export function jumpTo(record: usize, rip: u64): usize {
  const bad = codeMode == CODE_64 ? !isCanonical(rip) : rip > <u64>load<u32>(CS + SEG_LIMIT);
  if (bad) {
    raiseFault(GP, 0);
    return leave(record);
  }
  budgetLeft -= <i32>load<u16>(record, R_ORDINAL) + 1;
  if (stepping) {
    store<u64>(RIP, rip);
    return enter();
  }
  return goTo(rip);
}

/** Relative target of a near branch, cut to the operand size. */
function branchTarget(record: usize): u64 {
  const target = ripAfter(record) + <u64>(<i64>load<i32>(record, R_IMM));
  const size = sizeLog2(record);
  return size == 3 ? target : size == 2 ? target & 0xffffffff : target & 0xffff;
}

/** A taken relative branch that is not linked: links it when the target is in its page. */
export function branchTo(record: usize): usize {
  const target = branchTarget(record);
  const offset = target - load<u64>(RIP_PAGE);
  if (offset >= 0x1000 || !currentPage || codeChanged) return jumpTo(record, target);
  const handler = linkedHandler(load<u16>(record, R_HANDLER));
  if (!handler) return jumpTo(record, target);
  const generation = cacheGeneration;
  const cost = <i32>load<u16>(record, R_ORDINAL) + 1;
  const reached = recordAt(currentPage, <u32>offset);
  if (generation == cacheGeneration) {
    store<u32>(record, reached, R_TARGET);
    store<i16>(record, <i16>(cost - <i32>load<u16>(reached, R_ORDINAL)), R_COST);
    store<u16>(record, <u16>handler, R_HANDLER);
  }
  // Otherwise all records were dropped, this one too.
  budgetLeft -= cost;
  return goTo(target);
}

/** The linked form of a branch handler, 0 when it has none. */
function linkedHandler(handler: u32): u32 {
  if (handler == H_JMP) return H_JMP_LINKED;
  if (handler == H_CALL_64) return H_CALL_64_LINKED;
  // Jcc and its linked form alternate from JO on.
  return handler >= H_JO && handler < H_JO + 32 ? handler + 1 : 0;
}

/** CALL rel outside 64-bit mode. */
export function callNear(record: usize): usize {
  const target = branchTarget(record);
  if (target > <u64>load<u32>(CS + SEG_LIMIT)) raiseFault(GP, 0);
  else push(ripAfter(record), sizeLog2(record));
  return faultPending ? leave(record) : jumpTo(record, target);
}

/** RET outside 64-bit mode. */
export function returnNear(record: usize): usize {
  const size = sizeLog2(record);
  const target = peek(0, size);
  if (!faultPending && target > <u64>load<u32>(CS + SEG_LIMIT)) raiseFault(GP, 0);
  if (faultPending) return leave(record);
  dropStack((<u64>1 << size) + load<u64>(record, R_IMM));
  return jumpTo(record, target);
}

export function jumpIndirect(record: usize): usize {
  const target = readFirst(record, sizeLog2(record));
  return faultPending ? leave(record) : jumpTo(record, target);
}

export function callIndirect(record: usize): usize {
  const size = sizeLog2(record);
  const target = readFirst(record, size);
  const old = load<u64>(RSP);
  // The return address is stored even when the target is then found bad.
  if (!faultPending) push(ripAfter(record), size);
  if (!faultPending && (codeMode == CODE_64 ? !isCanonical(target) : target > <u64>load<u32>(CS + SEG_LIMIT))) {
    store<u64>(RSP, old);
    raiseFault(GP, 0);
  }
  if (RECORDING && !faultPending) noteCall(load<u64>(RSP), ripAfter(record));
  return faultPending ? leave(record) : jumpTo(record, target);
}

/** A repeated string instruction is not finished, or faulted. */
export function stringAgain(record: usize): usize {
  if (faultPending) return leave(record);
  budgetLeft -= <i32>load<u16>(record, R_ORDINAL) + 1;
  store<u64>(RIP, ripOf(record));
  return enter();
}

// LOOP, LOOPZ, LOOPNZ, JCXZ: the count register has the address size.

function countDown(record: usize): bool {
  const width = addressSize(record);
  writeRegister(RCX, width, load<u64>(RCX) - 1);
  return cutAddress(load<u64>(RCX), width) != 0;
}
export function takeLoop(record: usize): bool {
  return countDown(record);
}
export function takeLoopz(record: usize): bool {
  return countDown(record) && isZero();
}
export function takeLoopnz(record: usize): bool {
  return countDown(record) && !isZero();
}
export function takeJcxz(record: usize): bool {
  return cutAddress(load<u64>(RCX), addressSize(record)) == 0;
}

function findOperand(record: usize): void {
  if (hasMemory(record)) setEaLinear(operandAddress(record, 1, false));
}

/** A system instruction: systemOp moves RIP itself, and gives CONTINUE or LEAVE. */
export function runSystem(record: usize): usize {
  const done = <i32>load<u16>(record, R_ORDINAL);
  budgetLeft -= done;
  store<u64>(RIP, ripOf(record));
  setNextRip(ripAfter(record));
  findOperand(record);
  const wanted = faultPending ? CONTINUE : systemOp(record);
  if (faultPending) {
    budgetLeft += done;
    return leave(record);
  }
  budgetLeft--;
  return wanted == LEAVE ? EXIT_RECORD : enter();
}

/** An x87, MMX or SSE instruction. */
export function runFp(record: usize): void {
  setNextRip(ripAfter(record));
  if (hasMemory(record)) {
    const bytes: u32 = load<u16>(FP_BYTES + ((<usize>load<u16>(record, R_HANDLER) - FP_BASE) << 1));
    setEaLinear(operandAddress(record, bytes, storesToMemory(record)));
    if (faultPending && endsBeforeOperand(record)) clearFault();
  }
  if (!faultPending) fpOp(record);
}

/** Length of the instruction at offset `bytes` of this memory in `mode` (CODE_*); 0 = needs more than `limit` bytes, -1 = #UD. */
export function instructionLength(bytes: usize, limit: u32, mode: i32): i32 {
  const length = decode(SCRATCH_RECORD, bytes, limit, 0, mode);
  return load<u16>(SCRATCH_RECORD, R_HANDLER) == H_UNDEFINED ? -1 : length;
}
