// Stands in until the interpreter is merged.
export function execute(budget: i64): i32 {
  return budget > 0 ? 0 : 0;
}
export function retiredInSlice(): u64 {
  return 0;
}
export function endSliceWithin(ns: u64): void {}
