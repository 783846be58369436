// xl list
import type { XlCommand } from './command.ts';
import { currentDomains } from './domains.ts';
import { listEntry, renderList } from './render.ts';

export const command: XlCommand = {
  declare: (parser) =>
    parser
      .option('-l, --long')
      .option('-v, --verbose')
      .option('-Z, --context')
      .option('-c, --cpupool')
      .option('-n, --numa')
      .option('--json'),
  async run({ registry, out, usage }, operands, options) {
    if (operands.length > 1) {
      usage();
      return 2;
    }
    const records = await currentDomains(registry, operands[0]);
    if (options['json']) out(`${JSON.stringify(records.map(listEntry), undefined, 2)}\n`);
    else if (options['long']) {
      const { longListJson } = await import('./json.ts');
      out(longListJson(records));
    } else out(renderList(records, options));
    return 0;
  },
};
