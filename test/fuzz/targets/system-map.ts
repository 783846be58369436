// System.map text.
import { memorySource } from '../../../symbols/bytes.ts';
import { ClassicSymbols } from '../../../symbols/classic-symbols.ts';
import { parseSystemMap } from '../../../symbols/kernel/system-map.ts';
import { Symbolizer } from '../../../symbols/symbolizer.ts';
import { goldenSystemMap } from '../sample.ts';
import type { FuzzTarget } from '../target.ts';

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

export const SYSTEM_MAP: FuzzTarget = {
  name: 'system-map',
  seeds: () => {
    const whole = goldenSystemMap();
    const middle = whole.indexOf(10, whole.length >> 1) + 1;
    return [
      whole.slice(0, 1024),
      whole.slice(middle, middle + 1024),
      ascii('ffffffff81000000 T _text\r\nffffffff81000000 T _stext\r\nffffffff82000000 T _etext\r\n'),
      ascii(
        'ffffffffc0000000 t loop_init\t[loop]\nffffffffc0000040 t step\t[loop]\nffffffffc0001000 t f\t[bpf]\n',
      ),
      ascii('0000000000000000 A __per_cpu_start\n                 U missing\n00000000 t short\n'),
    ];
  },
  run: (bytes) => {
    const { table } = parseSystemMap(memorySource('System.map', bytes));
    const symbolizer = new Symbolizer(table);
    const classic = new ClassicSymbols({ table });
    let read = 0;
    for (let index = 0; index < Math.min(table.length, 32); index++) {
      const address = BigInt.asUintN(64, table.address(index) + 5n);
      if (symbolizer.symbolize(address)) read++;
      if (classic.label(address, 'any') !== '') read++;
      if (table.addressOf(table.name(index)) !== undefined) read++;
    }
    return read;
  },
};
