// Whether an address lies behind a call: the bytes before a return address have to be one. Knows x86 code, no symbols.
import { MemoryFault } from '../errors.ts';
import type { MemorySource } from '../memory.ts';

/** Longest call that is looked for: opcode, ModRM, SIB and a displacement of 4 bytes behind a REX prefix. */
const LONGEST = 8;

/** Bytes of a ModRM operand with its SIB and displacement (SDM vol 2A tables 2-2 and 2-3); 64-bit and 32-bit addressing agree. */
function operandLength(modrm: number, sib: number): number {
  const mode = modrm >>> 6;
  const rm = modrm & 7;
  if (mode === 3) return 1;
  const indexed = rm === 4 ? 1 : 0;
  const displacement =
    mode === 1 ? 1 : mode === 2 ? 4 : rm === 5 || (indexed === 1 && (sib & 7) === 5) ? 4 : 0;
  return 1 + indexed + displacement;
}

/** True for FF /2 (near) and FF /3 (far) that ends at the end of `bytes`. */
function endsInIndirectCall(bytes: Uint8Array): boolean {
  for (let length = 2; length <= 7; length++) {
    const start = bytes.length - length;
    const modrm = bytes[start + 1] ?? 0;
    const operation = (modrm >>> 3) & 7;
    if (bytes[start] !== 0xff || (operation !== 2 && operation !== 3)) continue;
    if (operation === 3 && modrm >>> 6 === 3) continue;
    if (1 + operandLength(modrm, bytes[start + 2] ?? 0) === length) return true;
  }
  return false;
}

/**
 * Retpolines, paravirt and static calls end in the same bytes once patched (`call thunk`, `cs call`, `call *mem`). Behind a far
 * return there may be code too: Linux pushes that address by hand (secondary_startup_64).
 */
function endsInCall(bytes: Uint8Array): boolean {
  const fromEnd = (count: number): number => bytes[bytes.length - count] ?? 0;
  return fromEnd(5) === 0xe8 || endsInIndirectCall(bytes) || (fromEnd(2) === 0x48 && fromEnd(1) === 0xcb);
}

const PAGE = 4096n;

function readCode(memory: MemorySource, address: bigint, into: Uint8Array): MemoryFault | undefined {
  try {
    memory.read(BigInt.asUintN(64, address), into);
    return undefined;
  } catch (error) {
    if (error instanceof MemoryFault) return error;
    throw error;
  }
}

/** Undefined when the code before the address cannot be read; where nothing is mapped there is no call. */
export function isBehindCall(memory: MemorySource, address: bigint): boolean | undefined {
  const bytes = new Uint8Array(LONGEST);
  const fault = readCode(memory, address - BigInt(LONGEST), bytes);
  if (!fault) return endsInCall(bytes);
  const unknown = fault.reason === 'not mapped' ? false : undefined;
  // The page before can be gone, and the call wholly in this one.
  const inPage = Number(address % PAGE);
  if (inPage === 0 || inPage >= LONGEST) return unknown;
  bytes.fill(0);
  const rest = readCode(memory, address - BigInt(inPage), bytes.subarray(LONGEST - inPage));
  return !rest && endsInCall(bytes) ? true : unknown;
}
