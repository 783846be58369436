// xl uptime
import type { XlCommand } from './command.ts';
import { requireDomain } from './domains.ts';
import { renderUptime, uptimeSeconds } from './render.ts';

export const command: XlCommand = {
  declare: (parser) => parser.option('-s').option('--json'),
  run({ registry, now, out }, operands, options) {
    const records =
      operands.length === 0 ? registry.list() : operands.map((name) => requireDomain(registry, name));
    const time = now();
    if (options['json']) {
      const entries = records.map((record) => ({
        domid: record.domid,
        name: record.name,
        uptime_seconds: uptimeSeconds(record, time),
        virtual_seconds: Number((record.virtualNanoseconds / 1e9).toFixed(3)),
      }));
      out(`${JSON.stringify(entries, undefined, 2)}\n`);
    } else out(renderUptime(records, time, options['s'] === true));
    return 0;
  },
};
