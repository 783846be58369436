// What a Linux guest's memory tells: log (both forms), tasks, modules with their symbols, per-CPU areas, facts. One page holds all.
import { kernelFacts } from '../../../symbols/kernel/facts.ts';
import { attempt, LinuxMemory } from '../../../symbols/kernel/linux-memory.ts';
import { listModules } from '../../../symbols/kernel/modules.ts';
import { PerCpu } from '../../../symbols/kernel/per-cpu.ts';
import { printkRecords } from '../../../symbols/kernel/printk.ts';
import { printkLines } from '../../../symbols/kernel/printk-text.ts';
import { allTasks } from '../../../symbols/kernel/tasks.ts';
import { OrcRows } from '../../../symbols/unwind/orc.ts';
import { note } from '../../support/elf-writer.ts';
import { layoutsFrom, MODULE_MEMBERS, TASK_MEMBERS } from '../../support/guest-bytes.ts';
import { Image } from '../image.ts';
import type { FuzzTarget } from '../target.ts';

const PAGE = 4096;
const BASE = 0xffff_8880_0000_0000n;

const LAYOUTS = layoutsFrom(
  {
    ...TASK_MEMBERS,
    ...MODULE_MEMBERS,
    'task_struct.real_parent': [88, 8],
    'task_struct.thread.sp': [96, 8],
    'task_struct.thread_info.cpu': [104, 4],
    'rq.idle': [0, 8],
    'module.notes_attrs': [208, 8],
    'module.arch.orc_unwind_ip': [216, 8],
    'module.arch.orc_unwind': [224, 8],
    'module.arch.num_orcs': [232, 4],
    'module_notes_attrs.notes': [0, 4],
    'module_notes_attrs.attrs': [8, 16],
    'bin_attribute.size': [0, 8],
    'bin_attribute.private': [8, 8],
    'printk_ringbuffer.desc_ring': [0, 40],
    'printk_ringbuffer.text_data_ring': [40, 16],
    'prb_desc_ring.count_bits': [0, 4],
    'prb_desc_ring.descs': [8, 8],
    'prb_desc_ring.infos': [16, 8],
    'prb_desc_ring.head_id': [24, 8],
    'prb_desc_ring.tail_id': [32, 8],
    'prb_data_ring.size_bits': [0, 4],
    'prb_data_ring.data': [8, 8],
    'prb_desc.state_var': [0, 8],
    'prb_desc.text_blk_lpos': [8, 16],
    'prb_data_blk_lpos.begin': [0, 8],
    'prb_data_blk_lpos.next': [8, 8],
    'printk_info.seq': [0, 8],
    'printk_info.ts_nsec': [8, 8],
    'printk_info.text_len': [16, 2],
    'printk_info.facility': [18, 1],
    'printk_info.caller_id': [20, 4],
    'uts_namespace.name.release': [0, 65],
    'uts_namespace.name.nodename': [65, 65],
  },
  { module_memory: 16, bin_attribute: 16, prb_desc: 24, printk_info: 32 },
);

/** Where in the page each variable lies. */
const SYMBOLS: Readonly<Record<string, number>> = {
  prb: 0x00,
  nr_cpu_ids: 0x08,
  __cpu_possible_mask: 0x10,
  __cpu_online_mask: 0x18,
  __per_cpu_offset: 0x20,
  current_task: 0x30,
  runqueues: 0x98,
  modules: 0xb0,
  saved_command_line: 0xc0,
  tainted_mask: 0xc8,
  panic_cpu: 0xd0,
  oops_in_progress: 0xd4,
  init_task: 0x200,
  log_buf: 0xa00,
  log_buf_len: 0xa08,
  log_next_idx: 0xa0c,
  log_first_idx: 0xa10,
  log_first_seq: 0xa18,
  init_uts_ns: 0xb40,
  linux_banner: 0xbe0,
};
/** Here the page says whether it has the log of before 5.10. */
const OLD_LOG = PAGE - 1;

const TASKS = [0x200, 0x300, 0x400];
const TEXTS = ['Linux version 6.1.0', 'BUG: kernel NULL pointer', 'Kernel panic - not syncing: sysrq'];

/** A page to be filled: numbers, texts, pointers into itself. */
class Page {
  readonly bytes: Uint8Array = new Uint8Array(PAGE);
  readonly #view: DataView = new DataView(this.bytes.buffer);

  u32(at: number, value: number): this {
    this.#view.setUint32(at, value, true);
    return this;
  }
  u64(at: number, value: number | bigint): this {
    this.#view.setBigUint64(at, BigInt(value), true);
    return this;
  }
  pointer(at: number, target: number): this {
    return this.u64(at, BASE + BigInt(target));
  }
  text(at: number, text: string): this {
    this.bytes.set(new TextEncoder().encode(text), at);
    return this;
  }
}

function putVariables(page: Page): void {
  page.pointer(0x00, 0x40).u32(0x08, 2).u64(0x10, 3).u64(0x18, 3).u64(0x20, 0).u64(0x28, 8);
  page.pointer(0x30, 0x300).pointer(0x38, 0x400).pointer(0x98, 0x200).pointer(0xa0, 0x200);
  page.pointer(0xc0, 0xc20).u64(0xc8, 0x3001).u32(0xd0, 1).u32(0xd4, 1);
  page
    .text(0xb40, '6.1.0-56')
    .text(0xb40 + 65, 'guest')
    .text(0xbe0, 'Linux version 6.1.0\n');
  page.text(0xc20, 'console=hvc0 panic=1');
}

