// Exceptions and interrupts: which one is next, and its way through the IDT (SDM vol 3A, chapter 6). IRET is in far.ts.
import {
  CPL, CPU, CR2, CS, DR7, EXIT_HALT, EXIT_KIND, EXIT_SHUTDOWN, FAULT_ADDRESS, FAULT_ERROR, FAULT_VECTOR, IDTR, INIT_PENDING,
  INTERRUPT_SHADOW, LINE_VECTOR, NMI_BLOCKED, NMI_PENDING, RFLAGS, RIP, RSP, SHADOW_RIP, SS, TR,
} from '../layout';
import { acceptVector, pendingVector } from './apic';
import { checkExecution, noteDebugCause, takeDataHits } from './debug';
import {
  descriptor, descriptorDpl, isCode, isConforming, isPresent, isSegment, needDescriptor, setAccessed, setDescriptor,
} from './descriptors';
import { interruptDeliverable, lineIsHigh, mustStep, updateEvents } from './events';
import { beginTransfer, enterCode, loadInnerStack, pushSized, undoTransfer } from './far';
import { rflags, setRflags } from './flags';
import { checkWrite, readSystem, writeU64 } from './memory';
import { initBlock } from './reset';
import { loadNullStack, loadReal } from './segments';
import {
  CODE_64, DB, DF, FLAG_AC, FLAG_IF, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VM, GP, NMI, NP, PF, SS_FAULT, TS, clearFault, codeMode, cpl,
  faultPending, isCanonical, longMode, protectedMode, raiseFault, segmentBase, segmentLimit, segmentSelector, updateMode,
  updatePrivilege,
} from './state';
import { flushAll } from './tlb';
import { noteEvent, RECORDING } from './transfers';

const DR7_GD: u64 = 0x2000;

/** What deliverEvents and deliverFault ask of the run loop. */
export const CONTINUE: i32 = 0;
/** Execute exactly one instruction, then call afterStep and deliverEvents. */
export const STEP: i32 = 1;
/** Leave run(); EXIT_KIND says why. */
export const LEAVE: i32 = 2;

// ---------------------------------------------------------------------------------------------------------------------
// The IDT

/** Vectors that push an error code: #DF #TS #NP #SS #GP #PF #AC. */
function hasErrorCode(vector: u32): bool {
  return vector < 32 && ((0x27d00 >> vector) & 1) != 0;
}

let gate: u64 = 0;
let gateUpper: u64 = 0;

/** Reads and checks the gate of `vector`. `soft`: INT n and its like, which need gate DPL >= CPL. */
function readIdtGate(vector: u32, soft: bool, external: u32): bool {
  const size: u32 = longMode ? 16 : 8;
  const error = vector * 8 + 2 + external;
  const place = load<u64>(IDTR) + vector * size;
  if (vector * size + size - 1 > load<u32>(IDTR + 8)) {
    raiseFault(GP, error);
    return false;
  }
  gate = readSystem(place, 8);
  gateUpper = longMode && !faultPending ? readSystem(place + 8, 8) : 0;
  if (faultPending) return false;
  const type = <u32>(gate >> 40) & 0x1f;
  // Interrupt and trap gates, 32-bit (in long mode: 64-bit) and 16-bit. A task gate would be a hardware task switch.
  const isGate = type == 14 || type == 15 || (!longMode && (type == 6 || type == 7));
  if (!isGate || (soft && (<u32>(gate >> 45) & 3) < <u32>cpl())) {
    raiseFault(GP, error);
    return false;
  }
  if (!(gate >> 47 & 1)) {
    raiseFault(NP, error);
    return false;
  }
  return true;
}

/** Reads and checks the code segment of the gate; leaves it in `descriptor`. */
function readHandlerCode(selector: u32, external: u32): bool {
  const error = (selector & 0xfffc) | external;
  if (!(selector & 0xfffc)) {
    raiseFault(GP, external);
    return false;
  }
  if (!needDescriptor(selector, GP, external)) return false;
  const wide = longMode && (descriptor >> 53 & 3) != 1;
  if (!isSegment() || !isCode() || descriptorDpl() > <u32>cpl() || wide) {
    raiseFault(GP, error);
    return false;
  }
  if (!isPresent()) {
    raiseFault(NP, error);
    return false;
  }
  return setAccessed();
}

/**
 * Enters the handler of `vector`. `returnRip` is pushed; `soft` as in readIdtGate. False: a fault is pending and nothing has
 * changed.
 */
