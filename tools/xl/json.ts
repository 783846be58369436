// The JSON of `xl list -l` and `xl create -n`: libxl's domain configuration, in the layout in which yajl prints it.
import type { GuestConfig } from '../../core/domain/config.ts';
import type { DomainRecord, ShutdownAction, ShutdownActions } from '../../core/domain/record.ts';

type Json = string | number | boolean | readonly Json[] | { readonly [key: string]: Json };

/** Pretty-prints as yajl does: four blanks, and an empty line inside an empty object. */
export function yajl(value: Json, indent = ''): string {
  if (typeof value !== 'object') return JSON.stringify(value);
  const inner = `${indent}    `;
  const isList = Array.isArray(value);
  const items = isList
    ? value.map((item: Json) => inner + yajl(item, inner))
    : Object.entries(value).map(([key, item]) => `${inner}${JSON.stringify(key)}: ${yajl(item, inner)}`);
  const [open, close] = isList ? '[]' : '{}';
  return `${open}\n${items.join(',\n')}\n${indent}${close}`;
}

interface DomainShape {
  readonly name: string;
  readonly uuid: string;
  readonly vcpus: number;
  readonly memoryKiB: number;
  readonly kernel: string;
  readonly ramdisk: string | undefined;
  readonly cmdline: string;
  readonly actions: ShutdownActions;
}

const actionWord = (action: ShutdownAction): string => action.replaceAll('-', '_');

/** libxl_domain_config of a domain; `stored` as libxl keeps it of one that exists. */
function domainConfig(shape: DomainShape, stored: boolean): Json {
  const actions = (['on_poweroff', 'on_reboot', 'on_watchdog', 'on_crash', 'on_soft_reset'] as const)
    // libxl leaves out what equals its own default.
    .filter((key) => shape.actions[key] !== 'destroy')
    .map((key) => [key, actionWord(shape.actions[key])] as const);
  return {
    c_info: {
      type: 'pvh',
      name: shape.name,
      ...(stored && { domid: 0xffff_ffff }),
      uuid: shape.uuid,
      run_hotplug_scripts: 'True',
    },
    b_info: {
      max_vcpus: shape.vcpus,
      avail_vcpus: Array.from({ length: shape.vcpus }, (_, id) => id),
      max_memkb: shape.memoryKiB,
      target_memkb: shape.memoryKiB,
      ...(stored && { video_memkb: 0 }),
      sched_params: stored ? { sched: 'credit2', weight: 256, cap: 0 } : {},
      claim_mode: 'True',
      kernel: shape.kernel,
      cmdline: shape.cmdline,
      ...(shape.ramdisk !== undefined && { ramdisk: shape.ramdisk }),
      'type.pvh': {},
      arch_arm: {},
      arch_x86: stored ? { msr_relaxed: 'False' } : {},
    },
    ...Object.fromEntries(actions),
  };
}

/** What `xl create -n` prints. */
export function dryRunJson(config: GuestConfig, uuid: string): string {
  const { memoryMiB, ...shape } = config;
  return `${yajl(domainConfig({ ...shape, uuid, memoryKiB: memoryMiB * 1024 }, false))}\n`;
}

/** What `xl list -l` prints. */
export function longListJson(records: readonly DomainRecord[]): string {
  const entries = records.map((record) => ({
    domid: record.domid,
    config: domainConfig(
      { ...record, vcpus: record.vcpus.length, kernel: record.kernel.path, ramdisk: record.ramdisk?.path },
      true,
    ),
  }));
  return `${yajl(entries)}\n\n`;
}
