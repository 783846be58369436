// xl dmesg
import { XenLog } from '../../core/domain/xen-log.ts';
import type { XlCommand } from './command.ts';

export const command: XlCommand = {
  declare: (parser) => parser.option('-c, --clear').option('-T, --timestamps'),
  run({ registry, now, out }, _operands, options) {
    const log = new XenLog(registry.xenLogPath(), now);
    const lines = log.read(options['timestamps'] === true);
    out(lines.map((line) => `${line}\n`).join(''));
    if (options['clear']) log.clear();
    return 0;
  },
};
