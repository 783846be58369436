// ORC tables in guest memory: the header that names the format, addresses, entries.
import { orcFromMemory } from '../../../symbols/unwind/orc.ts';
import { goldenStack } from '../golden-stack.ts';
import { Image } from '../image.ts';
import type { FuzzTarget } from '../target.ts';

const TABLES = 0xffffffff82000000n;
const HEADER = 20;

/** Hashes of the formats 2, 3 and 4, and of none. */
const FORMATS = [
  'db84aed4103b31dd51e017f8f79783ca985c2c51',
  'fe5d32bf581bd63b2ca9a5c65ba5a625eab3fe24',
  '137c36ad7627c4dd55932176bb0ecdbd5041fc82',
  '0000000000000000000000000000000000000000',
];

export const ORC: FuzzTarget = {
  name: 'orc',
  seeds: () => {
    const entries = goldenStack().orc;
    const bytes = new Uint8Array(HEADER + entries.length * 10);
    const view = new DataView(bytes.buffer);
    entries.forEach(({ address, entry }, index) => {
      const at = HEADER + index * 4;
      view.setInt32(at, Number(BigInt.asIntN(32, address - (TABLES + BigInt(at)))), true);
      bytes.set(entry, HEADER + entries.length * 4 + index * 6);
    });
    return FORMATS.map((hash) => {
      const seed = bytes.slice();
      seed.set(Buffer.from(hash, 'hex'));
      return seed;
    });
  },
  run: (bytes) => {
    const count = Math.max(0, Math.floor((bytes.length - HEADER) / 10));
    const ips = TABLES + BigInt(HEADER);
    const entries = ips + BigInt(count * 4);
    const addresses: Readonly<Record<string, bigint>> = {
      __start_orc_unwind_ip: ips,
      __stop_orc_unwind_ip: entries,
      __start_orc_unwind: entries,
      ...(bytes.length % 2 === 0 ? { __start_orc_header: TABLES } : {}),
    };
    const rows = orcFromMemory(new Image(TABLES, bytes), (name) => addresses[name]);
    if (!rows) return 0;
    let read = 0;
    const view = new DataView(bytes.buffer);
    for (let index = 0; index < count; index += 1 + (count >> 4)) {
      const at = HEADER + index * 4;
      if (rows.find(TABLES + BigInt(at + view.getInt32(at, true) + 1))) read++;
    }
    return read;
  },
};
