// Takes out of a comparison what nobody asked for and what is known to be noise, and counts it.
import type { AlignedRow } from './align.ts';
import type { SettingDifference } from './config.ts';
import type { LineSieve } from './console.ts';
import type { Pair } from './pair.ts';
import type { RegisterDifference } from './registers.ts';
import { isNarrowed, leavesOut, type Scope, SECTIONS, type Section, takesSection } from './scope.ts';
import type { PhaseDifference } from './timing.ts';
import type { Judgement, Verdict } from './verdict.ts';

/** In what runs differ, by section, and by how much at most. */
export type Marks = Map<Section, Map<string, number>>;

/** What runs that should be alike differ in all the same. */
export interface Noise {
  readonly marks: Marks;
  /** What the baselines are to the report that they should be like. */
  readonly baselines: readonly { readonly path: string; readonly verdict: Verdict }[];
}

/** What is not in a comparison although it was in the reports. */
export interface LeftOut {
  readonly sections: readonly Section[];
  /** Rows and lines that a pattern of --ignore took out. */
  readonly ignored: readonly { readonly pattern: string; readonly count: number }[];
  /** Patterns of --only. */
  readonly only: readonly string[];
  /** Rows and lines in which A and its baselines differ as well. */
  readonly noise: readonly { readonly section: Section; readonly count: number }[];
  readonly baselines: Noise['baselines'];
  /** Where something was taken out that the verdict rests on. */
  readonly decisive: readonly Section[];
}

/** Sections that are lists, and their rows. */
interface Rows {
  readonly conditions: Pair;
  readonly stack: AlignedRow;
  readonly vcpus: Pair;
  readonly registers: RegisterDifference;
  readonly config: SettingDifference;
  readonly xenLog: string;
  readonly timing: PhaseDifference;
  readonly missing: Pair;
}

interface RowKind<T> {
  /** What patterns are held against. */
  key(row: T): string;
  /** In what the sides differ: nothing, when they do not. A row is noise when all of it is. */
  marks(row: T): readonly string[];
  /** By how much. */
  apart?(row: T): number;
}

const BY_NAME: RowKind<Pair> = { key: ({ what }) => what, marks: ({ what }) => [what] };
const WORDS = ', words';

const ROWS: { readonly [S in keyof Rows]: RowKind<Rows[S]> } = {
  conditions: BY_NAME,
  stack: { key: ({ text }) => text, marks: (row) => (row.in === 'both' ? [] : [row.text]) },
  vcpus: BY_NAME,
  registers: {
    key: ({ name }) => name,
    marks: ({ name, relation, bits = [relation] }) =>
      relation === 'equal' ? [] : bits.map((how) => `${name} ${how}`),
  },
  config: {
    key: ({ what }) => what.replace(WORDS, ''),
    // Of a word with a value, the value may differ from run to run.
    marks: ({ what, a = '', b = '' }) =>
      what.endsWith(WORDS) ? `${a} ${b}`.split(' ').map((word) => word.replace(/=.*/, '')) : [what],
  },
  xenLog: { key: (line) => line, marks: (line) => [line] },
  timing: {
    key: ({ phase }) => phase,
    marks: ({ phase, differs }) => (differs ? [phase] : []),
    apart: ({ a = Number.POSITIVE_INFINITY, b = Number.POSITIVE_INFINITY }) => Math.abs(a - b),
  },
  missing: BY_NAME,
};

/** What a comparison is passed through while it is made. */
export interface Sieve {
  takes(section: Section): boolean;
  rows<S extends keyof Rows>(section: S, rows: readonly Rows[S][]): readonly Rows[S][];
  /** Absent when every line of the consoles is looked at. */
  readonly lines?: LineSieve;
}

export function mark(marks: Marks, section: Section, what: string, apart: number): void {
  const seen = marks.get(section) ?? new Map<string, number>();
  marks.set(section, seen.set(what, Math.max(apart, seen.get(what) ?? 0)));
}

/** Takes out the consoles, and notes what the rest differs in. */
export const recorder = (marks: Marks): Sieve => ({
  takes: (section) => section !== 'console',
  rows: (section, rows) => {
    const kind = ROWS[section];
    for (const row of rows)
      for (const what of kind.marks(row)) mark(marks, section, what, kind.apart?.(row) ?? 0);
    return rows;
  },
});

/** For one comparison. */
export class CountingSieve implements Sieve {
  readonly lines?: LineSieve;
  readonly #scope: Scope;
  readonly #noise: Noise | undefined;
  readonly #ignored = new Map<string, number>();
  readonly #noisy = new Map<Section, number>();

  constructor(scope: Scope, noise: Noise | undefined) {
    this.#scope = scope;
    this.#noise = noise;
    if (noise || isNarrowed(scope, 'console'))
      this.lines = {
        keeps: (line) => this.#keeps('console', line),
        isNoise: (words, apart, lines) => this.#isNoise('console', [words], apart, lines),
      };
  }

  takes(section: Section): boolean {
    return takesSection(this.#scope, section);
  }

  rows<S extends keyof Rows>(section: S, rows: readonly Rows[S][]): readonly Rows[S][] {
    const kind = ROWS[section];
    return rows.filter(
      (row) =>
        this.#keeps(section, kind.key(row)) &&
        !this.#isNoise(section, kind.marks(row), kind.apart?.(row) ?? 0, 1),
    );
  }

  #keeps(section: Section, key: string): boolean {
    const { isLeftOut, by } = leavesOut(this.#scope, section, key);
    if (by !== undefined) this.#ignored.set(by, (this.#ignored.get(by) ?? 0) + 1);
    return !isLeftOut;
  }

  #isNoise(section: Section, marks: readonly string[], apart: number, count: number): boolean {
    const known = this.#noise?.marks.get(section);
    const is = marks.length > 0 && marks.every((what) => apart <= (known?.get(what) ?? -1));
    if (is) this.#noisy.set(section, (this.#noisy.get(section) ?? 0) + count);
    return is;
  }

  /**
   * Once everything has passed; nothing when nothing was to be taken out.
   * @param evidence what the verdict rests on, by name.
   */
  leftOut({ restsOn }: Judgement, evidence: (section: Section) => readonly string[]): LeftOut | undefined {
    const { only, ignore } = this.#scope;
    const noise = this.#noise;
    if (only.length + ignore.length === 0 && noise === undefined) return undefined;
    const patterns = (selectors: Scope['only']) =>
      selectors.flatMap(({ text, pattern }) => (pattern === undefined ? [] : [text]));
    return {
      sections: SECTIONS.filter((section) => !this.takes(section)),
      ignored: patterns(ignore).map((pattern) => ({ pattern, count: this.#ignored.get(pattern) ?? 0 })),
      only: patterns(only),
      noise: SECTIONS.flatMap((section) => {
        const count = this.#noisy.get(section);
        return count === undefined ? [] : [{ section, count }];
      }),
      baselines: noise?.baselines ?? [],
      decisive: restsOn.filter(
        (section) =>
          !this.takes(section) ||
          evidence(section).some((key) => leavesOut(this.#scope, section, key).isLeftOut),
      ),
    };
  }
}
