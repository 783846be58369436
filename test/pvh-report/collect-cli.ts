// One collect on a stand-in host, in a process of its own: for tests that send signals. Argument: the host's folder.
import { XenHost } from './xen-host.ts';

const { status, out, err } = await new XenHost(process.argv[2]).collect({}, {});
process.stdout.write(out);
process.stderr.write(err);
process.exitCode = status;
