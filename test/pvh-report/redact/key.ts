/** A key for stand-ins that are the same in every run. */
export const KEY: Uint8Array = Buffer.from('0123456789abcdef0123456789abcdef');
