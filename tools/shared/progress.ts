// Progress on stderr: one line that changes on a terminal, plain lines elsewhere. Never on stdout, which is the result.
import { Chalk } from 'chalk';

export interface ProgressOutput {
  readonly write: (text: string) => void;
  readonly isTerminal: boolean;
  readonly colour: boolean;
  readonly columns: number;
}

/** How stderr of this process wants its progress. NO_COLOR: https://no-color.org */
export function stderrOutput(): ProgressOutput {
  const isTerminal = process.stderr.isTTY === true;
  return {
    write: (text) => process.stderr.write(text),
    isTerminal,
    colour: isTerminal && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb',
    columns: process.stderr.columns ?? 80,
  };
}

const BAR_WIDTH = 20;

export class Progress {
  readonly #output: ProgressOutput;
  readonly #chalk: InstanceType<typeof Chalk>;
  #shown = false;
  #lastText = '';

  constructor(output: ProgressOutput) {
    this.#output = output;
    this.#chalk = new Chalk({ level: output.colour ? 1 : 0 });
  }

  /** Says what is being done; with `total`, how far it is. Off a terminal each text appears once. */
  step(text: string, done?: number, total?: number): void {
    if (!this.#output.isTerminal) {
      if (text !== this.#lastText) this.#output.write(`${text}\n`);
      this.#lastText = text;
      return;
    }
    // A line that wraps could not be cleared again.
    const room = Math.max(10, this.#output.columns - BAR_WIDTH - 8);
    let line = text.length > room ? `${text.slice(0, room - 3)}...` : text;
    if (done !== undefined && total !== undefined && total > 0) {
      const filled = Math.min(BAR_WIDTH, Math.round((done / total) * BAR_WIDTH));
      const percent = `${Math.min(100, Math.floor((done / total) * 100))}%`.padStart(4);
      line += ` ${this.#chalk.green('#'.repeat(filled))}${this.#chalk.dim('.'.repeat(BAR_WIDTH - filled))}${percent}`;
    } else line += ' ...';
    this.#output.write(`\r\x1b[K${line}`);
    this.#shown = true;
  }

  /** Clears the changing line, so that other output can follow. */
  clear(): void {
    if (this.#shown) this.#output.write('\r\x1b[K');
    this.#shown = false;
    this.#lastText = '';
  }
}
