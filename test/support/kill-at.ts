// Ends a process with SIGKILL in front of one of the steps in which files change: no moment between two of them is left out.

/** @param step 0 is the first. @returns an option of node; a process with fewer steps ends as it always does. */
export function killAtStep(step: number): string {
  const script = `
    import fs from 'node:fs';
    import { syncBuiltinESMExports } from 'node:module';
    let left = ${step};
    const changes = { openSync: (_, flags) => flags === 'wx', writeSync: () => true, fsyncSync: () => true, renameSync: () => true };
    for (const [name, isStep] of Object.entries(changes)) {
      const real = fs[name];
      fs[name] = (...args) => {
        if (isStep(...args) && left-- === 0) process.kill(process.pid, 'SIGKILL');
        return real(...args);
      };
    }
    syncBuiltinESMExports();`;
  return `--import=data:text/javascript,${encodeURIComponent(script)}`;
}
