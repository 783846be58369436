// AESENC and its kin (SDM vol 2A; FIPS 197) on vectors in memory. Byte i of a vector is row i % 4 of column i / 4.

/** S-box and its inverse, computed when the first instruction needs them. */
const SBOX: usize = memory.data(256);
const INVERSE: usize = memory.data(256);
const STATE: usize = memory.data(16, 16);

/** Times x in GF(2^8). */
// @ts-ignore: decorator
@inline
function double(a: u32): u32 {
  return ((a << 1) ^ ((a & 0x80) != 0 ? 0x11b : 0)) & 0xff;
}

function product(a: u32, b: u32): u32 {
  let sum: u32 = 0;
  for (; b != 0; b >>= 1) {
    if ((b & 1) != 0) sum ^= a;
    a = double(a);
  }
  return sum;
}

function prepare(): void {
  if (load<u8>(SBOX) == 0x63) return;
  // p runs through the powers of 3, q through their inverses: powers of 0xf6 = 1/3.
  let p: u32 = 1, q: u32 = 1;
  do {
    const turned = q ^ (q << 1) ^ (q << 2) ^ (q << 3) ^ (q << 4);
    store<u8>(SBOX + p, <u8>(turned ^ (turned >> 8) ^ 0x63));
    p ^= double(p);
    q = product(q, 0xf6);
  } while (p != 1);
  store<u8>(SBOX, 0x63);
  for (let i = 0; i < 256; i++) store<u8>(INVERSE + load<u8>(SBOX + i), <u8>i);
}

/** One column times the circulant matrix whose first row is a b c d. */
function mixColumn(place: usize, a: u32, b: u32, c: u32, d: u32): void {
  const x = <u32>load<u8>(place), y = <u32>load<u8>(place, 1), z = <u32>load<u8>(place, 2), w = <u32>load<u8>(place, 3);
  store<u8>(place, <u8>(product(x, a) ^ product(y, b) ^ product(z, c) ^ product(w, d)));
  store<u8>(place, <u8>(product(x, d) ^ product(y, a) ^ product(z, b) ^ product(w, c)), 1);
  store<u8>(place, <u8>(product(x, c) ^ product(y, d) ^ product(z, a) ^ product(w, b)), 2);
  store<u8>(place, <u8>(product(x, b) ^ product(y, c) ^ product(z, d) ^ product(w, a)), 3);
}

function inverseMix(): void {
  for (let i: usize = 0; i < 16; i += 4) mixColumn(STATE + i, 14, 11, 13, 9);
}

/** AESENC, with `last` AESENCLAST: one round of `data` with `key`. */
export function encryptRound(data: usize, key: v128, last: bool): v128 {
  prepare();
  // ShiftRows: row r comes from r columns further.
  for (let i = 0; i < 16; i++) store<u8>(STATE + i, load<u8>(SBOX + load<u8>(data + ((i + 4 * (i & 3)) & 15))));
  if (!last) for (let i: usize = 0; i < 16; i += 4) mixColumn(STATE + i, 2, 3, 1, 1);
  return v128.xor(v128.load(STATE), key);
}

/** AESDEC, AESDECLAST. */
export function decryptRound(data: usize, key: v128, last: bool): v128 {
  prepare();
  for (let i = 0; i < 16; i++) store<u8>(STATE + i, load<u8>(INVERSE + load<u8>(data + ((i - 4 * (i & 3)) & 15))));
  if (!last) inverseMix();
  return v128.xor(v128.load(STATE), key);
}

/** AESIMC. */
export function inverseMixColumns(data: v128): v128 {
  v128.store(STATE, data);
  inverseMix();
  return v128.load(STATE);
}

function substitute(word: u32): u32 {
  let r: u32 = 0;
  for (let i: u32 = 0; i < 32; i += 8) r |= <u32>load<u8>(SBOX + ((word >> i) & 0xff)) << i;
  return r;
}

/** AESKEYGENASSIST. */
export function assistKey(data: usize, constant: u32): v128 {
  prepare();
  const one = substitute(load<u32>(data, 4)), three = substitute(load<u32>(data, 12));
  return i32x4(one, rotr(one, 8) ^ constant, three, rotr(three, 8) ^ constant);
}
