// The notation in which the opcode tables are written. opcodes.ts reads it.

/**
 * [code, mnemonic, operands, options].
 *
 * code: optional `np|66|f3|f2` (mandatory prefix), optional `vex` and `w0|w1`, `0f`, `0f 38` or `0f 3a`, the opcode, then
 * `/0`..`/7` (ModRM.reg), `mem` or `reg` (ModRM.mod), `rm0`..`rm7` (mod = 3 and ModRM.rm).
 *
 * options, separated by spaces: `lock` lockable, `rep`/`repz`, `no64`, `only64`, `d64`, `f64`, `if:<feature>`,
 * `undef:<letters of c p a z s o>` flags undefined after it, `class:<branch|system|fp|undefined>`, `ends` ends a block,
 * `modrm` has a ModRM byte though no operand shows it.
 */
export type RowSource = readonly [code: string, mnemonic: string, operands?: string, options?: string];