/** init_task, a process, and its second thread. */
function putTasks(page: Page): void {
  for (const [index, at] of TASKS.entries()) {
    page
      .u32(at + 4, index)
      .u32(at + 12, index)
      .u32(at + 16, Math.min(index, 1))
      .text(at + 72, `task${index}`);
    page.pointer(at + 56, 0x500 + Math.min(index, 1) * 0x20).u64(at + 64, 0xffffc90000000000n);
    page.pointer(at + 88, 0x200).u64(at + 96, 0xffffc90000003f00n);
  }
  page.pointer(0x200 + 24, 0x300 + 24).pointer(0x300 + 24, 0x200 + 24);
  page.pointer(0x508, 0x200 + 40).pointer(0x200 + 40, 0x508);
  page
    .pointer(0x528, 0x300 + 40)
    .pointer(0x300 + 40, 0x400 + 40)
    .pointer(0x400 + 40, 0x528);
}

function putModule(page: Page): void {
  const text = 0xffffffffc0000000n;
  page.pointer(0xb0, 0x608).pointer(0x608, 0xb0).text(0x618, 'xen_blkfront').u64(0x650, 0x3000);
  page.u64(0x658, text).u32(0x660, 0x1000);
  page.pointer(0x6c8, 0x700).pointer(0x6d0, 0x790).pointer(0x6d8, 0x7f0).pointer(0x6e0, 0x7f8).u32(0x6e8, 2);
  page.pointer(0x700, 0x720).u32(0x708, 3).pointer(0x710, 0x770).pointer(0x718, 0x780);
  for (const index of [1, 2])
    page
      .u32(0x720 + index * 24, index * 5 - 4)
      .u32(0x724 + index * 24, 0x10012)
      .u64(0x728 + index * 24, text);
  page.text(0x770, '\0init\0exit\0').text(0x780, '?tT');
  page.u32(0x790, 1).u64(0x798, 36).pointer(0x7a0, 0x7c0);
  page.bytes.set(note('GNU', 3, new Uint8Array(20).fill(0xab)), 0x7c0);
  page.u32(0x7f0, 0x1000).u32(0x7f4, 0x2000).u64(0x7f8, 0x0005_0000_0008n);
}

function putRing(page: Page): void {
  const [first, bits] = [100, 2];
  page
    .u32(0x40, bits)
    .pointer(0x48, 0x800)
    .pointer(0x50, 0x880)
    .u64(0x58, first + 2)
    .u64(0x60, first);
  page.u32(0x68, 8).pointer(0x70, 0x900);
  let place = 0;
  for (const [index, text] of TEXTS.entries()) {
    const [id, slot] = [first + index, (first + index) % (1 << bits)];
    const next = (place + 8 + text.length + 7) & ~7;
    page
      .u64(0x800 + slot * 24, (2n << 62n) | BigInt(id))
      .u64(0x808 + slot * 24, place)
      .u64(0x810 + slot * 24, next);
    page
      .u64(0x880 + slot * 32, id)
      .u64(0x888 + slot * 32, id * 1e6)
      .u32(0x890 + slot * 32, text.length | (6 << 29));
    page.u64(0x900 + place, id).text(0x908 + place, text);
    place = next;
  }
}

function putOldLog(page: Page): void {
  let at = 0;
  for (const text of TEXTS) {
    const length = (16 + text.length + 3) & ~3;
    page
      .u64(0xa40 + at, 1e6)
      .u32(0xa48 + at, length | (text.length << 16))
      .text(0xa50 + at, text);
    at += length;
  }
  page.pointer(0xa00, 0xa40).u32(0xa08, 0x100).u32(0xa0c, at);
}

function seed(oldLog: boolean): Uint8Array {
  const page = new Page();
  for (const put of [putVariables, putTasks, putModule, oldLog ? putOldLog : putRing]) put(page);
  page.bytes[OLD_LOG] = oldLog ? 1 : 0;
  return page.bytes;
}

/** The largest log that is believed: all its slots in use, all but a few outside memory. */
function endlessLog(): Uint8Array {
  const bytes = seed(false);
  const view = new DataView(bytes.buffer);
  view.setUint32(0x40, 22, true);
  view.setBigUint64(0x58, 99n + (1n << 22n), true);
  return bytes;
}

export const LINUX: FuzzTarget = {
  name: 'linux',
  // The endless one costs as much as a hundred others: it comes seldom.
  seeds: () => [...Array.from({ length: 16 }, (_, index) => seed(index % 2 === 1)), endlessLog()],
  run: (bytes) => {
    const page = new Uint8Array(PAGE);
    page.set(bytes.subarray(0, PAGE));
    const addressOf = (name: string): bigint | undefined => {
      const at = SYMBOLS[name];
      if (at === undefined || (name === 'prb' && page[OLD_LOG] === 1)) return undefined;
      return BASE + BigInt(at);
    };
    const linux = new LinuxMemory(new Image(BASE, page), addressOf, LAYOUTS);
    let read = 0;
    const records = attempt(() => printkRecords(linux));
    for (const record of records.value ?? [])
      read += printkLines(record, { time: true, caller: true }).length;
    const perCpu = attempt(() => new PerCpu(linux));
    const quiet = { damaged: () => undefined, unreadable: () => undefined };
    for (const _ of attempt(() => [...allTasks(linux, perCpu, quiet)]).value ?? []) read++;
    for (const module of attempt(() => listModules(linux, () => undefined)).value ?? []) {
      read += attempt(() => module.symbols().length).value ?? 0;
      if (attempt(() => module.buildId() ?? '').value) read++;
      const tables = attempt(() => module.orc() ?? 'none').value;
      if (tables && tables !== 'none' && attempt(() => new OrcRows(tables).find(BASE) ?? 'none').value)
        read++;
    }
    for (const fact of Object.values(kernelFacts(linux, records))) if (fact.value !== undefined) read++;
    return read;
  },
};
