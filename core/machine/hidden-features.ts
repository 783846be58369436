// Which instructions a CPUID table does not offer: the CPU raises #UD on them. Knows the table only, not who filtered it.

import type { CpuidLeaf } from '../cpu/features.ts';
import { FEATURE_PLACES } from '../cpu/features.ts';
import { FEATURES } from '../cpu/opcodes.ts';

/**
 * @param rows the guest's CPUID table; an empty one hides nothing, so that bare code can run without one.
 * @returns a bit set for each name in FEATURES that the table lacks, as FEATURES_OFF in core/cpu/layout.ts wants it.
 */
export function hiddenFeatures(rows: readonly CpuidLeaf[]): bigint {
  if (rows.length === 0) return 0n;
  const places: Readonly<Record<string, readonly [number, 'eax' | 'ebx' | 'ecx' | 'edx', number]>> =
    FEATURE_PLACES;
  let hidden = 0n;
  for (const [bit, name] of FEATURES.entries()) {
    const place = places[name];
    if (place === undefined) continue;
    const row = rows.find(({ leaf, subleaf }) => leaf === place[0] && subleaf <= 0);
    if (row === undefined || !((row[place[1]] >>> place[2]) & 1)) hidden |= 1n << BigInt(bit);
  }
  return hidden;
}
