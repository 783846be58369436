// How gdb gets through the assembly of a Linux kernel, for which its vmlinux has no call frame information: the guest's ORC tables
// as a library that gdb loads when it connects. The tables of the vmlinux itself come first wherever it has them.
import { PvhError } from '../../symbols/errors.ts';
import { CfiWriter } from '../../symbols/unwind/cfi-writer.ts';
import { OrcRows, orcFromElf, orcFromMemory } from '../../symbols/unwind/orc.ts';
import type { UnwindRow } from '../../symbols/unwind/row.ts';
import type { GuestKernel } from '../shared/guest-kernel.ts';
import { SHF_CODE, SHT_NOBITS, SHT_PROGBITS, writeSectionFile } from './section-file.ts';

/** An address at which no kernel has anything. */
const NOWHERE = 0xffff_ffff_ffff_f000n;

type AddressedRow = { readonly address: bigint; readonly row: UnwindRow };

/** User mode: gdb would go on by guessing there, on a stack of which it knows nothing. */
const USER_MODE: readonly AddressedRow[] = [0n, 1n << 47n].map((address) => ({
  address,
  row: {
    how: 'orc',
    kind: 'end',
    cfa: { base: 'rsp', offset: 0, load: 'none' },
    saved: {},
    signal: false,
  },
}));

function* moved(rows: Iterable<AddressedRow>, slide: bigint): Generator<AddressedRow> {
  for (const { address, row } of rows) yield { address: BigInt.asUintN(64, address + slide), row };
}

/** The tables of the kernel's image at run-time addresses, then those of its modules. */
function* tables({ file, slide, memory, table, linux }: GuestKernel): Generator<Iterable<AddressedRow>> {
  const addressOf = (name: string): bigint | undefined => table.addressOf(name);
  const fromFile = file?.elf && orcFromElf(file.elf, addressOf);
  const image = fromFile ?? (memory && orcFromMemory(memory, addressOf));
  if (image) yield moved(image.entries(), fromFile ? (slide ?? 0n) : 0n);
  for (const module of linux?.modules().value ?? []) {
    const own = module.orc();
    if (own) yield new OrcRows(own).entries();
  }
}

/** A .debug_frame section of all that the guest's ORC tables tell; undefined when it has none that can be read. */
function frameSection(kernel: GuestKernel): Uint8Array | undefined {
  const writer = new CfiWriter();
  let count = 0;
  for (const rows of tables(kernel))
    try {
      count += writer.add(rows);
    } catch (error) {
      // Pages that are not in the dump: what was read before them holds.
      if (!(error instanceof PvhError)) throw error;
    }
  if (count === 0) return undefined;
  writer.add(USER_MODE);
  return writer.bytes;
}

/** A library without code, at an address where nothing is; undefined when there is nothing to tell. */
export function unwindLibrary(kernel: GuestKernel): Uint8Array | undefined {
  const frames = kernel.linux && frameSection(kernel);
  return (
    frames &&
    writeSectionFile(3, [
      { name: '.text', type: SHT_NOBITS, flags: SHF_CODE, address: NOWHERE, size: 1 },
      { name: '.debug_frame', type: SHT_PROGBITS, bytes: frames },
    ])
  );
}