function enterHandler(vector: u32, withError: bool, error: u32, returnRip: u64, pushedFlags: u64, soft: bool): bool {
  if (!protectedMode) return enterRealHandler(vector, returnRip, pushedFlags);
  const external: u32 = soft ? 0 : 1;
  if (!readIdtGate(vector, soft, external)) return false;
  const selector = <u32>(gate >> 16) & 0xffff;
  if (!readHandlerCode(selector, external)) return false;
  const level = isConforming() ? <u32>cpl() : descriptorDpl();
  const code = descriptor;
  beginTransfer();
  const done = longMode
    ? pushFrame64(level, withError, error, returnRip, pushedFlags, external)
    : pushFrame32(level, withError, error, returnRip, pushedFlags, external);
  if (!done) {
    undoTransfer();
    return false;
  }
  let offset = (gate & 0xffff) | (gate >> 32 & 0xffff0000);
  if (longMode) offset |= gateUpper << 32;
  else if (!(gate >> 43 & 1)) offset &= 0xffff;
  setDescriptor(code);
  let flags = rflags() & ~(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM);
  if (!(gate >> 40 & 1)) flags &= ~FLAG_IF;
  setRflags(flags);
  enterCode(selector, level, offset);
  return true;
}

/** Chooses the stack and pushes SS RSP RFLAGS CS RIP [error] as 64-bit mode does. */
function pushFrame64(level: u32, withError: bool, error: u32, returnRip: u64, flags: u64, external: u32): bool {
  const oldSs = segmentSelector(SS);
  const oldRsp = load<u64>(RSP);
  const oldCs = segmentSelector(CS);
  const ist = <u32>(gate >> 32) & 7;
  let rsp = oldRsp;
  if (ist || level < <u32>cpl()) {
    const place: u32 = ist ? 28 + ist * 8 : 4 + level * 8;
    if (place + 7 > segmentLimit(TR)) {
      raiseFault(TS, (segmentSelector(TR) & 0xfffc) | external);
      return false;
    }
    rsp = readSystem(segmentBase(TR) + place, 8);
    if (faultPending) return false;
  }
  rsp &= ~15;
  const size: u32 = withError ? 48 : 40;
  const bottom = rsp - size;
  if (!isCanonical(bottom) || !isCanonical(rsp - 1)) {
    raiseFault(SS_FAULT, external);
    return false;
  }
  if (level < <u32>cpl()) loadNullStack(level);
  store<u8>(CPL, <u8>level);
  updatePrivilege();
  // SS goes first: a frame that does not fit faults at its highest word.
  checkWrite(rsp - 8, 8);
  if (!faultPending) checkWrite(bottom, size - 8);
  if (faultPending) return false;
  let place = bottom;
  if (withError) {
    writeU64(place, error);
    place += 8;
  }
  writeU64(place, returnRip);
  writeU64(place + 8, oldCs);
  writeU64(place + 16, flags);
  writeU64(place + 24, oldRsp);
  writeU64(place + 32, oldSs);
  store<u64>(RSP, bottom);
  if (RECORDING && !faultPending) noteEvent(place, returnRip, oldCs, oldRsp);
  return !faultPending;
}

/** The same for 32-bit and 16-bit gates. */
function pushFrame32(level: u32, withError: bool, error: u32, returnRip: u64, flags: u64, external: u32): bool {
  const width: u32 = gate >> 43 & 1 ? 4 : 2;
  const oldCs = segmentSelector(CS);
  if (level < <u32>cpl()) {
    const oldSs = segmentSelector(SS);
    const oldRsp = load<u64>(RSP);
    if (!loadInnerStack(level, external)) return false;
    pushSized(oldSs, width);
    pushSized(oldRsp, width);
  }
  pushSized(flags, width);
  pushSized(oldCs, width);
  pushSized(returnRip, width);
  if (withError) pushSized(error, width);
  return !faultPending;
}

/** Real mode: the interrupt vector table, four bytes a vector. */
function enterRealHandler(vector: u32, returnRip: u64, flags: u64): bool {
  if (vector * 4 + 3 > load<u32>(IDTR + 8)) {
    raiseFault(GP, 0);
    return false;
  }
  const entry = readSystem(load<u64>(IDTR) + vector * 4, 4);
  if (faultPending) return false;
  beginTransfer();
  pushSized(flags, 2);
  pushSized(segmentSelector(CS), 2);
  pushSized(returnRip, 2);
  if (faultPending) {
    undoTransfer();
    return false;
  }
  setRflags(rflags() & ~(FLAG_IF | FLAG_TF | FLAG_AC));
  loadReal(CS, <u32>(entry >> 16));
  store<u64>(RIP, entry & 0xffff);
  return true;
}

// ---------------------------------------------------------------------------------------------------------------------
// Exceptions on exceptions

/** #DE #TS #NP #SS #GP (SDM vol 3A, table 6-4). */
function isContributory(vector: i32): bool {
  return vector == 0 || (vector >= TS && vector <= GP);
}

function isPageFault(vector: i32): bool {
  return vector == PF;
}

/**
 * Delivers `vector`, and whatever its delivery raises. Gives CONTINUE, or LEAVE after a triple fault.
 * `flags` is the RFLAGS image to push.
 */
