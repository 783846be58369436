// HYPERVISOR_vcpu_op: per-vCPU areas, timers, and starting and stopping a vCPU. Arguments: operation, vCPU, pointer.
// Source: xen/include/public/vcpu.h, hvm/hvm_vcpu.h
import { EEXIST, EFAULT, EINVAL, ENOENT, ETIME } from '../abi/errno.ts';
import * as V from '../abi/vcpu.ts';
import { VCPU_INFO_SIZE, VIRQ_TIMER } from '../abi/xen.ts';
import { BLOCK } from '../effect.ts';
import { timeInfo } from '../shared-info.ts';
import { deadline } from '../timers.ts';
import {
  type Call,
  getWord,
  type Operation,
  type Operations,
  type Result,
  runOperation,
  u32,
  word,
  writeGuest,
} from './call.ts';
import { contextRegisters, VCPU_HVM_CONTEXT_SIZE } from './vcpu-context.ts';

const target = (call: Call): number => u32(call, 1);

function registerVcpuInfo(call: Call, argument: DataView): Result {
  const { guest } = call;
  const vcpu = target(call);
  const gfn = argument.getBigUint64(V.vcpu_register_vcpu_info.mfn, true);
  const offset = argument.getUint32(V.vcpu_register_vcpu_info.offset, true);
  if (offset > 4096 - VCPU_INFO_SIZE || guest.shared.isMoved(vcpu)) return -EINVAL;
  if (!guest.physmap.isGfn(gfn) || !guest.machine.isBacked(Number(gfn))) return -EINVAL;
  guest.shared.moveVcpuInfo(vcpu, Number(gfn) * 4096 + offset);
  guest.upcalls.placesChanged();
  // The guest may have missed events of the old place: let it look at all of them.
  guest.shared.selectAll(vcpu);
  guest.upcalls.markPending(vcpu);
  return 0;
}

function setSingleShot(call: Call, argument: DataView): Result {
  const { guest } = call;
  const layout = V.vcpu_set_singleshot_timer[call.width];
  if (target(call) !== call.vcpu) return -EINVAL;
  const at = deadline(argument.getBigUint64(layout.timeout_abs_ns, true));
  const past = at !== undefined && at <= guest.now();
  if (past && (argument.getUint32(layout.flags, true) & V.VCPU_SSHOTTMR_future) !== 0) return -ETIME;
  guest.timers.setSingleShot(call.vcpu, past ? undefined : at);
  if (past) guest.events.raiseVirq(VIRQ_TIMER, call.vcpu);
  return 0;
}

function registerRunstateArea(call: Call, argument: DataView): Result {
  const { guest, width } = call;
  const address = getWord(call, argument, 0);
  return guest.runstates.register(target(call), address, width, guest.now()) ? 0 : -EFAULT;
}

function registerTimeArea(call: Call, argument: DataView): Result {
  const address = getWord(call, argument, 0);
  if (address === 0n) return 0;
  return writeGuest(call, address, timeInfo()) ? 0 : -EFAULT;
}

function setPeriodic(call: Call, argument: DataView): Result {
  const period = Number(argument.getBigUint64(0, true));
  if (period < V.PERIODIC_TIMER_MIN_NS || period > 2 ** 53) return -EINVAL;
  call.guest.timers.setPeriodic(target(call), period, call.guest.now());
  return 0;
}

const isUp = (call: Call, vcpu: number): boolean => {
  const state = call.guest.machine.state(vcpu);
  return state === 'running' || state === 'halted';
};

function initialise(call: Call, argument: DataView): Result {
  const { guest } = call;
  const vcpu = target(call);
  if (guest.initialised[vcpu] || isUp(call, vcpu)) return -EEXIST;
  const registers = contextRegisters(argument);
  if (registers === undefined) return -EINVAL;
  guest.machine.resetVcpu(vcpu);
  guest.machine.setRegisters(vcpu, registers);
  guest.machine.setState(vcpu, 'offline');
  guest.initialised[vcpu] = true;
  return 0;
}

function up(call: Call): Result {
  const { guest } = call;
  const vcpu = target(call);
  if (!guest.initialised[vcpu]) return -EINVAL;
  if (!isUp(call, vcpu)) guest.machine.setState(vcpu, 'running');
  return 0;
}

function down(call: Call): Result {
  const { guest } = call;
  const vcpu = target(call);
  if (isUp(call, vcpu)) guest.machine.setState(vcpu, 'offline');
  const effect = guest.afterVcpuDown();
  if (effect !== undefined) return { value: 0, effect };
  return vcpu === call.vcpu ? { value: 0, effect: BLOCK } : 0;
}

const OPERATIONS: Operations = new Map<number, Operation>([
  [V.VCPUOP_initialise, { bytes: VCPU_HVM_CONTEXT_SIZE, run: initialise }],
  [V.VCPUOP_up, { run: up }],
  [V.VCPUOP_down, { run: down }],
  [V.VCPUOP_is_up, { run: (call) => (isUp(call, target(call)) ? 1 : 0) }],
  [
    V.VCPUOP_get_runstate_info,
    {
      run: (call) => {
        const record = call.guest.runstates.record(target(call), call.width, call.guest.now());
        return writeGuest(call, word(call, 2), record) ? 0 : -EFAULT;
      },
    },
  ],
  [V.VCPUOP_register_runstate_memory_area, { bytes: { 64: 8, 32: 4 }, run: registerRunstateArea }],
  [V.VCPUOP_set_periodic_timer, { bytes: 8, run: setPeriodic }],
  [
    V.VCPUOP_stop_periodic_timer,
    {
      run: (call) => {
        call.guest.timers.setPeriodic(target(call), undefined, 0);
        return 0;
      },
    },
  ],
  [
    V.VCPUOP_set_singleshot_timer,
    {
      bytes: { 64: V.vcpu_set_singleshot_timer[64].size, 32: V.vcpu_set_singleshot_timer[32].size },
      run: setSingleShot,
    },
  ],
  [
    V.VCPUOP_stop_singleshot_timer,
    {
      run: (call) => {
        if (target(call) !== call.vcpu) return -EINVAL;
        call.guest.timers.setSingleShot(call.vcpu, undefined);
        return 0;
      },
    },
  ],
  [V.VCPUOP_register_vcpu_info, { bytes: V.vcpu_register_vcpu_info.size, run: registerVcpuInfo }],
  [
    V.VCPUOP_send_nmi,
    {
      run: (call) => {
        call.guest.machine.raiseNmi(target(call));
        return 0;
      },
    },
  ],
  [V.VCPUOP_register_vcpu_time_memory_area, { bytes: { 64: 8, 32: 4 }, run: registerTimeArea }],
]);

export const vcpuOp = (call: Call): Result =>
  target(call) < call.guest.machine.vcpuCount
    ? runOperation(OPERATIONS, u32(call, 0), call, word(call, 2))
    : -ENOENT;
