// Where the state directory and the cache are. XDG Base Directory Specification 0.8 for the default.
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** @param env the process environment; PVH_STATE_DIR wins. */
export function stateDirectory(env: Readonly<Record<string, string | undefined>>): string {
  const { PVH_STATE_DIR, XDG_STATE_HOME } = env;
  if (PVH_STATE_DIR) return resolve(PVH_STATE_DIR);
  return join(XDG_STATE_HOME || join(homedir(), '.local/state'), 'pvh-report');
}

/** What can be had again. */
export const cacheDirectory = ({ XDG_CACHE_HOME }: Readonly<Record<string, string | undefined>>): string =>
  join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'pvh-report');
