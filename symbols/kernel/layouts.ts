// Who tells the layouts of a guest's kernel: its BTF, and VMCOREINFO for what that lacks.
import type { AddressOf } from '../address.ts';
import { FormatError, MemoryFault } from '../errors.ts';
import { MAX_BTF, readBtf } from './btf.ts';
import type { GuestReader } from './guest-reader.ts';
import { firstOf, type TypeLayouts } from './type-layouts.ts';
import type { Vmcoreinfo } from './vmcoreinfo.ts';

/** BTF between the kernel's own symbols (CONFIG_DEBUG_INFO_BTF); undefined when there is none or it is damaged. */
function btfInMemory(reader: GuestReader, addressOf: AddressOf): TypeLayouts | undefined {
  const [start, stop] = [addressOf('__start_BTF'), addressOf('__stop_BTF')];
  if (start === undefined || stop === undefined || stop <= start || stop - start > MAX_BTF) return undefined;
  try {
    return readBtf(reader.bytes(start, Number(stop - start)));
  } catch (error) {
    if (error instanceof FormatError || error instanceof MemoryFault) return undefined;
    throw error;
  }
}

/** Undefined when the guest has neither. */
export function layoutsOf(
  reader: GuestReader,
  addressOf: AddressOf,
  vmcoreinfo: Vmcoreinfo | undefined,
): TypeLayouts | undefined {
  const btf = btfInMemory(reader, addressOf);
  return firstOf([...(btf ? [btf] : []), ...(vmcoreinfo ? [vmcoreinfo.layouts] : [])]);
}
