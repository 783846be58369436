import { expect, test } from 'vitest';
import { OF, OPCODES } from '../../core/cpu/opcodes.ts';

const find = (code: string) => OPCODES.find((row) => row.code === code);

test('codes parse into map, opcode, prefix and ModRM selectors', () => {
  expect(find('f3 0f b8')).toMatchObject({ map: 1, opcode: 0xb8, prefix: 'f3', hasModrm: true });
  expect(find('vex f2 0f 3a f0')).toMatchObject({ map: 3, opcode: 0xf0, vex: true, prefix: 'f2' });
  expect(find('0f 01 /7 rm0')).toMatchObject({ map: 1, opcode: 1, reg: 7, rm: 0, form: 'reg' });
  expect(find('0f c7 /1 mem w1')).toMatchObject({ mnemonic: 'CMPXCHG16B', reg: 1, form: 'mem', rexW: 1 });
  expect(find('66 0f 38 f6')).toMatchObject({ mnemonic: 'ADCX', map: 2, opcode: 0xf6, prefix: '66' });
  expect(find('f3 90')).toMatchObject({ map: 0, opcode: 0x90, prefix: 'f3', hasModrm: false });
  expect(find('0f 38 f0 mem')).toMatchObject({ map: 2, opcode: 0xf0, form: 'mem' });
});

test('rows carry what the decoder and the oracle need', () => {
  expect(find('00')).toMatchObject({ mnemonic: 'ADD', lockable: true, operands: ['Eb', 'Gb'] });
  expect(find('38')).toMatchObject({ mnemonic: 'CMP', lockable: false });
  expect(find('c1 /4')?.undefinedFlags).toBe(OF | 0x10);
  expect(find('0f 90')).toMatchObject({ hasModrm: true });
  expect(find('c3')).toMatchObject({ hasModrm: false, endsBlock: true, class: 'branch' });
  expect(find('74')).toMatchObject({ mnemonic: 'JZ', endsBlock: false });
  expect(find('a4')).toMatchObject({ hasModrm: false, repeat: 'rep' });
});

test('every row has an opcode byte and no two rows are the same', () => {
  const seen = new Set<string>();
  for (const row of OPCODES) {
    expect(row.opcode).toBeGreaterThanOrEqual(0);
    const key = `${row.code} ${row.mnemonic} ${row.operands.join(',')} ${row.modes}`;
    expect(seen.has(key), key).toBe(false);
    seen.add(key);
  }
});
