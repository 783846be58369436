// xl shutdown
import { type DomainRecord, SHUTDOWN_REASONS } from '../../core/domain/record.ts';
import type { Registry } from '../../core/domain/registry.ts';
import type { XlCommand, XlContext } from './command.ts';
import { askDomain, isLive, requireDomain } from './domains.ts';

const POLL_MS = 100;

/** Waits until the domain has shut down, has gone, or was lost. */
async function waitForEnd(registry: Registry, { domid }: DomainRecord): Promise<string> {
  for (;;) {
    const record = registry.read(domid);
    if (record === undefined) return `Domain ${domid} has been destroyed`;
    if (record.state === 'lost') return `Domain ${domid} was lost`;
    if (record.state === 'shutdown' && record.shutdownReason !== undefined)
      return `Domain ${domid} has been shut down, reason code ${SHUTDOWN_REASONS.indexOf(record.shutdownReason)}`;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** What shutdown and reboot share. */
export function requestCommand(request: 'poweroff' | 'reboot', doing: string): XlCommand {
  return {
    declare: (parser) => parser.option('-a, --all').option('-w, --wait').option('-F'),
    async run({ registry, err, usage }: XlContext, operands, options) {
      if (!options['all'] && operands.length === 0) {
        err(`'xl ${request === 'reboot' ? 'reboot' : 'shutdown'}' requires at least 1 argument.\n\n`);
        usage();
        return 2;
      }
      const [name = ''] = operands;
      const domains = options['all'] ? registry.list().filter(isLive) : [requireDomain(registry, name)];
      for (const domain of domains) {
        err(`${doing} domain ${domain.domid}\n`);
        await askDomain(registry, domain, { op: 'shutdown', request });
      }
      if (options['wait']) {
        err(`Waiting for ${domains.length} domains\n`);
        for (const end of domains.map((domain) => waitForEnd(registry, domain))) err(`${await end}\n`);
      }
      return 0;
    },
  };
}

export const command: XlCommand = requestCommand('poweroff', 'Shutting down');
