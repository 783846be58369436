// Runs xenctx in this process and keeps what it would have printed.
import { main } from '../../tools/xenctx/main.ts';

export interface XenctxRun {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number;
}

export async function runXenctx(argv: readonly string[], stateDir: string): Promise<XenctxRun> {
  let stdout = '';
  let stderr = '';
  const status = await main(
    argv,
    { PVH_STATE_DIR: stateDir },
    {
      line: (text) => {
        stdout += `${text}\n`;
      },
      text: (text) => {
        stdout += text;
      },
      error: (line) => {
        stderr += `${line}\n`;
      },
      colour: false,
    },
  );
  return { stdout, stderr, status };
}
