// BTF: the header, the types, members by name through anonymous ones.
import { readBtf } from '../../../symbols/kernel/btf.ts';
import { seedFile } from '../sample.ts';
import type { FuzzTarget } from '../target.ts';

const QUESTIONS = [
  ['node', 'next'],
  ['node', 'text'],
  ['node', 'value'],
  ['node_t', 'next'],
  ['node', 'next.value'],
  ['node', 'flag'],
  ['node', 'missing'],
] as const;

export const BTF: FuzzTarget = {
  name: 'btf',
  seeds: () => [seedFile('small.btf')],
  run: (bytes) => {
    const layouts = readBtf(bytes);
    let read = 0;
    for (const [type, member] of QUESTIONS) {
      if (layouts.sizeOf(type) !== undefined) read++;
      if (layouts.memberOf(type, member) !== undefined) read++;
    }
    return read;
  },
};
