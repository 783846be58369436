/** A page of 64-bit table entries by their numbers; the others are zero. */
export function tablePage(entries: Readonly<Record<number, bigint>>): Uint8Array {
  const page = new Uint8Array(4096);
  const view = new DataView(page.buffer);
  for (const [index, entry] of Object.entries(entries)) view.setBigUint64(Number(index) * 8, entry, true);
  return page;
}
