// The register dump that Xen's log shows of a vCPU, line by line in Xen 4.17's layout.
// Source: Xen 4.17 on a PVH guest's triple fault, as it printed them
import { hex16 } from '../../symbols/address.ts';
import type { Segment, VcpuRegisters } from '../machine/registers.ts';

const ROWS: readonly (readonly (keyof typeof NAMES)[])[] = [
  ['rax', 'rbx', 'rcx'],
  ['rdx', 'rsi', 'rdi'],
  ['rbp', 'rsp', 'r8'],
  ['r9', 'r10', 'r11'],
  ['r12', 'r13', 'r14'],
  ['r15', 'cr0', 'cr4'],
  ['cr3', 'cr2'],
  ['fsb', 'gsb', 'gss'],
];
const NAMES = {
  rax: (r: VcpuRegisters) => r.rax,
  rbx: (r: VcpuRegisters) => r.rbx,
  rcx: (r: VcpuRegisters) => r.rcx,
  rdx: (r: VcpuRegisters) => r.rdx,
  rsi: (r: VcpuRegisters) => r.rsi,
  rdi: (r: VcpuRegisters) => r.rdi,
  rbp: (r: VcpuRegisters) => r.rbp,
  rsp: (r: VcpuRegisters) => r.rsp,
  r8: (r: VcpuRegisters) => r.r8,
  r9: (r: VcpuRegisters) => r.r9,
  r10: (r: VcpuRegisters) => r.r10,
  r11: (r: VcpuRegisters) => r.r11,
  r12: (r: VcpuRegisters) => r.r12,
  r13: (r: VcpuRegisters) => r.r13,
  r14: (r: VcpuRegisters) => r.r14,
  r15: (r: VcpuRegisters) => r.r15,
  cr0: (r: VcpuRegisters) => r.cr0,
  cr4: (r: VcpuRegisters) => r.cr4,
  cr3: (r: VcpuRegisters) => r.cr3,
  cr2: (r: VcpuRegisters) => r.cr2,
  fsb: (r: VcpuRegisters) => r.fs.base,
  gsb: (r: VcpuRegisters) => r.gs.base,
  gss: (r: VcpuRegisters) => r.kernel_gs_base,
};
const SELECTORS = ['ds', 'es', 'fs', 'gs', 'ss', 'cs'] as const;

const selector = (segment: Segment): string => segment.selector.toString(16).padStart(4, '0');

/** Lines without the `(XEN) ` prefix, from `----[` to the selectors. `version` is for example `4.17.0-pvh`. */
export function stateDump(registers: VcpuRegisters, domid: number, vcpu: number, version: string): string[] {
  const cell = (name: keyof typeof NAMES): string =>
    `${`${name}:`.padEnd(4)} ${hex16(NAMES[name](registers) ?? 0n)}`;
  return [
    `----[ Xen-${version}  x86_64  debug=n  Not tainted ]----`,
    'CPU:    0',
    `RIP:    ${selector(registers.cs)}:[<${hex16(registers.rip)}>]`,
    `RFLAGS: ${hex16(registers.rflags)}   CONTEXT: hvm guest (d${domid}v${vcpu})`,
    ...ROWS.map((row) => row.map(cell).join('   ')),
    SELECTORS.map((name) => `${name}: ${selector(registers[name])}`).join('   '),
  ];
}
