// `pvh-report` in this process, and a key for stand-ins that are the same in every run.
import { main } from '../../../tools/pvh-report/main.ts';

export const KEY: Uint8Array = Buffer.from('0123456789abcdef0123456789abcdef');

export async function pvhReport(...argv: string[]): Promise<{ status: number; out: string; err: string }> {
  const [out, err]: [string[], string[]] = [[], []];
  const status = await main(argv, {}, { out: (text) => out.push(text), err: (text) => err.push(text) });
  return { status, out: out.join(''), err: err.join('') };
}
