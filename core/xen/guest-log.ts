// Lines that a guest writes to the hypervisor's log by port 0xE9 or console_io: `(d1) text`.
// Source: xen/arch/x86/hvm/hvm.c (port 0xE9), xen/drivers/char/console.c (console_io), as Xen 4.17 prints them

/** Xen cuts longer lines here. */
const LINE_MAX = 200;

export interface GuestLogState {
  readonly line: string;
}

export class GuestLog {
  readonly #prefix: string;
  readonly #onLine: (line: string) => void;
  #line = '';

  constructor(domid: number, onLine: (line: string) => void) {
    this.#prefix = `(d${domid}) `;
    this.#onLine = onLine;
  }

  /** Collects printable characters and tabs; a newline or a full line goes out, anything else is dropped. */
  put(byte: number): void {
    const printable = (byte >= 0x20 && byte < 0x7f) || byte === 0x09;
    if (printable) this.#line += String.fromCharCode(byte);
    if (byte !== 0x0a && this.#line.length < LINE_MAX) return;
    this.#onLine(this.#prefix + this.#line);
    this.#line = '';
  }

  snapshot(): GuestLogState {
    return { line: this.#line };
  }

  restore(state: GuestLogState): void {
    this.#line = state.line;
  }
}
