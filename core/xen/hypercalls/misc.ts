// The hypercalls that are one operation each: console_io, vm_assist, set_timer_op.
// Source: xen/include/public/xen.h

import { EFAULT, EINVAL, ENOSYS } from '../abi/errno.ts';
import { CONSOLEIO_read, CONSOLEIO_write } from '../abi/io-console.ts';
import {
  VIRQ_TIMER,
  VMASST_CMD_disable,
  VMASST_CMD_enable,
  VMASST_TYPE_runstate_update_flag,
} from '../abi/xen.ts';
import { deadline } from '../timers.ts';
import { bytesOf, type Call, type Result, readGuest, u32, word } from './call.ts';

/** A guest that logs more in one hypercall loses the rest, so that it cannot hold us up. */
const CONSOLE_MAX = 16 * 1024;

/** Arguments: operation, count, pointer. */
export function consoleIo(call: Call): Result {
  const operation = u32(call, 0);
  if (operation === CONSOLEIO_read) return 0;
  if (operation !== CONSOLEIO_write) return -ENOSYS;
  const text = readGuest(call, word(call, 2), Math.min(u32(call, 1), CONSOLE_MAX));
  if (text === undefined) return -EFAULT;
  for (const byte of bytesOf(text)) call.guest.log.put(byte);
  return 0;
}

/** Runstate records are always whole when a guest can read them: the flag needs no keeping. */
export function vmAssist(call: Call): Result {
  const command = u32(call, 0);
  if (command !== VMASST_CMD_enable && command !== VMASST_CMD_disable) return -ENOSYS;
  return u32(call, 1) === VMASST_TYPE_runstate_update_flag ? 0 : -EINVAL;
}

/** Absolute ns of system time, 0 stops; a 32-bit caller passes two words. */
export function setTimerOp(call: Call): Result {
  const { guest, vcpu } = call;
  const at = deadline(call.width === 64 ? word(call, 0) : word(call, 0) | (word(call, 1) << 32n));
  const past = at !== undefined && at <= guest.now();
  guest.timers.setSingleShot(vcpu, past ? undefined : at);
  if (at !== 0 && past) guest.events.raiseVirq(VIRQ_TIMER, vcpu);
  return 0;
}
