// The state of a vCPU after power-up and after INIT (SDM vol 3A, table 9-1). Works on any vCPU block, also of one not current.
import {
  APIC, APIC_BASE, APIC_ID, CPL, CPU, CPU_SIZE, CR0, CS, DR6, DR7, ES, FAULT_VECTOR, FCW, FTW, GDTR, IDTR, INIT_PENDING,
  INTERRUPT_SHADOW, LDTR, MISC_ENABLE, MXCSR, NMI_BLOCKED, NMI_PENDING, PAT, RDX, REGS, RFLAGS, RIP, RUN_STATE,
  RUN_STATE_WAIT_FOR_SIPI, SEGMENT_SIZE, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, SEG_SELECTOR, TIMER_DEADLINE, TIMER_PERIOD, TR, VCPU_ID,
} from '../layout';

/** Family 6: what EDX holds after reset. */
const PROCESSOR_SIGNATURE: u64 = 0x600;

// @ts-ignore: decorator
@inline
function at(block: usize, field: usize): usize {
  return block + field - CPU;
}

function setSegment(block: usize, segment: usize, selector: u32, base: u64, attributes: u32): void {
  const place = at(block, segment);
  store<u16>(place + SEG_SELECTOR, <u16>selector);
  store<u32>(place + SEG_ATTRIBUTES, attributes);
  store<u32>(place + SEG_LIMIT, 0xffff);
  store<u64>(place + SEG_BASE, base);
}

/** Everything that INIT changes. The FPU, MSRs, the time stamp and the APIC's id and base stay. */
export function initBlock(block: usize): void {
  memory.fill(at(block, REGS), 0, RIP - REGS);
  store<u64>(at(block, RDX), PROCESSOR_SIGNATURE);
  store<u64>(at(block, RIP), 0xfff0);
  store<u64>(at(block, RFLAGS), 2);
  memory.fill(at(block, CR0), 0, ES - CR0);
  store<u64>(at(block, CR0), 0x60000010);
  store<u64>(at(block, DR6), 0xffff0ff0);
  store<u64>(at(block, DR7), 0x400);
  for (let segment = ES; segment < LDTR; segment += SEGMENT_SIZE) setSegment(block, segment, 0, 0, 0x93);
  setSegment(block, CS, 0xf000, 0xffff0000, 0x9b);
  setSegment(block, LDTR, 0, 0, 0x82);
  setSegment(block, TR, 0, 0, 0x8b);
  for (let table = GDTR; table <= IDTR; table += IDTR - GDTR) {
    store<u64>(at(block, table), 0);
    store<u32>(at(block, table) + 8, 0xffff);
  }
  store<u8>(at(block, CPL), 0);
  store<u8>(at(block, INTERRUPT_SHADOW), 0);
  store<u8>(at(block, NMI_PENDING), 0);
  store<u8>(at(block, NMI_BLOCKED), 0);
  store<u8>(at(block, INIT_PENDING), 0);
  store<u8>(at(block, RUN_STATE), RUN_STATE_WAIT_FOR_SIPI);
  store<i32>(at(block, FAULT_VECTOR), -1);
  resetApic(block);
}

const IRR: usize = 0x200;
/** 8 registers of 32 bits, 4 bytes apart in the block. */
const IRR_BYTES: usize = 32;

/**
 * The local APIC after INIT: all masked, software-disabled. Requested interrupts stay: a hypervisor's APIC keeps them,
 * and Linux binds the event upcall of a vCPU, whose first edge comes at once, before it sends that vCPU INIT.
 */
function resetApic(block: usize): void {
  const requests = at(block, APIC) + (IRR >> 2);
  memory.fill(at(block, APIC), 0, IRR >> 2);
  memory.fill(requests + IRR_BYTES, 0, APIC_ID - APIC - (IRR >> 2) - IRR_BYTES);
  store<u32>(at(block, APIC) + (0xe0 >> 2), 0xffffffff);
  store<u32>(at(block, APIC) + (0xf0 >> 2), 0xff);
  for (let lvt: usize = 0x320; lvt <= 0x370; lvt += 0x10) store<u32>(at(block, APIC) + (lvt >> 2), 0x10000);
  store<u64>(at(block, TIMER_DEADLINE), 0);
  store<u64>(at(block, TIMER_PERIOD), 0);
}

/** Power-up: INIT, and what INIT leaves alone. The APIC id is kept: the host sets it. */
export function powerUpBlock(block: usize, vcpu: u32): void {
  const id = load<u32>(at(block, APIC_ID));
  memory.fill(block, 0, CPU_SIZE);
  store<u32>(at(block, APIC_ID), id);
  initBlock(block);
  store<u8>(at(block, VCPU_ID), <u8>vcpu);
  store<u64>(at(block, PAT), 0x0007040600070406);
  store<u64>(at(block, MISC_ENABLE), 1);
  store<u64>(at(block, APIC_BASE), 0xfee00800 | (vcpu == 0 ? 0x100 : 0));
  store<u16>(at(block, FCW), 0x40);
  store<u8>(at(block, FTW), 0xff);
  store<u32>(at(block, MXCSR), 0x1f80);
  if (vcpu == 0) store<u8>(at(block, RUN_STATE), 0);
}
