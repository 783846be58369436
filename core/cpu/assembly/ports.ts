// IN, OUT, INS, OUTS: permission, and the exit to the host. One element of a string instruction is one exit.
import {
  ANSWER_ADDRESS, ANSWER_AX, ANSWER_MEMORY, ES, EXIT_ADDRESS, EXIT_ANSWER, EXIT_KIND, EXIT_LENGTH, EXIT_PORT_IN, EXIT_PORT_OUT, EXIT_SIZE,
  EXIT_VALUE, RAX, RCX, RDI, RDX, RFLAGS, RIP, RSI, TR,
} from '../layout';
import { noteIoAccess } from './debug';
import { checkWrite, readSystem, readU16, readU32, readU8 } from './memory';
import { addressSize, nextRip, repeatPrefix, segmentOf } from './record';
import { linearAddress } from './segments';
import { FLAG_DF, GP, cpl, faultPending, protectedMode, raiseFault, segmentAttributes, segmentBase, segmentLimit } from './state';
import { watchArmed } from './tlb';

/** #GP(0) unless IOPL or the TSS bitmap lets the CPL use the port (SDM vol 1, 19.5). */
function checkPort(port: u32, size: u32): bool {
  if (!protectedMode || <u64>cpl() <= (load<u64>(RFLAGS) >> 12 & 3)) return true;
  const limit = segmentLimit(TR);
  const tss = segmentBase(TR);
  let allowed = false;
  // 16-bit TSSs have no bitmap; the place of the bitmap is the word at 0x66 in the 32-bit and the 64-bit TSS.
  if (segmentAttributes(TR) & 8 && limit >= 0x67) {
    const place = <u32>readSystem(tss + 0x66, 2) + (port >> 3);
    if (faultPending) return false;
    if (place + 1 <= limit) {
      const bits = <u32>readSystem(tss + place, 2) >> (port & 7);
      if (faultPending) return false;
      allowed = (bits & ((1 << size) - 1)) == 0;
    }
  }
  if (!allowed) raiseFault(GP, 0);
  return allowed;
}

function exit(kind: i32, port: u32, size: u32): void {
  if (watchArmed()) noteIoAccess(port, size);
  store<i32>(EXIT_KIND, kind);
  store<u64>(EXIT_ADDRESS, port);
  store<u32>(EXIT_SIZE, size);
  store<u32>(EXIT_LENGTH, <u32>(nextRip - load<u64>(RIP)));
  store<u64>(RIP, nextRip);
}

/** IN: the answer goes to AL, AX or EAX. True when run() must be left. */
export function portIn(port: u32, size: u32): bool {
  if (!checkPort(port, size)) return false;
  store<u32>(EXIT_ANSWER, ANSWER_AX);
  exit(EXIT_PORT_IN, port, size);
  return true;
}

export function portOut(port: u32, size: u32): bool {
  if (!checkPort(port, size)) return false;
  store<u64>(EXIT_VALUE, load<u64>(RAX) & ((<u64>1 << (size * 8)) - 1));
  exit(EXIT_PORT_OUT, port, size);
  return true;
}

function addressMask(record: usize): u64 {
  const size = addressSize(record);
  return size == 3 ? 0xffffffffffffffff : size == 2 ? 0xffffffff : 0xffff;
}

/** A register of which `mask` says how many bits the address size uses; 32-bit results clear the upper half. */
function setMasked(register: usize, value: u64, mask: u64): void {
  const kept = mask == 0xffff ? load<u64>(register) & ~mask : 0;
  store<u64>(register, kept | (value & mask));
}

/** Steps the index register and, with a rep prefix, the count; a rep that is not done stays on its instruction. */
function stepString(record: usize, index: usize, size: u32): void {
  const mask = addressMask(record);
  const step: u64 = load<u64>(RFLAGS) & FLAG_DF ? <u64>-(<i64>size) : size;
  setMasked(index, load<u64>(index) + step, mask);
  if (!repeatPrefix(record)) return;
  const count = (load<u64>(RCX) - 1) & mask;
  setMasked(RCX, count, mask);
  if (count) store<u64>(RIP, load<u64>(RIP) - load<u32>(EXIT_LENGTH));
}

/** A rep with count 0 does nothing, once it may. */
function isDone(record: usize): bool {
  return repeatPrefix(record) != 0 && !(load<u64>(RCX) & addressMask(record));
}

/** INS. True when run() must be left. */
export function stringIn(record: usize, size: u32): bool {
  const port = <u32>load<u16>(RDX);
  if (!checkPort(port, size)) return false;
  if (isDone(record)) {
    store<u64>(RIP, nextRip);
    return false;
  }
  const linear = linearAddress(ES, load<u64>(RDI) & addressMask(record), size, true);
  if (!faultPending) checkWrite(linear, size);
  if (faultPending) return false;
  store<u32>(EXIT_ANSWER, ANSWER_MEMORY);
  store<u64>(ANSWER_ADDRESS, linear);
  exit(EXIT_PORT_IN, port, size);
  stepString(record, RDI, size);
  store<u32>(EXIT_LENGTH, 0);
  return true;
}

/** OUTS. True when run() must be left. */
export function stringOut(record: usize, size: u32): bool {
  const port = <u32>load<u16>(RDX);
  if (!checkPort(port, size)) return false;
  if (isDone(record)) {
    store<u64>(RIP, nextRip);
    return false;
  }
  const linear = linearAddress(segmentOf(record), load<u64>(RSI) & addressMask(record), size, false);
  if (faultPending) return false;
  const value = size == 1 ? readU8(linear) : size == 2 ? readU16(linear) : readU32(linear);
  if (faultPending) return false;
  store<u64>(EXIT_VALUE, value);
  exit(EXIT_PORT_OUT, port, size);
  stepString(record, RSI, size);
  store<u32>(EXIT_LENGTH, 0);
  return true;
}
