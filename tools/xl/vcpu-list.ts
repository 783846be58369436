// xl vcpu-list
import type { XlCommand } from './command.ts';
import { currentDomains, requireDomain } from './domains.ts';
import { renderVcpuList, vcpuEntries } from './render.ts';

export const command: XlCommand = {
  declare: (parser) => parser.option('--json'),
  async run({ registry, out }, operands, options) {
    // As xl does: the header stands before the complaint about a name.
    for (const name of operands)
      if (registry.find(name) === undefined) {
        if (!options['json']) out(renderVcpuList([]));
        requireDomain(registry, name);
      }
    const specs = operands.length === 0 ? [undefined] : operands;
    const records = (await Promise.all(specs.map((spec) => currentDomains(registry, spec)))).flat();
    out(
      options['json']
        ? `${JSON.stringify(records.flatMap(vcpuEntries), undefined, 2)}\n`
        : renderVcpuList(records),
    );
    return 0;
  },
};
