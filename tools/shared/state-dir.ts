// Where the state directory is. XDG Base Directory Specification 0.8 for the default.
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** @param env the process environment; PVH_STATE_DIR wins. */
export function stateDirectory(env: Readonly<Record<string, string | undefined>>): string {
  const { PVH_STATE_DIR, XDG_STATE_HOME } = env;
  if (PVH_STATE_DIR) return resolve(PVH_STATE_DIR);
  return join(XDG_STATE_HOME || join(homedir(), '.local/state'), 'pvh-report');
}
