// How far a job is and what it met, in memory that the harness sees while the worker is busy, and after it was ended.

const FIELDS = [
  'current',
  'done',
  'refused',
  'read',
  'slowestMs',
  'slowest',
  'mostBytes',
  'greediest',
] as const;
const place = (name: (typeof FIELDS)[number]): number => FIELDS.indexOf(name);

export class Progress {
  readonly shared: SharedArrayBuffer;
  readonly #values: Float64Array;

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(FIELDS.length * 8)) {
    this.shared = shared;
    this.#values = new Float64Array(shared);
  }

  /** Number of the input that is being read. */
  get current(): number {
    return this.#values[place('current')] ?? 0;
  }
  set current(number: number) {
    this.#values[place('current')] = number;
  }

  /** Inputs that are over. */
  get done(): number {
    return this.#values[place('done')] ?? 0;
  }

  /** Inputs that ended in a FormatError or a MemoryFault. */
  get refused(): number {
    return this.#values[place('refused')] ?? 0;
  }
  set refused(count: number) {
    this.#values[place('refused')] = count;
  }

  /** Sum of what run() told. */
  get read(): number {
    return this.#values[place('read')] ?? 0;
  }
  set read(count: number) {
    this.#values[place('read')] = count;
  }

  get slowest(): { readonly number: number; readonly ms: number } {
    return { number: this.#values[place('slowest')] ?? 0, ms: this.#values[place('slowestMs')] ?? 0 };
  }

  get greediest(): { readonly number: number; readonly bytes: number } {
    return { number: this.#values[place('greediest')] ?? 0, bytes: this.#values[place('mostBytes')] ?? 0 };
  }

  /** One input is over. */
  add(number: number, ms: number, bytes: number): void {
    const values = this.#values;
    values[place('done')] = this.done + 1;
    if (ms > this.slowest.ms) {
      values[place('slowestMs')] = ms;
      values[place('slowest')] = number;
    }
    if (bytes > this.greediest.bytes) {
      values[place('mostBytes')] = bytes;
      values[place('greediest')] = number;
    }
  }
}

/** CPU time in ms that this process has taken, all threads: a machine that is busy with other things makes no hang. */
export function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
