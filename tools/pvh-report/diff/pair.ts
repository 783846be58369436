// A value that the two sides of a comparison have differently.

/** Absent on a side that has none. */
export interface Pair {
  readonly what: string;
  readonly a?: string | undefined;
  readonly b?: string | undefined;
}
