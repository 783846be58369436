// Stands in until the interpreter is merged.
import { RFLAGS } from '../layout';
export function rflags(): u64 {
  return load<u64>(RFLAGS);
}
export function setRflags(value: u64): void {
  store<u64>(RFLAGS, value);
}
