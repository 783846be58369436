// CPUID: looks the leaf up in the table that Machine filled. What the leaves say is decided there.
import {
  APIC_ID, CPUID_COUNT, CPUID_ROW_APIC_ID_EBX, CPUID_ROW_APIC_ID_EDX, CPUID_ROW_VCPU_EBX, CPUID_TABLE, RAX, RBX, RCX,
  RDX, VCPU_ID,
} from '../layout';

/** Row of a leaf, 0 when there is none. */
export function cpuidRow(leaf: u32, subleaf: u32): usize {
  const count = load<u32>(CPUID_COUNT);
  for (let i: u32 = 0; i < count; i++) {
    const row = CPUID_TABLE + i * 32;
    if (load<u32>(row) != leaf) continue;
    const wanted = load<u32>(row, 4);
    if (wanted == subleaf || wanted == 0xffffffff) return row;
  }
  return 0;
}

export function cpuid(): void {
  const row = cpuidRow(<u32>load<u64>(RAX), <u32>load<u64>(RCX));
  const flags: u32 = row ? load<u32>(row, 24) : 0;
  let ebx: u64 = row ? load<u32>(row, 12) : 0;
  let edx: u64 = row ? load<u32>(row, 20) : 0;
  if (flags & CPUID_ROW_APIC_ID_EBX) ebx = (ebx & 0xffffff) | ((<u64>load<u32>(APIC_ID) & 0xff) << 24);
  if (flags & CPUID_ROW_VCPU_EBX) ebx = load<u8>(VCPU_ID);
  if (flags & CPUID_ROW_APIC_ID_EDX) edx = load<u32>(APIC_ID);
  store<u64>(RAX, row ? load<u32>(row, 8) : 0);
  store<u64>(RBX, ebx);
  store<u64>(RCX, row ? load<u32>(row, 16) : 0);
  store<u64>(RDX, edx);
}
