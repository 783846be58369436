// Stands in until the interpreter is merged.
import { unmarkCode } from './tlb';
export function invalidateCode(page: u32): void {
  unmarkCode(page);
}
