// The kernel's log out of guest memory: the lockless ring of 5.10 and later (linux kernel/printk/printk_ringbuffer.h), and the
// records of before (struct printk_log). Gives records; printk-text.ts makes lines of them.
import { FormatError } from '../errors.ts';
import type { GuestReader } from './guest-reader.ts';
import { attempt, type LinuxMemory } from './linux-memory.ts';

export interface PrintkRecord {
  readonly seq: bigint;
  readonly timestampNs: bigint;
  /** 0 emergency to 7 debug. */
  readonly level: number;
  /** Of syslog: 0 is the kernel. */
  readonly facility: number;
  /** `T12` a task, `C1` a CPU in an interrupt; undefined where the kernel does not note it. */
  readonly caller: string | undefined;
  /** Can have several lines; without the last line end. */
  readonly text: string;
}

/** CONFIG_LOG_BUF_SHIFT goes to 25, log_buf_len= to 2 GiB; more records than these are damage. */
const MAX_COUNT_BITS = 22;
const MAX_TEXT = 1 << 16;
/** Characters of all records together: hostile records can share one text. */
const MAX_TOTAL_TEXT = 128 << 20;
const TOO_MUCH_TEXT = 'the log has more text than any log';
/** Records that cannot be read, after which no more are tried: each costs as much as ten good ones. */
const MAX_DAMAGED = 512;
const PAGE = 4096n;

const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes).replace(/\n$/, '');

/** Bit 31: a CPU number, else a thread id. */
const callerName = (id: number): string => (id >>> 31 ? `C${id & 0x7fff_ffff}` : `T${id}`);

/** Level in the upper 3 bits of the byte behind the facility, flags in the lower 5. */
const levelOf = (flags: number): number => flags >>> 5;

/**
 * Records in the order in which they were written, oldest first; those that are being written, or are damaged, are left out.
 * @param onDamage is told the first reason why records are left out that should be there.
 * @throws FormatError or MemoryFault when there is no log that can be read.
 */
export function printkRecords(
  linux: LinuxMemory,
  onDamage: (reason: string) => void = () => undefined,
): PrintkRecord[] {
  let told = false;
  const tellOnce = (reason: string): void => {
    if (!told) onDamage(reason);
    told = true;
  };
  return linux.find('prb') !== undefined ? ringRecords(linux, tellOnce) : logRecords(linux, tellOnce);
}

interface Ring {
  readonly countBits: number;
  readonly descriptors: bigint;
  readonly descriptorSize: bigint;
  readonly infos: bigint;
  readonly infoSize: bigint;
  readonly head: bigint;
  readonly tail: bigint;
  readonly data: bigint;
  readonly sizeBits: number;
  /** Offsets in a descriptor. */
  readonly state: bigint;
  readonly begin: bigint;
  readonly next: bigint;
  /** Offsets in an info. */
  readonly seq: bigint;
  readonly timestamp: bigint;
  readonly textLength: bigint;
  readonly facility: bigint;
  readonly caller: bigint;
}

const ID_BITS = 62;
/** A state and two positions. */
const MIN_DESCRIPTOR = 24n;
const COMMITTED = 1n;
const FINALIZED = 2n;
const NO_DATA = 1n;

