// xl trigger
import { ToolFailure } from '../shared/failure.ts';
import type { XlCommand } from './command.ts';
import { askDomain, requireDomain } from './domains.ts';

const TRIGGERS = ['nmi', 'reset', 'init', 'power', 'sleep', 's3resume'];

export const command: XlCommand = {
  async run({ registry }, [domain = '', trigger = '', vcpuText = '0']) {
    const record = requireDomain(registry, domain);
    if (!TRIGGERS.includes(trigger)) throw new ToolFailure([`Invalid trigger "${trigger}"`]);
    const vcpu = /^\d+$/.test(vcpuText) ? Number(vcpuText) : -1;
    if (vcpu < 0 || vcpu >= record.vcpus.length)
      throw new ToolFailure([
        `Invalid VCPU "${vcpuText}": domain ${record.domid} has 0 to ${record.vcpus.length - 1}`,
      ]);
    if (trigger !== 'nmi')
      throw new ToolFailure([
        `trigger ${trigger} is not supported for PVH guests here; use nmi, or xl shutdown`,
      ]);
    await askDomain(registry, record, { op: 'nmi', vcpu });
    return 0;
  },
};
