// HYPERVISOR_sched_op: giving up the CPU, and giving up altogether.
// Source: xen/include/public/sched.h
import { EFAULT, EINVAL, ENOSPC } from '../abi/errno.ts';
import * as S from '../abi/sched.ts';
import { BLOCK, YIELD } from '../effect.ts';
import { reasonOf } from '../guest.ts';
import { deadline } from '../timers.ts';
import {
  type Call,
  getWord,
  type Operation,
  type Operations,
  type Result,
  readGuest,
  runOperation,
  u32,
  word,
} from './call.ts';

const IF = 1n << 9n;
const NS_PER_SECOND = 1e9;

function giveWay(call: Call): Result {
  // A guest that finds its console ring full yields until there is room.
  call.guest.kick('console');
  call.guest.kick('xenstore');
  return { value: 0, effect: YIELD };
}

function block(call: Call): Result {
  const { guest, vcpu } = call;
  if (guest.shared.isUpcallPending(vcpu)) return 0;
  const { machine, waits } = guest;
  // With interrupts on it is a HLT. Without, only an event of Xen's or a new LAPIC request ends it.
  if ((machine.registers(vcpu).rflags & IF) !== 0n) machine.setState(vcpu, 'halted');
  else waits.start(vcpu, [], undefined, machine.interruptRequests(vcpu));
  return { value: 0, effect: BLOCK };
}

function shutdown(call: Call, argument: DataView): Result {
  const code = argument.getUint32(0, true) & 0xff;
  const reason = call.guest.shutDown(reasonOf(code));
  // What a capture of a crashed guest on Xen shows in rax.
  return { value: 0, effect: { kind: 'shutdown', reason } };
}

function poll(call: Call, argument: DataView): Result {
  const { guest, vcpu } = call;
  const layout = S.sched_poll[call.width];
  const count = argument.getUint32(layout.nr_ports, true);
  if (count > S.SCHEDOP_POLL_MAX_PORTS) return -EINVAL;
  const list = readGuest(call, getWord(call, argument, layout.ports), 4 * count);
  if (list === undefined) return -EFAULT;
  const ports = Array.from({ length: count }, (_, i) => list.getUint32(4 * i, true));
  if (!guest.events.areValid(ports)) return -EINVAL;
  const timeout = argument.getBigUint64(layout.timeout, true);
  const until = timeout === 0n ? undefined : deadline(timeout);
  const due = until !== undefined && until <= guest.now();
  if (due || ports.some((port) => guest.shared.isPending(port))) return { value: 0, effect: YIELD };
  guest.waits.start(vcpu, ports, until, guest.machine.interruptRequests(vcpu));
  return { value: 0, effect: BLOCK };
}

function watchdog(call: Call, argument: DataView): Result {
  const { timers } = call.guest;
  const id = argument.getUint32(S.sched_watchdog.id, true);
  const seconds = argument.getUint32(S.sched_watchdog.timeout, true);
  const at = call.guest.now() + seconds * NS_PER_SECOND;
  if (id > S.NR_DOMAIN_WATCHDOG_TIMERS) return -EINVAL;
  if (id === 0) return seconds === 0 ? -EINVAL : (timers.startWatchdog(at) ?? -ENOSPC);
  return timers.setWatchdog(id, seconds === 0 ? undefined : at) ? 0 : -EINVAL;
}

const OPERATIONS: Operations = new Map<number, Operation>([
  [S.SCHEDOP_yield, { run: giveWay }],
  [S.SCHEDOP_block, { run: block }],
  [S.SCHEDOP_shutdown, { bytes: 4, run: shutdown }],
  [S.SCHEDOP_poll, { bytes: { 64: S.sched_poll[64].size, 32: S.sched_poll[32].size }, run: poll }],
  [S.SCHEDOP_watchdog, { bytes: S.sched_watchdog.size, run: watchdog }],
]);

export const schedOp = (call: Call): Result => runOperation(OPERATIONS, u32(call, 0), call, word(call, 1));
