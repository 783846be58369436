// What elfutils and LLVM agree about in a kernel's debug information is what we say. More addresses: `npm run oracle:lines`.
import { describe, expect, test } from 'vitest';
import { hasProgram } from '../support/compile.ts';
import { debianArchive, debianKernel } from '../support/debian.ts';
import { compareLines } from './lines.ts';

const COUNT = 500;
// CI must have both.
const hasPeers =
  process.env['CI'] === 'true' || (hasProgram('eu-addr2line') && hasProgram('llvm-symbolizer'));

describe.runIf(debianArchive && hasPeers)(
  'lines and inlined functions of a kernel',
  { timeout: 600_000 },
  () => {
    test.each(['linux-image-cloud-amd64'])('%s', (meta) => {
      const { agreed, wrong } = compareLines(debianKernel(meta).vmlinux(), COUNT, 3);
      expect(wrong).toEqual([]);
      expect(Math.min(agreed.function, agreed.line, agreed.chain)).toBeGreaterThan(COUNT * 0.95);
    });
  },
);
