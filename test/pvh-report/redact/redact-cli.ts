// One redact in a process of its own, for tests that kill it. Arguments: report, output, key. Says when it begins.
import { runRedact } from '../../../tools/pvh-report/redact-command.ts';

const [report = '', output = '', key = ''] = process.argv.slice(2);
const write = (text: string): void => {
  process.stdout.write(text);
};
write('begins\n');
process.exitCode = await runRedact(report, { output, key, quiet: true }, { out: write, err: write });
