// Uuids that repeat. Apart from registry.ts, because loading node:crypto takes longer than listing the domains.
import { createHash } from 'node:crypto';

/**
 * The uuid of a domain whose configuration gives none. It is the same for the same name and seed, because
 * the guest sees it and equal runs must be equal.
 */
export function deriveUuid(...parts: readonly (string | number)[]): string {
  const digest = createHash('sha256').update(JSON.stringify(parts)).digest();
  digest[6] = ((digest[6] ?? 0) & 0x0f) | 0x80; // version 8 (free form), RFC 9562 5.8
  digest[8] = ((digest[8] ?? 0) & 0x3f) | 0x80; // variant
  return digest.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
