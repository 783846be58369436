// log/xl-NAME.log: what the lifecycle did with a domain, in the words of xl's monitor. Older logs are .1 to .10.
import { appendFileSync, renameSync } from 'node:fs';

const KEPT = 10;

export class MonitorLog {
  readonly #path: string;

  /** @param fresh whether to begin a new log and keep the old as .1, as xl does at each creation. */
  constructor(path: string, fresh: boolean) {
    this.#path = path;
    if (!fresh) return;
    for (let i = KEPT - 1; i >= 0; i--) {
      try {
        renameSync(i === 0 ? path : `${path}.${i}`, `${path}.${i + 1}`);
      } catch {
        // There is no log of that age.
      }
    }
  }

  append(...lines: readonly string[]): void {
    try {
      appendFileSync(this.#path, lines.map((line) => `${line}\n`).join(''), { mode: 0o600 });
    } catch {
      // A full disk is no reason to stop; the Xen log has its own line about that.
    }
  }
}
