// Numbers as the C library reads them for xenctx: strtol and strtoull with base 0, and atoi. Garbage is 0, never an error.

/** strtoull(text, NULL, 0): 64 bits; a minus sign wraps around, too large a number is all ones. */
export function parseUnsigned(text: string): bigint {
  const match = /^[ \t\n\v\f\r]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|0([0-7]*)|([1-9][0-9]*))/.exec(text);
  if (!match) return 0n;
  const [, sign, hex, octal, decimal] = match;
  const digits =
    hex !== undefined ? `0x${hex}` : octal !== undefined ? `0o${octal || '0'}` : (decimal ?? '0');
  const value = BigInt(digits);
  if (value > 0xffff_ffff_ffff_ffffn) return 0xffff_ffff_ffff_ffffn;
  return BigInt.asUintN(64, sign === '-' ? -value : value);
}

/** (int)strtol(text, NULL, 0). */
export const parseInteger = (text: string): number => {
  const negative = /^[ \t\n\v\f\r]*-/.test(text);
  const magnitude = parseUnsigned(text.replace(/^[ \t\n\v\f\r]*-/, ''));
  return Number(BigInt.asIntN(32, negative ? -magnitude : magnitude));
};

/** atoi: decimal only, so that `0x1` and a name are 0. */
export function parseDecimal(text: string): number {
  const match = /^[ \t\n\v\f\r]*([+-]?[0-9]{1,18})/.exec(text);
  return match ? Number(BigInt.asIntN(32, BigInt(match[1] ?? '0'))) : 0;
}
