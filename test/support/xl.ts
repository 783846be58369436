// Runs xl in this process, with a state directory of its own.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { main } from '../../tools/xl/main.ts';

export interface XlResult {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** Calls xl's main as the command line would. */
export async function xl(stateDir: string, ...argv: readonly string[]): Promise<XlResult> {
  let out = '';
  let err = '';
  const status = await main(
    argv,
    { ...process.env, PVH_STATE_DIR: stateDir },
    {
      out: (text) => {
        out += text;
      },
      err: (text) => {
        err += text;
      },
    },
  );
  return { status, out, err };
}

/** A fresh folder for each test that asks; removed after it. */
export function temporaryFolders(): () => string {
  const made: string[] = [];
  afterEach(() => {
    for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
  });
  return () => {
    const folder = mkdtempSync(join(tmpdir(), 'pvh-test-'));
    made.push(folder);
    return folder;
  };
}
