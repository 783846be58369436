// MOVS, CMPS, STOS, LODS, SCAS, with and without REP.
//
// How a repeat counts: one pass is one instruction. A pass carries out as many iterations as stay inside one page of each
// operand; when the count is not used up, the instruction is executed again (events are looked at in between). So time
// depends on addresses and counts only, never on how an iteration was carried out.
import { ES, RAX, RCX, RDI, RFLAGS, RSI } from '../layout';
import { mustStep } from './events';
import { LAZY_SUB, setLazy } from './flags';
import { pointerForRead, pointerForWrite } from './memory';
import { cutAddress, readMemory, readRegister, segmentLinear, sx, writeMemory, writeRegister } from './operands';
import { addressSize, repeatPrefix, sizeLog2 } from './record';
import { linearAddress } from './segments';
import { CODE_64, codeMode, faultPending } from './state';

/** Address size of the running instruction (1, 2, 3). Each op gives false when the repeat is unfinished or faulted. */
let width: u32 = 0;

// @ts-ignore: decorator
@inline
function backwards(): bool {
  return (load<u64>(RFLAGS) & 0x400) != 0;
}

function step(size: u32): u64 {
  return backwards() ? 0 - (<u64>1 << size) : <u64>1 << size;
}

function sourceLinear(record: usize, size: u32): u64 {
  return segmentLinear(record, cutAddress(load<u64>(RSI), width), 1 << size, false);
}

/** ES cannot be overridden. */
function targetLinear(size: u32, write: bool): u64 {
  const offset = cutAddress(load<u64>(RDI), width);
  return codeMode == CODE_64 ? offset : linearAddress(ES, offset, 1 << size, write);
}

function count(record: usize): u64 {
  return repeatPrefix(record) ? cutAddress(load<u64>(RCX), width) : 1;
}

/** Registers move by `n` iterations. */
// @ts-ignore: decorator
@inline
function advance(place: usize, size: u32, n: u64): void {
  if (n) writeRegister(place, width, load<u64>(place) + n * step(size));
}

/** Uses up `n` iterations; true when the instruction is finished. */
function useCount(record: usize, n: u64): bool {
  if (!repeatPrefix(record)) return true;
  const left = cutAddress(load<u64>(RCX), width) - n;
  if (n) writeRegister(RCX, width, left);
  return left == 0;
}

/** How many elements from `linear` on, in the present direction, lie wholly in its page; at least 1. */
function inPage(linear: u64, size: u32): u64 {
  const offset = linear & 0xfff;
  const n = backwards() ? (offset >> size) + 1 : (0x1000 - offset) >> size;
  return n ? n : 1;
}

// @ts-ignore: decorator
@inline
function least(a: u64, b: u64): u64 {
  return a < b ? a : b;
}

/** Outside 64-bit mode segment limits and wrap-around are checked for each element; a single step is one iteration. */
function limitPass(n: u64, a: u64, b: u64, size: u32): u64 {
  n = least(n, least(inPage(a, size), inPage(b, size)));
  return codeMode == CODE_64 && width == 3 && !mustStep() ? n : least(n, 1);
}

export function opMovs(record: usize): bool {
  const size = sizeLog2(record);
  width = addressSize(record);
  const total = count(record);
  if (!total) return true;
  const source = sourceLinear(record, size);
  if (faultPending) return false;
  const target = targetLinear(size, true);
  if (faultPending) return false;
  let n = limitPass(total, source, target, size);
  const bytes = n << size;
  if (n > 1 && !backwards()) {
    const from = pointerForRead(source);
    if (faultPending) return false;
    const to = pointerForWrite(target);
    if (faultPending) return false;
    // A target that overlaps behind the source repeats what was just written: not what a block copy does.
    if (from && to && (to <= from || to >= from + <usize>bytes)) {
      memory.copy(to, from, <usize>bytes);
      advance(RSI, size, n);
      advance(RDI, size, n);
      return useCount(record, n);
    }
  }
  let done: u64 = 0;
  const delta = step(size);
  while (done < n) {
    const value = readMemory(source + done * delta, size);
    if (faultPending) break;
    writeMemory(target + done * delta, size, value);
    if (faultPending) break;
    done++;
  }
  advance(RSI, size, done);
  advance(RDI, size, done);
  // Silicon cuts rsi to the address size even when the first iteration faults.
  if (!done && repeatPrefix(record)) writeRegister(RSI, width, load<u64>(RSI));
  return useCount(record, done) && !faultPending;
}

