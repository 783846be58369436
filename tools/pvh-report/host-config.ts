// The configuration of a domain of a Xen host, out of `xl list -l`: by the names that the same settings have in an xl.cfg.
import { basename } from 'node:path';
import { FormatError } from '../../symbols/errors.ts';
import { asArray, asNumber, asObject, asOptional, asString, parseJson } from '../shared/json.ts';

export interface HostConfig {
  readonly cmdline: string | undefined;
  /** Without its folder. */
  readonly kernel: string | undefined;
  readonly vcpus: number | undefined;
  /** All that is known, as `diff` compares it: keys of an xl.cfg and values as JSON. */
  readonly settings: ReadonlyMap<string, string>;
}

const PLACE = 'xl-list-long.json';
const KIB_PER_MIB = 1024;

const text = (value: unknown): string | undefined => asOptional(asString, value, PLACE);
const file = (value: unknown): string | undefined => {
  const path = text(value);
  return path === undefined ? undefined : basename(path);
};
const count = (value: unknown): string | undefined => asOptional(asNumber, value, PLACE)?.toString();
const mebibytes = (value: unknown): string | undefined => {
  const kib = asOptional(asNumber, value, PLACE);
  return kib === undefined ? undefined : String(kib / KIB_PER_MIB);
};

/** Where libxl's JSON has what an xl.cfg calls so (tools/libs/light/libxl_types.idl: libxl_domain_config). */
const SETTINGS: readonly (readonly [string, string, string, (value: unknown) => string | undefined])[] = [
  ['name', 'c_info', 'name', text],
  ['type', 'c_info', 'type', text],
  ['kernel', 'b_info', 'kernel', file],
  ['ramdisk', 'b_info', 'ramdisk', file],
  ['cmdline', 'b_info', 'cmdline', text],
  ['vcpus', 'b_info', 'max_vcpus', count],
  ['memory', 'b_info', 'target_memkb', mebibytes],
  ['maxmem', 'b_info', 'max_memkb', mebibytes],
];
const ACTIONS = ['on_poweroff', 'on_reboot', 'on_crash', 'on_watchdog', 'on_soft_reset'] as const;

/** @param json of `xl list -l` of one domain. @returns undefined when it is none. */
export function parseHostConfig(json: string): HostConfig | undefined {
  try {
    const [domain] = asArray(parseJson(json, PLACE), PLACE);
    const config = asObject(asObject(domain, PLACE)['config'], PLACE);
    const settings = new Map<string, string>();
    const note = (key: string, value: string | undefined): void => {
      if (value !== undefined) settings.set(key, JSON.stringify(value));
    };
    for (const [key, part, field, read] of SETTINGS) note(key, read(asObject(config[part], PLACE)[field]));
    for (const key of ACTIONS) note(key, text(config[key]));
    const built = asObject(config['b_info'], PLACE);
    return {
      cmdline: text(built['cmdline']),
      kernel: file(built['kernel']),
      vcpus: asOptional(asNumber, built['max_vcpus'], PLACE),
      settings,
    };
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
