// The little of ELF64 that a lockstep program needs: its segments and symbols. Trusts its input: our own fixtures.
export interface LockstepElf {
  readonly entry: number;
  readonly segments: readonly {
    readonly address: number;
    readonly bytes: Uint8Array;
    readonly size: number;
  }[];
  readonly symbols: ReadonlyMap<string, number>;
}

/** @throws RangeError when a header points outside. */
export function readLockstepElf(file: Uint8Array): LockstepElf {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const u64 = (at: number): number => Number(view.getBigUint64(at, true));
  const text = (at: number): string => {
    const end = file.indexOf(0, at);
    return Buffer.from(file.subarray(at, end)).toString('latin1');
  };
  const segments = [];
  for (let i = 0; i < view.getUint16(56, true); i++) {
    const at = u64(32) + i * view.getUint16(54, true);
    if (view.getUint32(at, true) !== 1) continue;
    const from = u64(at + 8);
    segments.push({
      address: u64(at + 24),
      bytes: file.subarray(from, from + u64(at + 32)),
      size: u64(at + 40),
    });
  }
  const symbols = new Map<string, number>();
  for (let i = 0; i < view.getUint16(60, true); i++) {
    const at = u64(40) + i * 64;
    if (view.getUint32(at + 4, true) !== 2) continue;
    const strings = u64(u64(40) + view.getUint32(at + 40, true) * 64 + 24);
    for (let s = u64(at + 24); s < u64(at + 24) + u64(at + 32); s += 24)
      symbols.set(text(strings + view.getUint32(s, true)), u64(s + 8));
  }
  return { entry: u64(24), segments, symbols };
}
