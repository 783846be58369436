// Predecoded records by host page (offset in this memory / 4096) and code mode. A code page is a header, a map from page
// offset to record, and records in an arena shared by all. Runs are decoded up to the first instruction that never falls
// through; jumps are linked inside a page only, so that dropping a page needs to look nowhere else.
import { CODE_ARENA, CODE_CACHE_END, CODE_PAGES, PAGE_CODE } from '../layout';
import { LONGEST, decode, endsRun } from './decode';
import { pageFlags } from './frames';
import { FLAG_EFFECTS, FUSED, FUSED_ROW, H_CONTINUE, H_CROSSING, H_GOTO, H_JO, QUIET, SYSTEM_BASE } from './generated/tables';
import { RECORD_SIZE, R_CODE, R_COST, R_HANDLER, R_IMM, R_OFFSET, R_OPCODE, R_ORDINAL, R_TARGET } from './record';
import { codeMode, protectedMode } from './state';
import { markCode, unmarkCode } from './tlb';

// Header of a code page.
const HOST_PAGE: usize = 0; // u32
const MODE: usize = 4; // u32
const SIBLING: usize = 8; // u32: code page of the same host page in another mode
const PREVIOUS: usize = 12; // u32: the code page made before this one
const LINES: usize = 16; // u64: bit i = records were decoded from bytes 64 i .. 64 i + 63
const IDLE_STORES: usize = 24; // u32: stores to this page since it has no records
const MAP: usize = 32; // u32 x 4096
const CODE_PAGE_SIZE: usize = MAP + 0x4000;

/** A run is cut after so many instructions: what follows may never be reached. */
const RUN_LIMIT: u32 = 48;
/** A run that meets decoded code goes on decoding so far: a short copy is faster than a GOTO in a loop. */
const COPY_LIMIT: u32 = 24;
/** After so many stores a page without records is data again. */
const IDLE_LIMIT: u32 = 64;
/** Room for a code page and the longest run. */
const RESERVE: usize = CODE_PAGE_SIZE + (RUN_LIMIT + 2) * RECORD_SIZE;

let arenaNext: usize = CODE_ARENA;
let lastPage: usize = 0;

/** Grows when all records are dropped: a record address taken before is void. */
export let cacheGeneration: u32 = 0;

/** A store changed decoded code: the running record may be void, so the loop must look up anew. */
export let codeChanged: i32 = 0;
export function clearCodeChanged(): void {
  codeChanged = 0;
}

/** Which code pages fit the present mode. */
// @ts-ignore: decorator
@inline
export function modeKey(): u32 {
  return codeMode | (<u32>protectedMode << 2);
}

/** Drops every record. */
export function dropCode(): void {
  for (let page = lastPage; page; page = load<u32>(page, PREVIOUS)) {
    const host = load<u32>(page, HOST_PAGE);
    store<u32>(CODE_PAGES + (host << 2), 0);
    unmarkCode(host);
  }
  lastPage = 0;
  arenaNext = CODE_ARENA;
  cacheGeneration++;
  codeChanged = 1;
}

/** The code page of the byte at `host` in the present mode. */
export function codePageOf(host: usize): usize {
  const slot: usize = CODE_PAGES + ((host >> 12) << 2);
  const key = modeKey();
  for (let page: usize = load<u32>(slot); page; page = load<u32>(page, SIBLING)) if (load<u32>(page, MODE) == key) return page;
  if (arenaNext + RESERVE > <usize>CODE_CACHE_END) dropCode();
  const page = arenaNext;
  arenaNext += CODE_PAGE_SIZE;
  memory.fill(page, 0, CODE_PAGE_SIZE);
  store<u32>(page, <u32>(host >> 12), HOST_PAGE);
  store<u32>(page, key, MODE);
  store<u32>(page, load<u32>(slot), SIBLING);
  store<u32>(page, lastPage, PREVIOUS);
  store<u32>(slot, page);
  lastPage = page;
  return page;
}

/** The code page at the head of a host page when it has the present mode, else 0. The fast way of codePageOf. */
// @ts-ignore: decorator
@inline
export function headPage(host: u32): usize {
  const page: usize = load<u32>(CODE_PAGES + ((host >> 12) << 2));
  return page && load<u32>(page, MODE) == modeKey() ? page : 0;
}

/** The record at `offset`, 0 when it is not decoded. */
// @ts-ignore: decorator
@inline
export function recordIn(page: usize, offset: u32): usize {
  return load<u32>(page + (offset << 2), MAP);
}

/** The record at `offset` of a code page; decodes it. May drop all records: compare cacheGeneration. */
export function recordAt(page: usize, offset: u32): usize {
  const record = recordIn(page, offset);
  return record ? record : decodeRun(page, offset);
}

function markLines(page: usize, first: u32, end: u32): void {
  let lines = load<u64>(page, LINES);
  for (let line = first >> 6; line <= (end - 1) >> 6; line++) lines |= <u64>1 << line;
  store<u64>(page, lines, LINES);
}

