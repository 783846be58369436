// Lines of a log, as decode reads them.
import { hostCodecs } from '../../../core/host/codecs.ts';
import { memorySource } from '../../../symbols/bytes.ts';
import { openDebugInfo } from '../../../symbols/dwarf/debug-info.ts';
import { openElf } from '../../../symbols/elf/elf-file.ts';
import { readSymbolTable } from '../../../symbols/elf/symtab.ts';
import { identityIn, LogDecoder, modulesIn } from '../../../tools/pvh-report/decode.ts';
import type { SymbolFile } from '../../../tools/shared/symbol-file.ts';
import { seedFile } from '../sample.ts';
import type { FuzzTarget } from '../target.ts';

function sample(): SymbolFile {
  const elf = openElf(memorySource('fuzz', seedFile('gcc-dwarf5.elf')), hostCodecs);
  const table = readSymbolTable(elf);
  if (!table) throw new Error('the seed has symbols');
  const debugInfo = openDebugInfo(elf);
  return { path: 'fuzz', table, elf, debugInfo, buildId: undefined, warnings: [], close: () => undefined };
}

/** Every function of the sample as a frame, with its address and alone. */
function frames({ table }: SymbolFile): string {
  const lines = [];
  for (let index = 0; index < table.length; index++) {
    const size = table.size(index);
    if (size === 0) continue;
    const pointer = `[<${table.address(index).toString(16).padStart(16, '0')}>]`;
    const name = `${table.name(index)}+0x1/0x${size.toString(16)}`;
    lines.push(
      `[    1.0]  ${name}`,
      ` ${pointer} ? ${name} [loop 0123456789abcdef0123]`,
      `rip: ${pointer}`,
      pointer,
    );
  }
  return lines.slice(0, 40).join('\n');
}

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

let kernel: SymbolFile | undefined;

export const LOG: FuzzTarget = {
  name: 'log',
  seeds: () => [
    ascii(frames(sample())),
    ascii(
      'Linux version 6.1.0 (a@b)\nCPU: 0 PID: 1 Comm: init Not tainted 6.1.0 #1 0123456789abcdef0123456789abcdef01234567\nKernel Offset: 0x200000 from 0xffffffff81000000\nRIP: 0010:panic+0x1/0x2 [loop]\n',
    ),
  ],
  run: (bytes) => {
    kernel ??= sample();
    const decoder = new LogDecoder({ kernel, module: () => kernel, base: undefined });
    let read = 0;
    for (const line of new TextDecoder('latin1').decode(bytes).split('\n')) {
      if (identityIn(line)) read++;
      read += modulesIn(line).length;
      const [text = '', ...inlined] = decoder.decode(line);
      if (text !== line) read += 1 + inlined.length;
    }
    return read;
  },
};
