// The register block that Xen prints when a guest dies, line by line as xen 4.17 lays it out (show_registers for an HVM guest).
import { hex16 } from '../../symbols/address.ts';
import type { Segment, VcpuRegisters } from '../machine/registers.ts';

/** The version that the block's first line names. */
export const XEN_BANNER = 'Xen-4.17.0-pvh-report  x86_64  debug=n  Not tainted';

const selector = (segment: Segment): string => segment.selector.toString(16).padStart(4, '0');

/** @returns the lines without the `(XEN) ` before each. */
export function registerDump(domid: number, vcpu: number, r: VcpuRegisters): string[] {
  const row = (...pairs: readonly (readonly [string, bigint | undefined])[]): string =>
    pairs.map(([name, value]) => `${name.padEnd(4)} ${hex16(value ?? 0n)}`).join('   ');
  return [
    `*** Dumping Dom${domid} vcpu#${vcpu} state: ***`,
    `----[ ${XEN_BANNER} ]----`,
    // One thread runs a domain: all its vCPUs are on CPU 0.
    'CPU:    0',
    `RIP:    ${selector(r.cs)}:[<${hex16(r.rip)}>]`,
    `RFLAGS: ${hex16(r.rflags)}   CONTEXT: hvm guest (d${domid}v${vcpu})`,
    row(['rax:', r.rax], ['rbx:', r.rbx], ['rcx:', r.rcx]),
    row(['rdx:', r.rdx], ['rsi:', r.rsi], ['rdi:', r.rdi]),
    row(['rbp:', r.rbp], ['rsp:', r.rsp], ['r8:', r.r8]),
    row(['r9:', r.r9], ['r10:', r.r10], ['r11:', r.r11]),
    row(['r12:', r.r12], ['r13:', r.r13], ['r14:', r.r14]),
    row(['r15:', r.r15], ['cr0:', r.cr0], ['cr4:', r.cr4]),
    row(['cr3:', r.cr3], ['cr2:', r.cr2]),
    row(['fsb:', r.fs.base], ['gsb:', r.gs.base], ['gss:', r.kernel_gs_base]),
    `ds: ${selector(r.ds)}   es: ${selector(r.es)}   fs: ${selector(r.fs)}   gs: ${selector(r.gs)}   ss: ${selector(r.ss)}   cs: ${selector(r.cs)}`,
  ];
}
