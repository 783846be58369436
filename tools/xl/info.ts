// xl info
import { collectInfo } from '../../core/domain/host-info.ts';
import type { XlCommand } from './command.ts';

/** `key                    : value`, as xl aligns them. */
export const renderInfo = (info: Readonly<Record<string, string | number>>): string =>
  Object.entries(info)
    .map(([key, value]) => `${key.padEnd(23)}: ${value}\n`)
    .join('');

export const command: XlCommand = {
  declare: (parser) => parser.option('-n, --numa').option('--json'),
  run({ registry, out }, [key], options) {
    const info = collectInfo(registry);
    if (key !== undefined)
      // As in xl: every key that begins so.
      for (const [name, value] of Object.entries(info)) {
        if (name.startsWith(key)) out(`${value}\n`);
      }
    else if (options['json']) out(`${JSON.stringify(info, undefined, 2)}\n`);
    else out(renderInfo(info));
    return 0;
  },
};
