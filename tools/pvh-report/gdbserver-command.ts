// pvh-report gdbserver
import { Registry } from '../../core/domain/registry.ts';
import { GdbConnection } from '../../core/gdb/connection.ts';
import type { GdbGuest } from '../../core/gdb/guest.ts';
import { GdbSession } from '../../core/gdb/session.ts';
import { isLoopback, type ListenAddress, Listener, parseListenAddress } from '../../core/host/listener.ts';
import { openTarget } from '../../core/target/open.ts';
import { ToolFailure } from '../shared/failure.ts';
import { type GuestKernel, learnKernel } from '../shared/guest-kernel.ts';
import { stateDirectory } from '../shared/state-dir.ts';
import { openSymbolFile } from '../shared/symbol-file.ts';
import { EXIT, type Streams } from './exit.ts';
import { gdbGuest } from './gdbserver-guest.ts';

export interface GdbserverOptions {
  readonly listen?: string;
  readonly symbolTable?: string;
  readonly once?: true;
  readonly forceSymbols?: true;
}

const DEFAULT_ADDRESS: ListenAddress = { host: '127.0.0.1', port: 0 };
const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** @throws ToolFailure */
function addressOf({ listen }: GdbserverOptions, err: (text: string) => void): ListenAddress {
  const address = listen === undefined ? DEFAULT_ADDRESS : parseListenAddress(listen);
  if (!address)
    throw new ToolFailure(
      [`pvh-report: --listen '${listen}': neither HOST:PORT nor unix:PATH`],
      EXIT.unusable,
    );
  if (!isLoopback(address))
    err('pvh-report: warning: whoever reaches this address can read all memory of the guest\n');
  return address;
}

/** A word of a shell. */
const quoted = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** What to type. gdb asks the first file that has it for unwinding: which one that is makes the two ways. */
function* greeting(where: string, { symbolTable }: GdbserverOptions, kernel: GuestKernel): Generator<string> {
  const { slide, file, buildId, linux } = kernel;
  const needsFile = symbolTable !== undefined || buildId !== undefined || linux !== undefined;
  const path = symbolTable === undefined ? 'vmlinux' : quoted(symbolTable);
  const target = `-ex ${quoted(`target remote ${where}`)}`;
  yield `Listening on ${where}`;
  yield `  gdb${needsFile ? ` ${path}` : ''} ${target}`;
  if (linux && file?.elf && slide !== undefined) {
    yield 'or, for stacks through interrupts as well, with fewer local variables:';
    yield `  gdb ${target} -ex sharedlibrary -ex ${quoted(`add-symbol-file ${path} -o 0x${slide.toString(16)}`)}`;
  }
  if (symbolTable === undefined && buildId !== undefined) yield `vmlinux is the one with build-id ${buildId}`;
  yield 'Ctrl-C ends it.';
}

/**
 * Resolves when the user, or with --once the debugger, has had enough.
 * @param started told where it listens. @throws PvhError when it cannot listen.
 */
async function serve(
  address: ListenAddress,
  { once }: GdbserverOptions,
  guest: GdbGuest,
  { out, err }: { readonly out: (where: string) => void; readonly err: (text: string) => void },
): Promise<void> {
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const listener = await Listener.open(address, {
    connected() {
      err('pvh-report: a debugger is there\n');
      return new GdbConnection(new GdbSession(guest));
    },
    left() {
      err('pvh-report: the debugger has left\n');
      if (once) end();
    },
  });
  for (const signal of ENDING) process.on(signal, end);
  try {
    out(listener.address);
    await ended;
  } finally {
    for (const signal of ENDING) process.off(signal, end);
    listener.close();
  }
}

/** @returns the exit status. @throws ToolFailure, PvhError, the system's errors. */
export async function runGdbserver(
  spec: string,
  options: GdbserverOptions,
  env: Readonly<Record<string, string | undefined>>,
  { out, err }: Streams,
): Promise<number> {
  const address = addressOf(options, err);
  const file = options.symbolTable === undefined ? undefined : openSymbolFile(options.symbolTable);
  try {
    for (const warning of file?.warnings ?? []) err(`pvh-report: ${warning}\n`);
    const target = await openTarget(spec, { registry: new Registry(stateDirectory(env)) });
    try {
      if (target.vcpus.length === 0)
        throw new ToolFailure([`pvh-report: ${target.description}: no vCPUs to show`], EXIT.unusable);
      const kernel = await learnKernel(target, file, {
        env,
        force: options.forceSymbols === true,
        search: true,
        progress: (text) => err(`pvh-report: ${text}\n`),
      });
      try {
        for (const warning of kernel.warnings) err(`pvh-report: warning: ${warning}\n`);
        await serve(address, options, gdbGuest(target, kernel), {
          err,
          out: (where) => {
            for (const line of greeting(where, options, kernel)) out(`${line}\n`);
          },
        });
        return EXIT.ok;
      } finally {
        kernel.moduleFiles.close();
        if (kernel.file !== file) kernel.file?.close();
      }
    } finally {
      target.close();
    }
  } finally {
    file?.close();
  }
}
