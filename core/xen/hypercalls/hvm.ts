// HYPERVISOR_hvm_op: parameters, and the per-vCPU upcall vector.
// Source: xen/include/public/hvm/hvm_op.h, params.h
import { EINVAL, ENOENT, EPERM, ESRCH } from '../abi/errno.ts';
import * as H from '../abi/hvm-op.ts';
import { HVM_NR_PARAMS, HVM_PARAM_CALLBACK_IRQ, HVM_PARAM_CALLBACK_TYPE_VECTOR } from '../abi/hvm-params.ts';
import { DOMID_SELF } from '../abi/xen.ts';
import { type Call, type Operation, type Operations, type Result, runOperation, u32, word } from './call.ts';

const isSelf = (call: Call, domid: number): boolean =>
  domid === DOMID_SELF || domid === call.guest.options.domid;

function setParameter(call: Call, argument: DataView): Result {
  const { guest } = call;
  const index = argument.getUint32(H.xen_hvm_param.index, true);
  const value = argument.getBigUint64(H.xen_hvm_param.value, true);
  if (index >= HVM_NR_PARAMS) return -EINVAL;
  if (!isSelf(call, argument.getUint16(H.xen_hvm_param.domid, true))) return -ESRCH;
  if (index !== HVM_PARAM_CALLBACK_IRQ) return -EPERM;
  const isVector = Number(value >> 56n) === HVM_PARAM_CALLBACK_TYPE_VECTOR;
  const vector = Number(value & 0xffn);
  guest.shared.latchWidth(call.width);
  guest.upcalls.setCallbackVector(isVector && vector !== 0 ? vector : undefined);
  guest.parameters[index] = value;
  return 0;
}

function getParameter(call: Call, argument: DataView): Result {
  const index = argument.getUint32(H.xen_hvm_param.index, true);
  if (index >= HVM_NR_PARAMS) return -EINVAL;
  if (!isSelf(call, argument.getUint16(H.xen_hvm_param.domid, true))) return -ESRCH;
  argument.setBigUint64(H.xen_hvm_param.value, call.guest.parameters[index] ?? 0n, true);
  return 0;
}

function getMemType(call: Call, argument: DataView): Result {
  if (!isSelf(call, argument.getUint16(H.xen_hvm_get_mem_type.domid, true))) return -ESRCH;
  const gfn = argument.getBigUint64(H.xen_hvm_get_mem_type.pfn, true);
  const backed = call.guest.physmap.isGfn(gfn) && call.guest.machine.isBacked(Number(gfn));
  argument.setUint16(H.xen_hvm_get_mem_type.mem_type, backed ? H.HVMMEM_ram_rw : H.HVMMEM_mmio_dm, true);
  return 0;
}

function setUpcallVector({ guest }: Call, argument: DataView): Result {
  const vcpu = argument.getUint32(H.xen_hvm_evtchn_upcall_vector.vcpu, true);
  const vector = argument.getUint8(H.xen_hvm_evtchn_upcall_vector.vector);
  if (vector < 0x10) return -EINVAL;
  if (vcpu >= guest.machine.vcpuCount) return -ENOENT;
  guest.logLine(`d${guest.options.domid}v${vcpu}: upcall vector ${vector.toString(16).padStart(2, '0')}`);
  guest.upcalls.setVcpuVector(vcpu, vector);
  return 0;
}

const OPERATIONS: Operations = new Map<number, Operation>([
  [H.HVMOP_set_param, { bytes: H.xen_hvm_param.size, run: setParameter }],
  [H.HVMOP_get_param, { bytes: H.xen_hvm_param.size, writes: true, run: getParameter }],
  [
    H.HVMOP_get_time,
    {
      bytes: 8,
      writes: true,
      run: ({ guest }, argument) => {
        argument.setBigUint64(0, BigInt(Math.trunc(guest.now())), true);
        return 0;
      },
    },
  ],
  [H.HVMOP_get_mem_type, { bytes: H.xen_hvm_get_mem_type.size, writes: true, run: getMemType }],
  [H.HVMOP_set_evtchn_upcall_vector, { bytes: H.xen_hvm_evtchn_upcall_vector.size, run: setUpcallVector }],
]);

export const hvmOp = (call: Call): Result => runOperation(OPERATIONS, u32(call, 0), call, word(call, 1));
