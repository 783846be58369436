// What a subcommand of xl is: a row of the table, and a module loaded only when it runs.
import type { Command } from 'commander';
import type { Registry } from '../../core/domain/registry.ts';

/** What a command gets from outside. */
export interface XlContext {
  readonly registry: Registry;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly now: () => Date;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** -v before the subcommand. */
  readonly verbose: boolean;
  /** -N before the subcommand. */
  readonly dryRun: boolean;
  /** Prints the usage of the running command, as xl does beside an error. */
  readonly usage: () => void;
}

export type Options = Readonly<Record<string, string | boolean | undefined>>;

/** The module of a command. */
export interface XlCommand {
  /** Declares the options to commander; operands are passed on as they come. */
  readonly declare?: (command: Command) => void;
  /** @returns the exit status. */
  readonly run: (
    context: XlContext,
    operands: readonly string[],
    options: Options,
  ) => Promise<number> | number;
}

export interface XlCommandRow {
  readonly name: string;
  /** For `xl help`. */
  readonly summary: string;
  /** Behind the name in the usage line. */
  readonly synopsis: string;
  /** Option lines of `xl help NAME`. */
  readonly options?: string;
  /** Extra paragraphs of `xl help NAME`: where we differ from xl. */
  readonly notes?: string;
  readonly minOperands: number;
  readonly load: () => Promise<{ readonly command: XlCommand }>;
}