function openRing(linux: LinuxMemory): Ring {
  const ring = linux.reader.u64(linux.address('prb'));
  const descriptors = ring + linux.offset('printk_ringbuffer', 'desc_ring');
  const data = ring + linux.offset('printk_ringbuffer', 'text_data_ring');
  const block = linux.offset('prb_desc', 'text_blk_lpos');
  const textLength = linux.offset('printk_info', 'text_len');
  const opened: Ring = {
    countBits: linux.u32(descriptors, 'prb_desc_ring', 'count_bits'),
    descriptors: linux.u64(descriptors, 'prb_desc_ring', 'descs'),
    descriptorSize: BigInt(linux.size('prb_desc')),
    infos: linux.u64(descriptors, 'prb_desc_ring', 'infos'),
    infoSize: BigInt(linux.size('printk_info')),
    head: BigInt.asUintN(ID_BITS, linux.u64(descriptors, 'prb_desc_ring', 'head_id')),
    tail: BigInt.asUintN(ID_BITS, linux.u64(descriptors, 'prb_desc_ring', 'tail_id')),
    data: linux.u64(data, 'prb_data_ring', 'data'),
    sizeBits: linux.u32(data, 'prb_data_ring', 'size_bits'),
    state: linux.offset('prb_desc', 'state_var'),
    begin: block + linux.offset('prb_data_blk_lpos', 'begin'),
    next: block + linux.offset('prb_data_blk_lpos', 'next'),
    seq: linux.offset('printk_info', 'seq'),
    timestamp: linux.offset('printk_info', 'ts_nsec'),
    textLength,
    // VMCOREINFO has no line for it: it has followed the length since 5.10.
    facility: linux.has('printk_info', 'facility')
      ? linux.offset('printk_info', 'facility')
      : textLength + 2n,
    caller: linux.offset('printk_info', 'caller_id'),
  };
  if (opened.countBits > MAX_COUNT_BITS || opened.sizeBits > 31)
    throw new FormatError(`a log of 2^${opened.countBits} records and 2^${opened.sizeBits} bytes`);
  if (opened.descriptorSize < MIN_DESCRIPTOR)
    throw new FormatError(`log descriptors of ${opened.descriptorSize} bytes`);
  return opened;
}

/** From the newest back, so that damage without an end costs the oldest records. */
function ringRecords(linux: LinuxMemory, onDamage: (reason: string) => void): PrintkRecord[] {
  const ring = openRing(linux);
  const slots = 1n << BigInt(ring.countBits);
  const count = BigInt.asUintN(ID_BITS, ring.head - ring.tail) + 1n;
  if (count > slots) throw new FormatError(`a log of ${slots} slots from id ${ring.tail} to ${ring.head}`);
  const records: PrintkRecord[] = [];
  let damaged = 0;
  let room = MAX_TOTAL_TEXT;
  for (let back = 0n; back < count && damaged < MAX_DAMAGED && room > 0; back++) {
    const id = BigInt.asUintN(ID_BITS, ring.head - back);
    const slot = id & (slots - 1n);
    const state = attempt(() => linux.reader.u64(ring.descriptors + slot * ring.descriptorSize + ring.state));
    const record =
      state.value === undefined
        ? state
        : attempt(() => ringRecord(linux, ring, id, slot, state.value) ?? 'none');
    if (record.value === undefined) {
      damaged++;
      onDamage(record.missing);
    } else if (record.value !== 'none') {
      records.push(record.value);
      room -= record.value.text.length;
    }
    if (state.value === undefined) back += slotsBefore(ring, slot);
  }
  if (room <= 0) onDamage(TOO_MUCH_TEXT);
  return records.reverse();
}

/** Slots before this one whose state ends in the same page. */
function slotsBefore({ descriptors, descriptorSize, state }: Ring, slot: bigint): bigint {
  const inPage = ((descriptors + slot * descriptorSize + state + 7n) % PAGE) / descriptorSize;
  return inPage < slot ? inPage : slot;
}

function ringRecord(
  { reader }: LinuxMemory,
  ring: Ring,
  id: bigint,
  slot: bigint,
  state: bigint,
): PrintkRecord | undefined {
  const descriptor = ring.descriptors + slot * ring.descriptorSize;
  const kind = state >> BigInt(ID_BITS);
  if ((kind !== COMMITTED && kind !== FINALIZED) || BigInt.asUintN(ID_BITS, state) !== id) return undefined;
  const info = ring.infos + slot * ring.infoSize;
  const begin = reader.u64(descriptor + ring.begin);
  const next = reader.u64(descriptor + ring.next);
  const length = Number(reader.unsigned(info + ring.textLength, 2));
  return {
    seq: reader.u64(info + ring.seq),
    timestampNs: reader.u64(info + ring.timestamp),
    level: levelOf(reader.u8(info + ring.facility + 1n)),
    facility: reader.u8(info + ring.facility),
    caller: callerName(reader.u32(info + ring.caller)),
    text: decode(ringText(reader, ring, id, begin, next, length)),
  };
}

