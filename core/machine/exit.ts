// Why Machine.run came back. Physical addresses that nothing backs are no exit: they read all ones, and writes vanish.

export type Exit =
  /** The instruction budget is used up. */
  | { readonly kind: 'budget' }
  /** HLT with interrupts on, wait for SIPI, or offline: nothing to do until an event. */
  | { readonly kind: 'halt' }
  /** HLT with interrupts off: only NMI, INIT or the host can go on. */
  | { readonly kind: 'halt-forever' }
  /** VMCALL or VMMCALL; rip is already past it, the result goes to rax. */
  | { readonly kind: 'hypercall' }
  /** RDMSR of an index that the CPU does not know. Answer with answerMsr or injectFault. */
  | { readonly kind: 'msr-read'; readonly index: number }
  /** WRMSR of an index that the CPU does not know. Accept with answerMsr(vcpu, 0n), or injectFault. */
  | { readonly kind: 'msr-write'; readonly index: number; readonly value: bigint }
  /** IN or INS; the register or memory is filled by answerPort. Size 1, 2 or 4. */
  | { readonly kind: 'port-in'; readonly port: number; readonly size: number }
  | { readonly kind: 'port-out'; readonly port: number; readonly size: number; readonly value: number }
  /** Triple fault. */
  | { readonly kind: 'shutdown' };