export function opStos(record: usize): bool {
  const size = sizeLog2(record);
  width = addressSize(record);
  const total = count(record);
  if (!total) return true;
  const target = targetLinear(size, true);
  if (faultPending) return false;
  const n = limitPass(total, target, target, size);
  const value = readRegister(RAX, size);
  if (n > 1 && !backwards()) {
    const to = pointerForWrite(target);
    if (faultPending) return false;
    if (to) {
      fill(to, value, size, <usize>n);
      advance(RDI, size, n);
      return useCount(record, n);
    }
  }
  let done: u64 = 0;
  const delta = step(size);
  while (done < n) {
    writeMemory(target + done * delta, size, value);
    if (faultPending) break;
    done++;
  }
  advance(RDI, size, done);
  return useCount(record, done) && !faultPending;
}

function fill(to: usize, value: u64, size: u32, n: usize): void {
  if (size == 0 || value == 0) {
    memory.fill(to, <u8>value, n << size);
    return;
  }
  const end = to + (n << size);
  if (size == 1) for (; to < end; to += 2) store<u16>(to, <u16>value);
  else if (size == 2) for (; to < end; to += 4) store<u32>(to, <u32>value);
  else for (; to < end; to += 8) store<u64>(to, value);
}

export function opLods(record: usize): bool {
  const size = sizeLog2(record);
  width = addressSize(record);
  if (!count(record)) return true;
  const source = sourceLinear(record, size);
  if (faultPending) return false;
  const value = readMemory(source, size);
  if (faultPending) return false;
  writeRegister(RAX, size, value);
  advance(RSI, size, 1);
  return useCount(record, 1);
}

/** REPE (F3) goes on while equal, REPNE (F2) while different. */
function goesOn(record: usize, equal: bool): bool {
  const repeat = repeatPrefix(record);
  return repeat == 2 ? equal : !equal;
}

/** Flags change only with the last iteration: a fault before it finds them as they were. */
function finishCompare(record: usize, done: u64, stop: bool, size: u32, a: i64, b: i64): bool {
  const finished = useCount(record, done) || stop;
  if (faultPending || !finished) return false;
  setLazy(LAZY_SUB, sx(a - b, size), a, b);
  return true;
}

export function opCmps(record: usize): bool {
  const size = sizeLog2(record);
  width = addressSize(record);
  const total = count(record);
  if (!total) return true;
  const source = sourceLinear(record, size);
  if (faultPending) return false;
  const target = targetLinear(size, false);
  if (faultPending) return false;
  const n = limitPass(total, source, target, size);
  const delta = step(size);
  let done: u64 = 0;
  let a: i64 = 0;
  let b: i64 = 0;
  let stop = false;
  while (done < n && !stop) {
    // The ES:rDI operand is read first.
    const second = sx(readMemory(target + done * delta, size), size);
    if (faultPending) break;
    const first = sx(readMemory(source + done * delta, size), size);
    if (faultPending) break;
    a = first;
    b = second;
    done++;
    stop = !goesOn(record, a == b);
  }
  advance(RSI, size, done);
  advance(RDI, size, done);
  return finishCompare(record, done, stop, size, a, b);
}

export function opScas(record: usize): bool {
  const size = sizeLog2(record);
  width = addressSize(record);
  const total = count(record);
  if (!total) return true;
  const target = targetLinear(size, false);
  if (faultPending) return false;
  const n = limitPass(total, target, target, size);
  const delta = step(size);
  const a = sx(readRegister(RAX, size), size);
  let done: u64 = 0;
  let b: i64 = 0;
  let stop = false;
  while (done < n && !stop) {
    const value = sx(readMemory(target + done * delta, size), size);
    if (faultPending) break;
    b = value;
    done++;
    stop = !goesOn(record, a == b);
  }
  advance(RDI, size, done);
  return finishCompare(record, done, stop, size, a, b);
}
