// Event channels of one domain, 2-level ABI: what each port is bound to, and raising it. Returns Xen's errno, negated.
// Source: xen/include/public/event_channel.h
import { EEXIST, EINVAL, ENOENT, ENOSPC, ESRCH } from './abi/errno.ts';
import {
  EVTCHNSTAT_closed,
  EVTCHNSTAT_interdomain,
  EVTCHNSTAT_ipi,
  EVTCHNSTAT_unbound,
  EVTCHNSTAT_virq,
} from './abi/event-channel.ts';
import { DOMID_SELF, NR_VIRQS, VIRQ_DEBUG, VIRQ_TIMER, VIRQ_XENOPROF, VIRQ_XENPMU } from './abi/xen.ts';
import type { SharedInfo } from './shared-info.ts';
import type { Upcalls } from './upcalls.ts';

/** libxl's default of max_event_channels: the highest port. */
const MAX_PORT = 1023;
const PER_VCPU_VIRQS: ReadonlySet<number> = new Set([VIRQ_TIMER, VIRQ_DEBUG, VIRQ_XENOPROF, VIRQ_XENPMU]);

/** Who of ours stands at the other end of a port. */
export type Backend = 'xenstore' | 'console';

export type Port =
  | { readonly kind: 'unbound'; readonly vcpu: number; readonly remoteDomid: number }
  | { readonly kind: 'interdomain'; readonly vcpu: number; readonly backend: Backend }
  /** Both ends are the guest's own. */
  | { readonly kind: 'loopback'; readonly vcpu: number; readonly remotePort: number }
  | { readonly kind: 'virq'; readonly vcpu: number; readonly virq: number }
  | { readonly kind: 'ipi'; readonly vcpu: number };

export interface EventChannelState {
  readonly ports: readonly (readonly [number, Port])[];
}

/** What EVTCHNOP_status tells. `detail` is the remote domain or the virq, `port` the remote port. */
export interface PortStatus {
  readonly status: number;
  readonly vcpu: number;
  readonly detail: number;
  readonly port: number;
}

export class EventChannels {
  readonly #shared: SharedInfo;
  readonly #upcalls: Upcalls;
  readonly #domid: number;
  readonly #vcpus: number;
  /** Told of a send to a backend, and of every port that becomes pending. Wiring, not state. */
  readonly #kick: (backend: Backend) => void;
  readonly #raised: (vcpu: number, port: number) => void;
  #ports = new Map<number, Port>();
  /** virq * 32 + vcpu -> port. */
  #virqs = new Map<number, number>();

  constructor(
    shared: SharedInfo,
    upcalls: Upcalls,
    options: { readonly domid: number; readonly vcpus: number },
    kick: (backend: Backend) => void,
    raised: (vcpu: number, port: number) => void,
  ) {
    this.#shared = shared;
    this.#upcalls = upcalls;
    this.#domid = options.domid;
    this.#vcpus = options.vcpus;
    this.#kick = kick;
    this.#raised = raised;
  }

  #maxPort(): number {
    return Math.min(MAX_PORT, this.#shared.layout.ports - 1);
  }

