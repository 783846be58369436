// xl domname
import { ToolFailure } from '../shared/failure.ts';
import type { XlCommand } from './command.ts';

export const command: XlCommand = {
  run({ registry, out, usage }, [id = '']) {
    if (!/^\d+$/.test(id)) {
      usage();
      throw new ToolFailure(['Invalid domain id.', '']);
    }
    const record = registry.read(Number(id));
    if (record === undefined)
      throw new ToolFailure([
        `Can't get domain name of domain id '${id}', maybe this domain does not exist.`,
      ]);
    out(`${record.name}\n`);
    return 0;
  },
};
