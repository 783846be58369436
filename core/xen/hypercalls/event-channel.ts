// HYPERVISOR_event_channel_op: arguments in and out; core/xen/event-channels.ts does the work.
// Source: xen/include/public/event_channel.h
import { EINVAL } from '../abi/errno.ts';
import * as E from '../abi/event-channel.ts';
import { type Call, type Operation, type Operations, type Result, runOperation, u32, word } from './call.ts';

/** Stores the port that a bind made, or passes its errno on. */
function bound(argument: DataView, offset: number, port: number): number {
  if (port < 0) return port;
  argument.setUint32(offset, port, true);
  return 0;
}

const onPort = (run: (call: Call, port: number) => Result): Operation => ({
  bytes: E.evtchn_port_only.size,
  run: (call, argument) => run(call, argument.getUint32(0, true)),
});

const status: Operation = {
  bytes: E.evtchn_status.size,
  writes: true,
  run: ({ guest }, argument) => {
    const layout = E.evtchn_status;
    const told = guest.events.status(
      argument.getUint16(layout.dom, true),
      argument.getUint32(layout.port, true),
    );
    if (typeof told === 'number') return told;
    argument.setUint32(layout.status, told.status, true);
    argument.setUint32(layout.vcpu, told.vcpu, true);
    argument.setUint32(layout.u, told.detail, true);
    if (told.status === E.EVTCHNSTAT_interdomain) argument.setUint32(layout.u + 4, told.port, true);
    return 0;
  },
};

const OPERATIONS: Operations = new Map<number, Operation>([
  [
    E.EVTCHNOP_bind_interdomain,
    {
      bytes: E.evtchn_bind_interdomain.size,
      writes: true,
      run: ({ guest }, argument) => {
        const { remote_dom, remote_port, local_port } = E.evtchn_bind_interdomain;
        const port = guest.events.bindInterdomain(
          argument.getUint16(remote_dom, true),
          argument.getUint32(remote_port, true),
        );
        return bound(argument, local_port, port);
      },
    },
  ],
  [
    E.EVTCHNOP_bind_virq,
    {
      bytes: E.evtchn_bind_virq.size,
      writes: true,
      run: ({ guest }, argument) => {
        const { virq, vcpu, port } = E.evtchn_bind_virq;
        return bound(
          argument,
          port,
          guest.events.bindVirq(argument.getUint32(virq, true), argument.getUint32(vcpu, true)),
        );
      },
    },
  ],
  // XENFEAT_hvm_pirqs is not offered.
  [E.EVTCHNOP_bind_pirq, { run: () => -EINVAL }],
  [E.EVTCHNOP_close, onPort(({ guest }, port) => guest.events.close(port))],
  [E.EVTCHNOP_send, onPort(({ guest }, port) => guest.events.send(port))],
  [E.EVTCHNOP_status, status],
  [
    E.EVTCHNOP_alloc_unbound,
    {
      bytes: E.evtchn_alloc_unbound.size,
      writes: true,
      run: ({ guest }, argument) => {
        const { dom, remote_dom, port } = E.evtchn_alloc_unbound;
        return bound(
          argument,
          port,
          guest.events.allocateUnbound(argument.getUint16(dom, true), argument.getUint16(remote_dom, true)),
        );
      },
    },
  ],
  [
    E.EVTCHNOP_bind_ipi,
    {
      bytes: E.evtchn_bind_ipi.size,
      writes: true,
      run: ({ guest }, argument) =>
        bound(
          argument,
          E.evtchn_bind_ipi.port,
          guest.events.bindIpi(argument.getUint32(E.evtchn_bind_ipi.vcpu, true)),
        ),
    },
  ],
  [
    E.EVTCHNOP_bind_vcpu,
    {
      bytes: E.evtchn_bind_vcpu.size,
      run: ({ guest }, argument) =>
        guest.events.bindVcpu(
          argument.getUint32(E.evtchn_bind_vcpu.port, true),
          argument.getUint32(E.evtchn_bind_vcpu.vcpu, true),
        ),
    },
  ],
  [E.EVTCHNOP_unmask, onPort(({ guest }, port) => guest.events.unmask(port))],
  [
    E.EVTCHNOP_reset,
    {
      bytes: E.evtchn_reset.size,
      run: ({ guest }, argument) => guest.events.reset(argument.getUint16(0, true)),
    },
  ],
]);

/** The FIFO operations are not offered: -ENOSYS tells Linux to use the 2-level ABI. */
export const eventChannelOp = (call: Call): Result =>
  runOperation(OPERATIONS, u32(call, 0), call, word(call, 1));
