// xl rename

import { checkDomainName } from '../../core/domain/config.ts';
import { ToolFailure } from '../shared/failure.ts';
import type { XlCommand } from './command.ts';
import { askDomain, isLive, requireDomain } from './domains.ts';

export const command: XlCommand = {
  async run({ registry }, [domain = '', name = '']) {
    const record = requireDomain(registry, domain);
    const wrong = checkDomainName(name);
    if (wrong !== undefined) throw new ToolFailure([wrong, `Can't rename domain '${domain}'.`]);
    try {
      if (isLive(record)) await askDomain(registry, record, { op: 'rename', name });
      else await registry.rename(record.domid, name);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new ToolFailure([why, `Can't rename domain '${domain}'.`], 1, { cause: error });
    }
    return 0;
  },
};
