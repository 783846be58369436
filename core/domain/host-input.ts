// What the host does to a running guest, as data: recorded with the virtual time at which it took effect, and replayable.

export type HostInput =
  | { readonly kind: 'console'; readonly bytes: Uint8Array }
  | { readonly kind: 'sysrq'; readonly key: string }
  | { readonly kind: 'shutdown'; readonly request: 'poweroff' | 'reboot' }
  | { readonly kind: 'nmi'; readonly vcpu: number };

/** `at` is in ns of virtual time. */
export interface RecordedInput {
  readonly at: number;
  readonly input: HostInput;
}

/** One line of input.log. */
export function inputLine({ at, input }: RecordedInput): string {
  const plain =
    input.kind === 'console'
      ? { kind: input.kind, text: Buffer.from(input.bytes).toString('latin1') }
      : input;
  return `${JSON.stringify({ at, ...plain })}\n`;
}
