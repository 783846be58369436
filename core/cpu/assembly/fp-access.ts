// Alignment checks (#AC) of floating-point operands whose parts are accessed one by one, or that are exempt.
import { AC, alignmentChecked, exemptFromAlignment, isCanonical, raiseFault, updatePrivilege } from './state';

let exempted: bool = false;

/** From here on the instruction's accesses are not checked. */
export function allowUnaligned(): void {
  if (!alignmentChecked) return;
  exemptFromAlignment();
  exempted = true;
}

/** Checks an operand for the alignment of its items, a power of two, and then allows its parts anything; false = #AC is pending. */
export function isAligned(address: u64, item: u32): bool {
  if (alignmentChecked && (<u32>address & (item - 1)) != 0 && isCanonical(address)) {
    raiseFault(AC, 0);
    return false;
  }
  allowUnaligned();
  return true;
}

/** Ends what the instruction began. */
export function endAccess(): void {
  if (!exempted) return;
  exempted = false;
  updatePrivilege();
}
