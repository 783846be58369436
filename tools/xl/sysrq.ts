// xl sysrq
import { ToolFailure } from '../shared/failure.ts';
import type { XlCommand } from './command.ts';
import { askDomain, requireDomain } from './domains.ts';

export const command: XlCommand = {
  async run({ registry, usage }, [domain = '', key = '']) {
    const record = requireDomain(registry, domain);
    if (!/^[\x21-\x7e]$/.test(key)) {
      usage();
      throw new ToolFailure(['Invalid sysrq.', '']);
    }
    await askDomain(registry, record, { op: 'sysrq', key });
    return 0;
  },
};
