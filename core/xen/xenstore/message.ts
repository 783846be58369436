// The form of a xenstore message: header, NUL-terminated strings, permissions. Knows no meaning of a type.
// Source: xen/include/public/io/xs_wire.h, xen/docs/misc/xenstore.txt
import { XSD_HEADER_SIZE } from '../abi/io-xs-wire.ts';
import { type Access, type Permission, StoreError } from './tree.ts';

export interface Message {
  readonly type: number;
  readonly req_id: number;
  readonly tx_id: number;
  readonly payload: Uint8Array;
}

/** Bytes of ASCII text. */
export const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** Header and payload as they go through the ring. */
export function encodeMessage({ type, req_id, tx_id, payload }: Message): Uint8Array {
  const bytes = new Uint8Array(XSD_HEADER_SIZE + payload.length);
  const view = new DataView(bytes.buffer);
  [type, req_id, tx_id, payload.length].forEach((value, i) => {
    view.setUint32(4 * i, value, true);
  });
  bytes.set(payload, XSD_HEADER_SIZE);
  return bytes;
}

/**
 * Strings of a payload, each ended by NUL.
 * @throws StoreError EINVAL when the last one is not.
 */
export function splitStrings(payload: Uint8Array): string[] {
  if (payload.at(-1) !== 0) throw new StoreError('EINVAL');
  let line = '';
  for (const byte of payload.subarray(0, -1)) line += String.fromCharCode(byte);
  return line.split('\0');
}

/** The strings one after the other, each with its NUL. */
export const joinStrings = (strings: readonly string[]): Uint8Array => {
  const line = strings.map((each) => `${each}\0`).join('');
  return Uint8Array.from(line, (character) => character.charCodeAt(0));
};

/**
 * `r5`, `n0`, ...
 * @throws StoreError EINVAL
 */
export function parsePermission(given: string): Permission {
  const match = /^([nrwb])(\d{1,5})$/.exec(given);
  if (match === null) throw new StoreError('EINVAL');
  return { access: match[1] as Access, domid: Number(match[2]) }; // the pattern allows these letters only
}