function deliver(firstVector: i32, firstError: u32, flags: u64): i32 {
  let vector = firstVector;
  let error = firstError;
  while (!enterHandler(vector, protectedMode && hasErrorCode(vector), error, load<u64>(RIP), flags, false)) {
    const next = load<i32>(FAULT_VECTOR);
    const nextError = load<u32>(FAULT_ERROR);
    clearFault();
    if (vector == DF) {
      store<i32>(EXIT_KIND, EXIT_SHUTDOWN);
      return LEAVE;
    }
    const double =
      (isContributory(vector) && isContributory(next)) || (isPageFault(vector) && (isPageFault(next) || isContributory(next)));
    // CR2 takes the second address even when the pair becomes #DF.
    if (next == PF) store<u64>(CR2, load<u64>(FAULT_ADDRESS));
    vector = double ? DF : next;
    error = double ? 0 : nextError;
  }
  store<u8>(INTERRUPT_SHADOW, 0);
  // The handler of #DB may use the debug registers.
  if (vector == DB) store<u64>(DR7, load<u64>(DR7) & ~DR7_GD);
  updateEvents();
  return CONTINUE;
}

/** Delivers the pending fault; RIP is still that of the instruction that faulted. */
export function deliverFault(): i32 {
  const vector = load<i32>(FAULT_VECTOR);
  const error = load<u32>(FAULT_ERROR);
  clearFault();
  takeDataHits();
  steppedWithTrap = false;
  if (vector == PF) store<u64>(CR2, load<u64>(FAULT_ADDRESS));
  // A fault pushes RF, so that the instruction restarts past its breakpoint; #DB of that breakpoint does not.
  return deliver(vector, error, vector == DB ? rflags() : rflags() | FLAG_RF);
}

/** Delivers an exception that is a trap: RIP is already that of the next instruction. */
function deliverTrap(vector: i32): i32 {
  return deliver(vector, 0, rflags());
}

/** INT n, INT3, INTO, and INT1 with `privileged` false. On a fault (faultPending) RIP and stack are unchanged. */
export function softwareInterrupt(vector: u32, next: u64, checksGate: bool): void {
  noTrapAfterStep = true;
  if (enterHandler(vector, false, 0, next, rflags(), checksGate)) updateEvents();
}

/** Exception from the host (Machine.injectFault). */
export function injectVector(vector: i32, error: u32): i32 {
  return deliver(vector, error, rflags() | FLAG_RF);
}

// ---------------------------------------------------------------------------------------------------------------------
// Between two instructions

let steppedWithTrap: bool = false;
/** The instruction cleared TF before its end (INT n, SYSCALL): no single-step trap follows. */
let noTrapAfterStep: bool = false;

export function suppressStepTrap(): void {
  noTrapAfterStep = true;
}

/** INIT that this vCPU sent to itself. */
function takeInit(): i32 {
  initBlock(CPU);
  updateMode();
  flushAll();
  updateEvents();
  store<i32>(EXIT_KIND, EXIT_HALT);
  return LEAVE;
}

/** Does what eventsPending asks for: NMI, interrupts, breakpoints, single steps. RIP is the next instruction's. */
export function deliverEvents(): i32 {
  if (load<u8>(INIT_PENDING)) return takeInit();
  const shadowed = load<u8>(INTERRUPT_SHADOW) != 0 && load<u64>(SHADOW_RIP) == load<u64>(RIP);
  store<u8>(INTERRUPT_SHADOW, 0);
  if (!shadowed) {
    if (load<u8>(NMI_PENDING) && !load<u8>(NMI_BLOCKED)) {
      store<u8>(NMI_PENDING, 0);
      store<u8>(NMI_BLOCKED, 1);
      if (deliver(NMI, 0, rflags()) == LEAVE) return LEAVE;
    } else if (interruptDeliverable(CPU)) {
      let vector: i32;
      if (lineIsHigh(CPU)) vector = load<u8>(LINE_VECTOR);
      else {
        vector = pendingVector(CPU);
        acceptVector(vector);
      }
      if (deliver(vector, 0, rflags()) == LEAVE) return LEAVE;
    }
    updateEvents();
  }
  if (mustStep()) return beginStep();
  return shadowed ? STEP : CONTINUE;
}

function beginStep(): i32 {
  checkExecution(segmentBaseOfCode() + load<u64>(RIP));
  if (faultPending) {
    const result = deliverFault();
    if (result == LEAVE) return LEAVE;
  }
  const flags = load<u64>(RFLAGS);
  steppedWithTrap = (flags & FLAG_TF) != 0;
  noTrapAfterStep = false;
  store<u64>(RFLAGS, flags & ~FLAG_RF);
  return STEP;
}

function segmentBaseOfCode(): u64 {
  return codeMode == CODE_64 ? 0 : segmentBase(CS);
}

/** After the one instruction that STEP asked for, when it raised no fault: its debug traps. */
export function afterStep(): i32 {
  let cause = takeDataHits();
  if (steppedWithTrap && !noTrapAfterStep) cause |= 0x4000;
  steppedWithTrap = false;
  updateEvents();
  if (!cause) return CONTINUE;
  noteDebugCause(cause);
  return deliverTrap(DB);
}