function decodeRun(wanted: usize, start: u32): usize {
  let page = wanted;
  const host = load<u32>(page, HOST_PAGE);
  if (arenaNext + RESERVE > <usize>CODE_CACHE_END) {
    dropCode();
    page = codePageOf(<usize>host << 12);
  }
  if (!(load<u8>(pageFlags(<usize>host << 12)) & PAGE_CODE)) markCode(host);
  const bytes = <usize>host << 12;
  const first = arenaNext;
  let record = first;
  let offset = start;
  let ordinal: u32 = 0;
  for (;;) {
    const known: usize = offset < 0x1000 ? recordIn(page, offset) : 0;
    if (known && ordinal >= COPY_LIMIT) {
      closeRun(record, H_GOTO, offset, ordinal);
      linkRecord(record, known);
      break;
    }
    if (offset >= 0x1000 || ordinal == RUN_LIMIT) {
      closeRun(record, H_CONTINUE, offset, ordinal);
      break;
    }
    const rest: u32 = 0x1000 - offset;
    const length = decode(record, bytes + offset, rest < LONGEST ? rest : LONGEST, offset, codeMode);
    if (!length) closeRun(record, H_CROSSING, offset, ordinal);
    store<u16>(record, <u16>ordinal, R_ORDINAL);
    if (!known) store<u32>(page + (offset << 2), <u32>record, MAP);
    if (!length) {
      offset = 0x1000;
      break;
    }
    offset += length;
    ordinal++;
    record += RECORD_SIZE;
    if (endsRun) {
      record -= RECORD_SIZE;
      break;
    }
  }
  arenaNext = record + RECORD_SIZE;
  dropDeadFlags(first, record);
  fuseJumps(first, record);
  markLines(page, start, offset);
  store<u32>(page, 0, IDLE_STORES);
  return first;
}

/** Gives instructions whose flags are overwritten before anything can see them the handler that computes none. */
function dropDeadFlags(first: usize, last: usize): void {
  for (let record = first; record < last; record += RECORD_SIZE) {
    const handler: usize = load<u16>(record, R_HANDLER);
    const quiet = handler < SYSTEM_BASE ? load<u16>(QUIET + (handler << 1)) : 0;
    if (!quiet) continue;
    let next = record + RECORD_SIZE;
    let effect = flagEffect(next);
    while (effect == 2 && next < last) {
      next += RECORD_SIZE;
      effect = flagEffect(next);
    }
    if (effect == 1) store<u16>(record, quiet, R_HANDLER);
  }
}

/** Gives a compare the handler that carries out the conditional jump behind it too. */
function fuseJumps(first: usize, last: usize): void {
  for (let record = first; record < last; record += RECORD_SIZE) {
    const handler: usize = load<u16>(record, R_HANDLER);
    const row: usize = handler < SYSTEM_BASE ? load<u8>(FUSED_ROW + handler) : 0;
    if (!row) continue;
    // The plain and the linked form of each condition alternate from JO on; nothing is linked yet.
    const jump = <u32>load<u16>(record + RECORD_SIZE, R_HANDLER) - H_JO;
    if (jump >= 32) continue;
    const fused = load<u16>(FUSED + ((row - 1) * 16 + (jump >> 1)) * 2);
    if (fused) store<u16>(record, fused, R_HANDLER);
  }
}

/** FLAG_EFFECTS of a record; a shift by 0 leaves the flags alone. */
function flagEffect(record: usize): u32 {
  const handler = load<u16>(record, R_HANDLER);
  if (handler >= SYSTEM_BASE) return 0;
  const effect = load<u8>(FLAG_EFFECTS + <usize>handler);
  const opcode = load<u8>(record, R_OPCODE);
  const isShift = (load<u8>(record, R_CODE) & 3) == 0 && (opcode == 0xc0 || opcode == 0xc1);
  return isShift && !(load<u8>(record, R_IMM) & 31) ? 0 : effect;
}

function closeRun(record: usize, handler: u32, offset: u32, ordinal: u32): void {
  memory.fill(record, 0, RECORD_SIZE);
  store<u16>(record, <u16>handler, R_HANDLER);
  store<u16>(record, <u16>offset, R_OFFSET);
  store<u16>(record, <u16>ordinal, R_ORDINAL);
}

/** Makes `record`, which has no length (GOTO), lead to `target`. */
export function linkRecord(record: usize, target: usize): void {
  store<u32>(record, target, R_TARGET);
  store<i16>(record, <i16>(<i32>load<u16>(record, R_ORDINAL) - <i32>load<u16>(target, R_ORDINAL)), R_COST);
}

/** `size` bytes at `host`, in a page with PAGE_CODE, were changed. */
export function invalidateCode(host: usize, size: u32): void {
  const offset = <u32>host & 0xfff;
  const last = (offset + size - 1) >> 6;
  let touched: u64 = 0;
  for (let line = offset >> 6; line <= (last < 63 ? last : 63); line++) touched |= <u64>1 << line;
  const hostPage = <u32>(host >> 12);
  let empty = true;
  let idle: u32 = 0;
  for (let page: usize = load<u32>(CODE_PAGES + (hostPage << 2)); page; page = load<u32>(page, SIBLING)) {
    if (load<u64>(page, LINES) & touched) {
      store<u64>(page, 0, LINES);
      memory.fill(page + MAP, 0, 0x4000);
      codeChanged = 1;
    } else if (load<u64>(page, LINES)) empty = false;
    idle = load<u32>(page, IDLE_STORES) + 1;
    store<u32>(page, idle, IDLE_STORES);
  }
  if (empty && idle > IDLE_LIMIT) unmarkCode(hostPage);
}
