// What the host does to a running guest, as data: recorded with the virtual time at which it took effect, and replayable.

export type HostInput =
  | { readonly kind: 'console'; readonly bytes: Uint8Array }
  | { readonly kind: 'sysrq'; readonly key: string }
  | { readonly kind: 'shutdown'; readonly request: 'poweroff' | 'reboot' }
  | { readonly kind: 'nmi'; readonly vcpu: number };

/**
 * An input with its place, between two slices of vCPUs. The time alone would not do: a slice may retire nothing. Nor would the slice: the
 * time of an idle guest goes on.
 */
export interface RecordedInput {
  /** ns of virtual time. */
  readonly at: number;
  /** Slices that had run. */
  readonly slice: number;
  /** Instructions that all vCPUs had retired. */
  readonly instruction: number;
  readonly input: HostInput;
}

/** One line of input.log. */
export function inputLine({ input, ...place }: RecordedInput): string {
  const plain =
    input.kind === 'console'
      ? { kind: input.kind, text: Buffer.from(input.bytes).toString('latin1') }
      : input;
  return `${JSON.stringify({ ...place, ...plain })}\n`;
}
