// How the commands end, and where they write.

export interface Streams {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** What `diff` found, what `collect` could not have, and wrong usage or input that is no use: for scripts. */
export const EXIT = { ok: 0, different: 1, unusable: 2, partial: 3 } as const;
