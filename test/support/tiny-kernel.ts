// PVH kernels of a few dozen bytes for tests of the lifecycle: 32-bit code without paging, put together from steps.
// The Xen interface they use: xen/include/public/{sched,event_channel,io/console}.h
import { note, writeElf } from './elf-writer.ts';

const LOAD_ADDRESS = 0x10_0000;
/** Data of the steps lies above the code. */
const DATA_OFFSET = 0x1000;
const PT_LOAD = 1;
const PT_NOTE = 4;
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

const HYPERVISOR_sched_op = 29;
const HYPERVISOR_event_channel_op = 32;
const SCHEDOP_shutdown = 2;
const SCHEDOP_poll = 3;
const SCHEDOP_watchdog = 6;
const EVTCHNOP_send = 4;
/** The toolstack connects xenstore first, then the console. */
const CONSOLE_PORT = 2;
const CONSOLE_PAGE = 0xfefff000;
const OUT = 0x400;
const IN_CONS = 0xc00;
const IN_PROD = 0xc04;
const OUT_PROD = 0xc0c;

const REASONS = { poweroff: 0, reboot: 1, suspend: 2, crash: 3, watchdog: 4, soft_reset: 5 } as const;

const le32 = (...values: readonly number[]): number[] =>
  values.flatMap((value) => [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, (value >>> 24) & 255]);

/** Code and data of a kernel under construction. */
export class TinyKernel {
  readonly #code: number[] = [];
  readonly #data: number[] = [];
  #printed = 0;

  #place(bytes: Iterable<number>): number {
    while (this.#data.length % 16 !== 0) this.#data.push(0);
    const address = LOAD_ADDRESS + DATA_OFFSET + this.#data.length;
    this.#data.push(...bytes);
    return address;
  }

  #hypercall(number: number, command: number, argument: Iterable<number>): this {
    // mov eax, number; mov ebx, command; mov ecx, argument; vmcall
    const address = this.#place(argument);
    this.#code.push(0xb8, ...le32(number), 0xbb, ...le32(command), 0xb9, ...le32(address), 0x0f, 0x01, 0xc1);
    return this;
  }

  /** Writes to the console ring, as much as fits into it (2 KiB in all). */
  print(text: string): this {
    const bytes = new TextEncoder().encode(text);
    const address = this.#place(bytes);
    // mov esi, text; mov edi, ring; mov ecx, length; rep movsb
    this.#code.push(0xbe, ...le32(address), 0xbf, ...le32(CONSOLE_PAGE + OUT + this.#printed));
    this.#code.push(0xb9, ...le32(bytes.length), 0xf3, 0xa4);
    this.#printed += bytes.length;
    // mov dword [out_prod], printed
    this.#code.push(0xc7, 0x05, ...le32(CONSOLE_PAGE + OUT_PROD, this.#printed));
    return this.#hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_send, le32(CONSOLE_PORT));
  }

  /** Writes a 32-bit word to memory. */
  store(address: number, value: number): this {
    this.#code.push(0xc7, 0x05, ...le32(address, value));
    return this;
  }

  shutdown(reason: keyof typeof REASONS): this {
    return this.#hypercall(HYPERVISOR_sched_op, SCHEDOP_shutdown, le32(REASONS[reason]));
  }

  /** Sleeps in the hypervisor until virtual time `ns`, at most 2^32 - 1. */
  sleepUntil(ns: number): this {
    const ports = this.#place(le32(CONSOLE_PORT));
    return this.#hypercall(HYPERVISOR_sched_op, SCHEDOP_poll, le32(ports, 0, ns, 0));
  }

  /** Sleeps until somebody types, and takes what was typed. */
  awaitInput(): this {
    const ports = this.#place(le32(CONSOLE_PORT));
    const start = this.#code.length;
    this.#hypercall(HYPERVISOR_sched_op, SCHEDOP_poll, le32(ports, 1, 0, 0));
    // mov eax, [in_prod]; cmp eax, [in_cons]; je start; mov [in_cons], eax
    this.#code.push(0xa1, ...le32(CONSOLE_PAGE + IN_PROD), 0x3b, 0x05, ...le32(CONSOLE_PAGE + IN_CONS), 0x74);
    this.#code.push((start - this.#code.length - 1) & 255);
    this.#code.push(0xa3, ...le32(CONSOLE_PAGE + IN_CONS));
    return this;
  }

  /** Arms Xen's watchdog. */
  watchdog(seconds: number): this {
    return this.#hypercall(HYPERVISOR_sched_op, SCHEDOP_watchdog, le32(0, seconds));
  }

  spin(): this {
    this.#code.push(0xeb, 0xfe);
    return this;
  }

  /** HLT with interrupts off: nothing can wake it. */
  haltForever(): this {
    this.#code.push(0xfa, 0xf4);
    return this;
  }

  /** An exception without any handler. */
  tripleFault(): this {
    this.#code.push(0x0f, 0x0b);
    return this;
  }

  /** @param withNote false for a kernel that is none for PVH. */
  elf(withNote = true): Uint8Array {
    const image = new Uint8Array(DATA_OFFSET + this.#data.length + 16);
    image.set(this.#code);
    image.set(this.#data, DATA_OFFSET);
    const entry = note('Xen', XEN_ELFNOTE_PHYS32_ENTRY, Uint8Array.from(le32(LOAD_ADDRESS)));
    return writeElf({
      type: 2,
      machine: 62,
      entry: BigInt(LOAD_ADDRESS),
      segments: [
        {
          type: PT_LOAD,
          virtualAddress: BigInt(LOAD_ADDRESS),
          physicalAddress: BigInt(LOAD_ADDRESS),
          data: image,
        },
        ...(withNote ? [{ type: PT_NOTE, data: entry }] : []),
      ],
    });
  }
}
