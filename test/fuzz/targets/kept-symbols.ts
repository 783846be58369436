// Symbol tables as the stash keeps them.
import { memorySource } from '../../../symbols/bytes.ts';
import { parseSystemMap } from '../../../symbols/kernel/system-map.ts';
import { packSymbols, unpackSymbols } from '../../../symbols/symbol-columns.ts';
import { shifted } from '../../../symbols/symbol-table.ts';
import { Symbolizer } from '../../../symbols/symbolizer.ts';
import { goldenSystemMap } from '../sample.ts';
import type { FuzzTarget } from '../target.ts';

export const KEPT_SYMBOLS: FuzzTarget = {
  name: 'kept-symbols',
  seeds: () => {
    const { table } = parseSystemMap(memorySource('System.map', goldenSystemMap().slice(0, 4096)));
    return [packSymbols(table)];
  },
  run: (bytes) => {
    const table = shifted(unpackSymbols(bytes, 'kept'), 0x200000n);
    const symbolizer = new Symbolizer(table);
    let read = 0;
    for (let index = 0; index < Math.min(table.length, 32); index++) {
      if (symbolizer.symbolize(BigInt.asUintN(64, table.address(index) + 5n))) read++;
      if (table.addressOf(table.name(index)) !== undefined) read++;
    }
    return read;
  },
};
