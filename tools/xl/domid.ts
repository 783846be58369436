// xl domid
import { ToolFailure } from '../shared/failure.ts';
import type { XlCommand } from './command.ts';

export const command: XlCommand = {
  run({ registry, out }, [name = '']) {
    const record = registry.list().find((domain) => domain.name === name);
    if (record === undefined)
      throw new ToolFailure([`Can't get domid of domain name '${name}', maybe this domain does not exist.`]);
    out(`${record.domid}\n`);
    return 0;
  },
};
