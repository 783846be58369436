// xl dump-core
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { copySparse } from '../../core/host/files.ts';
import { systemError, ToolFailure } from '../shared/failure.ts';
import { Progress, stderrOutput } from '../shared/progress.ts';
import type { XlCommand } from './command.ts';
import { askDomain, requireDomain } from './domains.ts';

const TIMEOUT_MS = 600_000;

export const command: XlCommand = {
  async run({ registry }, [domain = '', file = '']) {
    const record = requireDomain(registry, domain);
    const path = resolve(file);
    const { core } = registry.files(record.domid);
    const progress = new Progress(stderrOutput());
    progress.step(`Dumping the memory of ${record.name} to ${file}`);
    try {
      if (record.state === 'shutdown' && existsSync(core)) copySparse(core, path);
      else await askDomain(registry, record, { op: 'dump-core', path }, TIMEOUT_MS);
    } catch (error) {
      progress.clear();
      const why = systemError(error) ?? (error instanceof Error ? error.message : String(error));
      throw new ToolFailure([`${file}: ${why}`, 'core dump failed (rc=-3)'], 1, { cause: error });
    }
    progress.clear();
    return 0;
  },
};
