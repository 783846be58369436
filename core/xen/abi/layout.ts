// A struct whose layout depends on the width of the caller. Knows no struct itself.

/** Width of the calling guest code in bits: 64 in 64-bit mode, else 32. */
export type Width = 64 | 32;

/** One struct in both widths: field offsets, `size` in bytes. */
export type Layouts<T> = Readonly<Record<Width, Readonly<T>>>;
