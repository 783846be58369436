// RDRAND and RDSEED: xoshiro256** over RANDOM_STATE, so that a run repeats. Not for secrets.
import { RANDOM_STATE } from '../layout';

export function nextRandom(): u64 {
  const s1 = load<u64>(RANDOM_STATE, 8);
  const result = rotl<u64>(s1 * 5, 7) * 9;
  const s0 = load<u64>(RANDOM_STATE);
  let s2 = load<u64>(RANDOM_STATE, 16) ^ s0;
  let s3 = load<u64>(RANDOM_STATE, 24) ^ s1;
  store<u64>(RANDOM_STATE, s1 ^ s2, 8);
  store<u64>(RANDOM_STATE, s0 ^ s3);
  s2 ^= s1 << 17;
  s3 = rotl<u64>(s3, 45);
  store<u64>(RANDOM_STATE, s2, 16);
  store<u64>(RANDOM_STATE, s3, 24);
  return result;
}
