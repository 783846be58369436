// The CPU core's exports. See ../layout.ts for the memory that both sides share.
export function version(): i32 {
  return 1;
}
