// xl reboot
import type { XlCommand } from './command.ts';
import { requestCommand } from './shutdown.ts';

export const command: XlCommand = requestCommand('reboot', 'Rebooting');
