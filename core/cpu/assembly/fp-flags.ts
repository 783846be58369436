// RFLAGS as floating-point instructions use them.
import { rflags, setRflags } from './flags';

export function readArithmeticFlags(): u32 {
  return <u32>rflags();
}

/** Sets CF PF AF ZF SF OF to the given bits. */
export function writeArithmeticFlags(bits: u32): void {
  setRflags((rflags() & ~<u64>0x8d5) | bits);
}
