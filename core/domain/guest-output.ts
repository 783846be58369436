// What a guest said since the last look: bytes of its console and lines for the hypervisor's log. Bounds what it can flood.

/** Lines of a guest's own that one turn lets through; Xen too limits how fast guests fill its log. */
const LINES_A_TURN = 200;

export class GuestOutput {
  readonly #prefix: string;
  #console: Uint8Array[] = [];
  #lines: string[] = [];
  #own = 0;

  constructor(domid: number) {
    this.#prefix = `(d${domid}) `;
  }

  addConsole(bytes: Uint8Array): void {
    this.#console.push(bytes);
  }

  /** Takes a whole line with its prefix: `(XEN) ...` is the hypervisor's and is never dropped. */
  addLine(line: string): void {
    if (line.startsWith(this.#prefix) && ++this.#own > LINES_A_TURN) return;
    this.#lines.push(line);
  }

  takeConsole(): Uint8Array {
    return Buffer.concat(this.#console.splice(0));
  }

  takeLines(): string[] {
    const lines = this.#lines.splice(0);
    if (this.#own > LINES_A_TURN) lines.push(`${this.#prefix}... ${this.#own - LINES_A_TURN} more lines`);
    this.#own = 0;
    return lines;
  }
}
