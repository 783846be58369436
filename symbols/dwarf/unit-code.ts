// What one unit says about its code: lines and scopes together, each as far as it can be read. Finds no unit.
import { FormatError } from '../errors.ts';
import * as dw from './constants.ts';
import { NOTHING } from './cover.ts';
import { readScopes, type Scopes, scopeAt } from './inline.ts';
import { emptyLineTable, type LineTable, NO_ROW, readLineTable } from './line.ts';
import { nameAt } from './names.ts';
import type { SourceFrame } from './source-frame.ts';
import type { Unit } from './unit.ts';

const MAX_NAMES = 1 << 16;

const noScopes = (): Scopes => ({
  parents: [],
  names: [],
  callFiles: [],
  callLines: [],
  callColumns: [],
  cover: { starts: [], values: [] },
});

export class UnitCode {
  readonly lines: LineTable;
  readonly scopes: Scopes;
  /** What could not be read. */
  readonly damage: readonly FormatError[];
  /** How much was decoded: rows, scopes, and the line program, whose rows need not be of code, in eights of bytes. */
  readonly work: number;
  readonly #unitAt: (place: number) => Unit | undefined;
  readonly #names = new Map<number, string | undefined>();

  /** @param unitAt the unit that a place of .debug_info lies in: names of functions may be in another one. */
  constructor(unit: Unit, unitAt: (place: number) => Unit | undefined) {
    const damage: FormatError[] = [];
    const attempt = <T>(read: () => T, otherwise: () => T): T => {
      try {
        return read();
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        damage.push(error);
        return otherwise();
      }
    };
    this.#unitAt = (place) =>
      place >= unit.header.offset && place < unit.header.offset + unit.header.size ? unit : unitAt(place);
    this.lines = attempt(() => unitLines(unit), emptyLineTable);
    this.scopes = attempt(() => readScopes(unit), noScopes);
    this.damage = damage;
    this.work = this.lines.rows.places.length + (this.lines.size >>> 3) + this.scopes.cover.starts.length;
  }

  /** Name of a scope; undefined when it has none that can be read. */
  name(scope: number): string | undefined {
    const place = this.scopes.names[scope] ?? NOTHING;
    if (this.#names.has(place)) return this.#names.get(place);
    let name: string | undefined;
    try {
      name = nameAt(place, this.#unitAt);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
    if (this.#names.size < MAX_NAMES) this.#names.set(place, name);
    return name;
  }

  /** Frames at a place, innermost first; none when neither a line nor a function is there. */
  frames(place: number): SourceFrame[] {
    const { rows } = this.lines;
    const row = this.lines.at(place);
    const scope = scopeAt(this.scopes, place);
    if (row === NO_ROW && scope === NOTHING) return [];
    const known =
      row === NO_ROW
        ? ([undefined, 0, 0] as const)
        : ([rows.files[row], rows.lines[row], rows.columns[row]] as const);
    return [...this.#chain(scope, ...known)];
  }

  *#chain(
    scope: number,
    file: number | undefined,
    line: number | undefined,
    column: number | undefined,
  ): Generator<SourceFrame> {
    const { parents, callFiles, callLines, callColumns } = this.scopes;
    for (;;) {
      yield {
        function: scope === NOTHING ? undefined : this.name(scope),
        file: file === undefined ? undefined : this.lines.path(file),
        line: line || undefined,
        column: column || undefined,
      };
      const parent = parents[scope] ?? NOTHING;
      if (parent === NOTHING) return;
      file = callFiles[scope];
      line = callLines[scope];
      column = callColumns[scope];
      scope = parent;
    }
  }
}

function unitLines(unit: Unit): LineTable {
  const offset = unit.constant(dw.DW_AT_stmt_list);
  if (offset === undefined) return emptyLineTable();
  const compDir = unit.root.get(dw.DW_AT_comp_dir);
  const directory = (compDir && unit.text(compDir)) ?? '';
  return readLineTable(unit.sections, offset, unit.header.addressSize, directory);
}
