// Where the members of the kernel's structures lie, whoever knows it (BTF, VMCOREINFO). Reads nothing.

/** A member's place in its structure. */
export interface MemberPlace {
  /** Bytes from the start of the structure. */
  readonly offset: number;
  /** Bytes; undefined when the source tells offsets only. */
  readonly size: number | undefined;
}

/** All answers are for the exact kernel that runs; undefined is "this kernel has no such type or member, or nobody knows". */
export interface TypeLayouts {
  /** For messages: `BTF`, `VMCOREINFO`. */
  readonly source: string;
  /** Bytes of a struct, union or typedef. */
  sizeOf(type: string): number | undefined;
  /** Bytes from the start of `type`; `a.b` walks into members, anonymous ones are transparent. */
  offsetOf(type: string, member: string): number | undefined;
  memberOf(type: string, member: string): MemberPlace | undefined;
}

/** Asks one source after the other. */
export function firstOf(sources: readonly TypeLayouts[]): TypeLayouts | undefined {
  if (sources.length < 2) return sources[0];
  const ask = <T>(question: (source: TypeLayouts) => T | undefined): T | undefined => {
    for (const source of sources) {
      const answer = question(source);
      if (answer !== undefined) return answer;
    }
    return undefined;
  };
  return {
    source: sources.map(({ source }) => source).join(', '),
    sizeOf: (type) => ask((source) => source.sizeOf(type)),
    offsetOf: (type, member) => ask((source) => source.offsetOf(type, member)),
    memberOf: (type, member) => ask((source) => source.memberOf(type, member)),
  };
}
