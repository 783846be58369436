// From a record and its config file to a Domain ready to run: opens the kernel, the ramdisk and the CPU's wasm.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import type { ByteSource } from '../../symbols/bytes.ts';
import { PvhError } from '../../symbols/errors.ts';
import { apicId } from '../boot/layout.ts';
import { buildPvhGuest } from '../boot/pvh.ts';
import { hostCodecs } from '../host/codecs.ts';
import { FileSource } from '../host/file-source.ts';
import { Machine } from '../machine/machine.ts';
import { guestCpuid, parseCpuidFilters } from '../xen/cpuid.ts';
import type { XenOptions } from '../xen/guest.ts';
import { XenSide } from '../xen/xen-side.ts';
import type { GuestConfig } from './config.ts';
import { Domain } from './domain.ts';
import type { GuestOutput } from './guest-output.ts';
import type { StartMessage } from './protocol.ts';
import type { DomainRecord } from './record.ts';

/** The Xen that guests see and that dumps name. */
export const XEN_VERSION: XenOptions['version'] = { major: 4, minor: 17, extra: '.0-pvh-report' };
const VENDOR = 'GenuineIntel';
const MIB = 1 << 20;
const CHUNK_BYTES = 4 << 20;

/** SHA-256 of a whole file, read in pieces. */
export function digestOf(source: ByteSource, progress: (done: number) => void): string {
  const hash = createHash('sha256');
  for (let offset = 0; offset < source.size; offset += CHUNK_BYTES) {
    progress(offset);
    hash.update(source.read(offset, Math.min(CHUNK_BYTES, source.size - offset)));
  }
  return hash.digest('hex');
}

function compileCpu(): WebAssembly.Module {
  const path = new URL('../cpu/build/cpu.wasm', import.meta.url);
  // The interpreter's loop is one function that is entered for long stretches: the optimising compiler at once, not after
  // a while of baseline code (2 % of the user CPU of a kernel boot). Functions are compiled at their first call.
  setFlagsFromString('--no-liftoff');
  try {
    return new WebAssembly.Module(readFileSync(path));
  } catch (cause) {
    throw new PvhError('EBUILD', `${path.pathname} is missing or damaged: run "npm run build"`, { cause });
  }
}

export interface BuiltDomain {
  readonly domain: Domain;
  /** The record with what was learnt from the files. */
  readonly record: DomainRecord;
  readonly config: GuestConfig;
}

/**
 * Builds the guest that a config describes. Of the record it takes number, name, UUID and the paths of kernel and ramdisk.
 * @param report hears how far it is.
 * @throws PvhError and its kinds: what is wrong with the kernel, the ramdisk, the memory size.
 */
export function buildDomain(
  config: GuestConfig,
  record: DomainRecord,
  output: GuestOutput,
  report: (message: StartMessage) => void,
): BuiltDomain {
  const { domid, name, uuid } = record;
  const opened: FileSource[] = [];
  const open = (path: string, what: string): { source: FileSource; digest: string } => {
    const source = new FileSource(path);
    opened.push(source);
    const text = `Reading ${what} ${path}`;
    const digest = digestOf(source, (done) => report({ kind: 'progress', text, done, total: source.size }));
    return { source, digest };
  };
  try {
    const kernel = open(record.kernel.path, 'kernel');
    const ramdisk = record.ramdisk === undefined ? undefined : open(record.ramdisk.path, 'ramdisk');
    report({ kind: 'progress', text: 'Loading the kernel into guest memory' });
    const { memoryMiB, vcpus, cmdline, seed, wallclock } = config;
    const machine = Machine.create({
      module: compileCpu(),
      ramBytes: memoryMiB * MIB,
      vcpus,
      cpuid: guestCpuid({
        vendor: VENDOR,
        vcpus,
        domid,
        version: XEN_VERSION,
        filters: config.cpuid === undefined ? [] : parseCpuidFilters(config.cpuid),
      }),
      apicIds: Array.from({ length: vcpus }, (_, vcpu) => apicId(vcpu)),
      seed,
    });
    const xen = new XenSide(machine, {
      domid,
      uuid,
      name,
      wallclockSeconds: wallclock.seconds,
      maxMemKiB: memoryMiB * 1024,
      version: XEN_VERSION,
      vendor: VENDOR,
      onConsole: (bytes) => output.addConsole(bytes),
      onLog: (line) => output.addLine(line),
    });
    const boot = buildPvhGuest(machine, {
      kernel: kernel.source,
      ramdisk: ramdisk?.source,
      cmdline,
      codecs: hostCodecs,
    });
    const domain = new Domain(machine, xen, XEN_VERSION);
    return {
      domain,
      config,
      record: {
        ...record,
        builtAs: { name, uuid },
        kernel: { path: record.kernel.path, sha256: kernel.digest, buildId: boot.buildId },
        ramdisk: record.ramdisk && { path: record.ramdisk.path, sha256: ramdisk?.digest ?? '' },
        wallclock,
        vcpus: domain.vcpuRecords(),
      },
    };
  } finally {
    for (const source of opened) source.close();
  }
}
