// What two domains were told to be, as keys and values. Order, white space and what cannot matter to a crash are no difference.
import { parseConfigFile } from '../../../core/domain/config-file.ts';
import { PvhError } from '../../../symbols/errors.ts';
import { parseHostConfig } from '../host-config.ts';
import type { Report } from '../report.ts';
import type { Pair } from './pair.ts';

/** Keys that name a domain or say what becomes of it once it has ended. */
const HARMLESS = /^(name|uuid|domid|on_(poweroff|reboot|crash|watchdog|soft_reset))$/;
/** Keys whose values are command lines: lists of words. */
const COMMAND_LINES = new Set(['extra', 'cmdline']);

export interface SettingDifference extends Pair {
  /** True where it cannot have to do with a crash. */
  readonly harmless: boolean;
}

/** Keys and values of a configuration; one that does not parse is a single value. */
function settings({ config, hostConfig }: Report): ReadonlyMap<string, string> {
  if (config === undefined) return (hostConfig && parseHostConfig(hostConfig)?.settings) || new Map();
  try {
    const file = parseConfigFile(config, 'guest.cfg');
    return new Map(file.names.map((name) => [name, JSON.stringify(file.value(name))]));
  } catch (error) {
    if (!(error instanceof PvhError)) throw error;
    return new Map([['guest.cfg', `not readable: ${error.message.split('\n')[0]}`]]);
  }
}

const words = (value: string | undefined): string[] =>
  (value ?? '').replace(/^"|"$/g, '').split(/\s+/).filter(Boolean);

/** Of two command lines, the words that only one has. */
function wordsApart(what: string, a: string | undefined, b: string | undefined): Pair {
  const [left, right] = [words(a), words(b)];
  const only = (these: readonly string[], those: readonly string[]) =>
    these.filter((word) => !those.includes(word)).join(' ') || undefined;
  return { what: `${what}, words`, a: only(left, right), b: only(right, left) };
}

export function compareSettings(a: Report, b: Report): SettingDifference[] {
  const [left, right] = [settings(a), settings(b)];
  // xl.cfg says what was asked for, a host's list what it is: they have in common what both name.
  const alike = (a.config === undefined) === (b.config === undefined);
  const isCommon = (key: string): boolean => alike || (left.has(key) && right.has(key));
  const keys = [...new Set([...left.keys(), ...right.keys()])].filter(isCommon).sort();
  return keys.flatMap((what) => {
    const pair: Pair = { what, a: left.get(what), b: right.get(what) };
    if (pair.a === pair.b) return [];
    const apart = COMMAND_LINES.has(what) ? wordsApart(what, pair.a, pair.b) : pair;
    return apart.a === apart.b ? [] : [{ ...apart, harmless: HARMLESS.test(what) }];
  });
}
