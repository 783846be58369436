// xl unpause
import type { XlCommand } from './command.ts';
import { setPaused } from './pause.ts';

export const command: XlCommand = {
  run: (context, [name = '']) => setPaused(context, name, false),
};
