// The lines of VMCOREINFO (linux v6.1 Documentation/admin-guide/kdump/vmcoreinfo.rst), KEY=VALUE, and the numbers in them. Finds none.

/** Value by key, `OSRELEASE`, `SYMBOL(prb)`; lines without a key are left out. */
export type VmcoreinfoLines = ReadonlyMap<string, string>;

export function vmcoreinfoLines(text: string): VmcoreinfoLines {
  return new Map(
    text.split('\n').flatMap((line) => {
      const at = line.indexOf('=');
      return at > 0 ? [[line.slice(0, at), line.slice(at + 1)] as const] : [];
    }),
  );
}

/** Of SYMBOL() and KERNELOFFSET: 64 bits at most. Undefined for what is no such number. */
export const hexValue = (text: string | undefined): bigint | undefined =>
  text !== undefined && /^[0-9a-f]{1,16}$/.test(text) ? BigInt(`0x${text}`) : undefined;

/** Of NUMBER(): can be negative. Undefined for what is no such number. */
export const decimalValue = (text: string | undefined): bigint | undefined =>
  text !== undefined && /^-?\d{1,20}$/.test(text) ? BigInt(text) : undefined;
