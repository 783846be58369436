// Physical addresses that no frame backs: the local APIC page, and open bus behind it (reads all ones, writes vanish).
import { apicPage, apicRead, apicWrite } from './apic';

export function mmioRead(gpa: u64, size: u32): u64 {
  if ((gpa & ~0xfff) == apicPage()) return apicRead(<u32>gpa & 0xfff, size);
  return size == 8 ? 0xffffffffffffffff : ((<u64>1 << (size * 8)) - 1);
}

export function mmioWrite(gpa: u64, value: u64, size: u32): void {
  if ((gpa & ~0xfff) == apicPage()) apicWrite(<u32>gpa & 0xfff, value, size);
}
