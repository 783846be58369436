// QEMU's monitor command `info registers`, read.
import type { VcpuRegisters } from '../../core/machine/registers.ts';

/** Values of the monitor's text by our names; of segments and tables as `cs.base`. */
export function monitorRegisters(text: string): ReadonlyMap<string, bigint> {
  const values = new Map<string, bigint>();
  for (const [, name = '', digits = ''] of text.matchAll(/\b(R\w+|CR\d) *=([0-9a-f]+)/g))
    values.set(name === 'RFL' ? 'rflags' : name.toLowerCase(), BigInt(`0x${digits}`));
  for (const [, name = '', selector, base, limit] of text.matchAll(
    /^(\wS|TR|LDT) *=([0-9a-f]{4}) ([0-9a-f]{16}) ([0-9a-f]{8})/gm,
  )) {
    const segment = name === 'LDT' ? 'ldtr' : name.toLowerCase();
    values.set(`${segment}.selector`, BigInt(`0x${selector}`));
    values.set(`${segment}.base`, BigInt(`0x${base}`));
    values.set(`${segment}.limit`, BigInt(`0x${limit}`));
  }
  for (const [, name = '', base, limit] of text.matchAll(/^(GDT|IDT)= +([0-9a-f]{16}) ([0-9a-f]{8})/gm)) {
    values.set(`${name.toLowerCase()}r.base`, BigInt(`0x${base}`));
    values.set(`${name.toLowerCase()}r.limit`, BigInt(`0x${limit}`));
  }
  return values;
}

/** The register at a path like `tr.base`. */
export function valueAt(registers: VcpuRegisters, path: string): bigint | undefined {
  const [name = '', part] = path.split('.');
  const value: unknown = Object.entries(registers).find(([key]) => key === name)?.[1];
  const inner: unknown =
    part === undefined ? value : Object.entries(value as object).find(([key]) => key === part)?.[1]; // a segment has parts
  return typeof inner === 'bigint' ? inner : typeof inner === 'number' ? BigInt(inner) : undefined;
}