/** Text of a record, behind the u64 with its id. A block that would not fit starts again at the ring's begin. */
function ringText(
  reader: GuestReader,
  ring: Ring,
  id: bigint,
  begin: bigint,
  next: bigint,
  length: number,
): Uint8Array {
  // Both odd: a record without text.
  if ((begin & NO_DATA) !== 0n && (next & NO_DATA) !== 0n) return new Uint8Array(0);
  const [from, to] = [BigInt.asUintN(ring.sizeBits, begin), BigInt.asUintN(ring.sizeBits, next)];
  const size = 1n << BigInt(ring.sizeBits);
  // An end at the ring's end is 0.
  const end = to === 0n ? size : to;
  const start = from < end ? from : 0n;
  const room = Number(end - start) - 8;
  if (room < 0 || reader.u64(ring.data + start) !== id) throw new FormatError(`no text of log record ${id}`);
  return reader.bytes(ring.data + start + 8n, Math.min(length, room, MAX_TEXT));
}

/** struct printk_log before caller_id: 16 bytes. */
const LOG_HEADER = 16;
const MAX_LOG = 2 ** 31;

/** 3.5 to 5.9: records one behind the other, the first of them at log_first_idx. Nothing leads over a damaged one. */
function logRecords(linux: LinuxMemory, onDamage: (reason: string) => void): PrintkRecord[] {
  const { reader } = linux;
  const buffer = reader.u64(linux.address('log_buf'));
  const size = reader.u32(linux.address('log_buf_len'));
  const end = reader.u32(linux.address('log_next_idx'));
  const first = reader.u32(linux.address('log_first_idx'));
  const firstSeq = reader.u64(linux.address('log_first_seq'));
  if (size > MAX_LOG || first >= size || end > size)
    throw new FormatError(`a log of ${size} bytes from ${first} to ${end}`);
  // CONFIG_PRINTK_CALLER (5.1, 15ff2069cb7f) makes the header longer.
  const header = linux.layouts?.sizeOf('printk_log') ?? LOG_HEADER;
  const records: PrintkRecord[] = [];
  let at = first;
  let room = MAX_TOTAL_TEXT;
  for (let wrapped = at < end; at !== end; ) {
    const length = attempt(() => Number(reader.unsigned(buffer + BigInt(at) + 8n, 2)));
    if (length.value === 0) {
      // The rest of the buffer was too small for the next record.
      if (wrapped) break;
      wrapped = true;
      at = 0;
      continue;
    }
    const record =
      length.value === undefined
        ? length
        : attempt(() => {
            if (length.value < Math.max(header, LOG_HEADER) || at + length.value > size)
              throw new FormatError(`a log record of ${length.value} bytes`);
            return logRecord(reader, buffer + BigInt(at), firstSeq + BigInt(records.length), header);
          });
    if (record.value === undefined) {
      if (records.length === 0) throw new FormatError(record.missing);
      onDamage(record.missing);
      break;
    }
    records.push(record.value);
    room -= record.value.text.length;
    if (room <= 0 || records.length > 1 << MAX_COUNT_BITS) {
      onDamage(TOO_MUCH_TEXT);
      break;
    }
    at += length.value ?? 0;
  }
  return records;
}

function logRecord(reader: GuestReader, record: bigint, seq: bigint, header: number): PrintkRecord {
  const length = Number(reader.unsigned(record + 8n, 2));
  const textLength = Number(reader.unsigned(record + 10n, 2));
  return {
    seq,
    timestampNs: reader.u64(record),
    level: levelOf(reader.u8(record + 15n)),
    facility: reader.u8(record + 14n),
    caller: header >= LOG_HEADER + 4 ? callerName(reader.u32(record + 16n)) : undefined,
    text: decode(reader.bytes(record + BigInt(header), Math.min(textLength, length - header))),
  };
}