  #isSelf(domid: number): boolean {
    return domid === DOMID_SELF || domid === this.#domid;
  }

  /** A new port bound to `port`, the lowest free number; or -ENOSPC. */
  #allocate(port: Port): number {
    for (let n = 1; n <= this.#maxPort(); n++)
      if (!this.#ports.has(n)) {
        this.#ports.set(n, port);
        return n;
      }
    return -ENOSPC;
  }

  /** Binds a port to a backend of ours, as the toolstack does before the guest runs. */
  attach(backend: Backend): number {
    return this.#allocate({ kind: 'interdomain', vcpu: 0, backend });
  }

  /** Port number, or a negated errno; so do the other bind functions. */
  bindVirq(virq: number, vcpu: number): number {
    if (virq >= NR_VIRQS) return -EINVAL;
    if (!PER_VCPU_VIRQS.has(virq) && vcpu !== 0) return -EINVAL;
    if (vcpu >= this.#vcpus) return -ENOENT;
    if (this.#virqs.has(virq * 32 + vcpu)) return -EEXIST;
    const port = this.#allocate({ kind: 'virq', vcpu, virq });
    if (port > 0) this.#virqs.set(virq * 32 + vcpu, port);
    return port;
  }

  bindIpi(vcpu: number): number {
    return vcpu >= this.#vcpus ? -ENOENT : this.#allocate({ kind: 'ipi', vcpu });
  }

  allocateUnbound(domid: number, remoteDomid: number): number {
    if (!this.#isSelf(domid)) return -ESRCH;
    const remote = remoteDomid === DOMID_SELF ? this.#domid : remoteDomid;
    return this.#allocate({ kind: 'unbound', vcpu: 0, remoteDomid: remote });
  }

  /** Only with another port of the guest itself: no other domain offers it one. */
  bindInterdomain(remoteDomid: number, remotePort: number): number {
    if (!this.#isSelf(remoteDomid)) return -ESRCH;
    const remote = this.#ports.get(remotePort);
    if (remote?.kind !== 'unbound' || remote.remoteDomid !== this.#domid) return -EINVAL;
    const local = this.#allocate({ kind: 'loopback', vcpu: 0, remotePort });
    if (local < 0) return local;
    this.#ports.set(remotePort, { kind: 'loopback', vcpu: remote.vcpu, remotePort: local });
    // As after a lost event of the time before the binding.
    this.raise(local);
    return local;
  }

  close(port: number): number {
    const bound = this.#ports.get(port);
    if (bound === undefined) return -EINVAL;
    if (bound.kind === 'virq') this.#virqs.delete(bound.virq * 32 + bound.vcpu);
    if (bound.kind === 'loopback') {
      const other = this.#ports.get(bound.remotePort);
      if (other !== undefined && bound.remotePort !== port)
        this.#ports.set(bound.remotePort, {
          kind: 'unbound',
          vcpu: other.vcpu,
          remoteDomid: this.#domid,
        });
    }
    this.#ports.delete(port);
    this.#shared.setPending(port, false);
    return 0;
  }

  /** EVTCHNOP_send. */
  send(port: number): number {
    const bound = this.#ports.get(port);
    switch (bound?.kind) {
      case 'interdomain':
        this.#kick(bound.backend);
        return 0;
      case 'loopback':
        this.raise(bound.remotePort);
        return 0;
      case 'ipi':
        this.raise(port);
        return 0;
      case 'unbound':
        return 0;
      default:
        return -EINVAL;
    }
  }

  status(domid: number, port: number): PortStatus | number {
    if (!this.#isSelf(domid)) return -ESRCH;
    if (port > this.#maxPort()) return -EINVAL;
    const bound = this.#ports.get(port);
    if (bound === undefined) return { status: EVTCHNSTAT_closed, vcpu: 0, detail: 0, port: 0 };
    const { vcpu } = bound;
    switch (bound.kind) {
      case 'unbound':
        return { status: EVTCHNSTAT_unbound, vcpu, detail: bound.remoteDomid, port: 0 };
      case 'interdomain':
        return { status: EVTCHNSTAT_interdomain, vcpu, detail: 0, port };
      case 'loopback':
        return { status: EVTCHNSTAT_interdomain, vcpu, detail: this.#domid, port: bound.remotePort };
      case 'virq':
        return { status: EVTCHNSTAT_virq, vcpu, detail: bound.virq, port: 0 };
      case 'ipi':
        return { status: EVTCHNSTAT_ipi, vcpu, detail: 0, port: 0 };
    }
  }

  bindVcpu(port: number, vcpu: number): number {
    if (vcpu >= this.#vcpus) return -ENOENT;
    const bound = this.#ports.get(port);
    if (bound === undefined || bound.kind === 'ipi') return -EINVAL;
    if (bound.kind === 'virq' && PER_VCPU_VIRQS.has(bound.virq)) return -EINVAL;
    this.#ports.set(port, { ...bound, vcpu });
    return 0;
  }

  unmask(port: number): number {
    const bound = this.#ports.get(port);
    if (bound === undefined) return port >= 1 && port <= this.#maxPort() ? 0 : -EINVAL;
    if (!this.#shared.isMasked(port)) return 0;
    this.#shared.setMasked(port, false);
    if (this.#shared.isPending(port)) this.#select(bound.vcpu, port);
    return 0;
  }

  reset(domid: number): number {
    if (!this.#isSelf(domid)) return -ESRCH;
    for (const port of [...this.#ports.keys()]) this.close(port);
    return 0;
  }

  /** Makes the port pending for its vCPU. Nothing happens on a closed port. */
  raise(port: number): void {
    const bound = this.#ports.get(port);
    if (bound === undefined || this.#shared.isPending(port)) return;
    this.#shared.setPending(port, true);
    if (!this.#shared.isMasked(port)) this.#select(bound.vcpu, port);
    // A masked port wakes those who poll it.
    this.#raised(bound.vcpu, port);
  }

  #select(vcpu: number, port: number): void {
    const word = Math.floor(port / (8 * this.#shared.layout.word));
    if (!this.#shared.testAndSetSelector(vcpu, word)) this.#upcalls.markPending(vcpu);
  }

  /** Raises the port that the vCPU bound to a virq, if it did. */
  raiseVirq(virq: number, vcpu: number): void {
    const port = this.#virqs.get(virq * 32 + vcpu);
    if (port !== undefined) this.raise(port);
  }

  /** Raises the guest's end of a backend's channel. */
  notify(backend: Backend): void {
    for (const [port, bound] of this.#ports)
      if (bound.kind === 'interdomain' && bound.backend === backend) {
        this.raise(port);
        return;
      }
  }

  /** True when every one is a port that the guest may poll. */
  areValid(ports: readonly number[]): boolean {
    return ports.every((port) => port >= 1 && port <= this.#maxPort());
  }

  snapshot(): EventChannelState {
    return { ports: [...this.#ports] };
  }

  restore(state: EventChannelState): void {
    this.#ports = new Map(state.ports);
    this.#virqs = new Map();
    for (const [port, bound] of state.ports)
      if (bound.kind === 'virq') this.#virqs.set(bound.virq * 32 + bound.vcpu, port);
  }
}
