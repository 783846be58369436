// The hypercall table, and calling through it: directly, or many at once by multicall.
// Source: xen/include/public/xen.h
import { EFAULT, EINVAL, ENOSYS } from '../abi/errno.ts';
import {
  __HYPERVISOR_console_io,
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_grant_table_op,
  __HYPERVISOR_hvm_op,
  __HYPERVISOR_memory_op,
  __HYPERVISOR_multicall,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_set_timer_op,
  __HYPERVISOR_vcpu_op,
  __HYPERVISOR_vm_assist,
  __HYPERVISOR_xen_version,
  MULTICALL_ENTRY_WORDS,
} from '../abi/xen.ts';
import { CONTINUE, type Effect } from '../effect.ts';
import { type Call, getWord, type Result, readGuest, u32, word, writeGuest } from './call.ts';
import { eventChannelOp } from './event-channel.ts';
import { grantTableOp } from './grant-table.ts';
import { hvmOp } from './hvm.ts';
import { memoryOp } from './memory.ts';
import { consoleIo, setTimerOp, vmAssist } from './misc.ts';
import { schedOp } from './sched.ts';
import { vcpuOp } from './vcpu.ts';
import { xenVersion } from './version.ts';

const HYPERCALLS: ReadonlyMap<number, (call: Call) => Result> = new Map([
  [__HYPERVISOR_memory_op, memoryOp],
  [__HYPERVISOR_set_timer_op, setTimerOp],
  [__HYPERVISOR_xen_version, xenVersion],
  [__HYPERVISOR_console_io, consoleIo],
  [__HYPERVISOR_grant_table_op, grantTableOp],
  [__HYPERVISOR_vm_assist, vmAssist],
  [__HYPERVISOR_vcpu_op, vcpuOp],
  [__HYPERVISOR_sched_op, schedOp],
  [__HYPERVISOR_event_channel_op, eventChannelOp],
  [__HYPERVISOR_hvm_op, hvmOp],
]);

/** What a hypercall came to. */
export interface Outcome {
  readonly value: bigint;
  readonly effect: Effect;
  /** The call is not finished: execute it again with these first two arguments. */
  readonly again?: readonly [bigint, bigint];
}

/** Calls of one multicall that run before the guest gets a chance of an interrupt. */
const MULTICALL_BATCH = 64;

const settle = (result: Result): Outcome =>
  typeof result === 'object'
    ? { value: BigInt(result.value), effect: result.effect }
    : { value: BigInt(result), effect: CONTINUE };

function single(number: number, call: Call): Outcome {
  return settle(HYPERCALLS.get(number)?.(call) ?? -ENOSYS);
}

/** Runs hypercall `number`. */
export function runHypercall(number: number, call: Call): Outcome {
  return number === __HYPERVISOR_multicall ? multicall(call) : single(number, call);
}

/** Arguments: entries, their count. An entry's result is written into it. */
function multicall(call: Call): Outcome {
  const bytes = call.width / 8;
  const entryBytes = MULTICALL_ENTRY_WORDS * bytes;
  const list = word(call, 0);
  const count = u32(call, 1);
  for (let i = 0; i < Math.min(count, MULTICALL_BATCH); i++) {
    const at = list + BigInt(i * entryBytes);
    const entry = readGuest(call, at, entryBytes);
    if (entry === undefined) return settle(-EFAULT);
    const number = Number(getWord(call, entry, 0) & 0xffff_ffffn);
    const args = Array.from({ length: 6 }, (_, n) => getWord(call, entry, (2 + n) * bytes));
    const outcome: Outcome =
      number === __HYPERVISOR_multicall ? settle(-EINVAL) : single(number, { ...call, args });
    const result = new DataView(new ArrayBuffer(8));
    result.setBigInt64(0, outcome.value, true);
    if (!writeGuest(call, at + BigInt(bytes), new Uint8Array(result.buffer, 0, bytes)))
      return settle(-EFAULT);
    if (outcome.effect.kind === 'shutdown') return outcome;
  }
  if (count <= MULTICALL_BATCH) return settle(0);
  const again: [bigint, bigint] = [
    list + BigInt(MULTICALL_BATCH * entryBytes),
    BigInt(count - MULTICALL_BATCH),
  ];
  return { value: 0n, effect: CONTINUE, again };
}
