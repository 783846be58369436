// What happens to a domain that has shut down: reason -> on_* key -> action -> steps. Decides only; process.ts does it.
import type { ShutdownAction, ShutdownActions, ShutdownReason } from './record.ts';

/** The steps of one action, in the order in which they are taken. */
export interface ShutdownSteps {
  /** Write the dump `<state>/dump/NAME`, over an older one. */
  readonly dump: boolean;
  /** Keep the domain with its memory. */
  readonly preserve: boolean;
  /** Give the kept domain the name NAME-YYYYMMDDTHHMMZ, so that its own name is free. */
  readonly rename: boolean;
  /** Build it anew from its configuration. */
  readonly restart: boolean;
}

const steps = (...taken: readonly (keyof ShutdownSteps)[]): ShutdownSteps => ({
  dump: taken.includes('dump'),
  preserve: taken.includes('preserve'),
  rename: taken.includes('rename'),
  restart: taken.includes('restart'),
});

/** xl.cfg(5), on_poweroff and following. */
const STEPS: Readonly<Record<ShutdownAction, ShutdownSteps>> = {
  destroy: steps(),
  restart: steps('restart'),
  'rename-restart': steps('preserve', 'rename', 'restart'),
  preserve: steps('preserve'),
  'coredump-destroy': steps('dump'),
  'coredump-restart': steps('dump', 'restart'),
  // Refused: the guest stays as it is, which loses nothing.
  'soft-reset': steps('preserve'),
};

/** Which key a reason asks; xen/include/public/sched.h gives the numbers. A triple fault reports `reboot`. */
const KEYS: Readonly<Record<ShutdownReason, keyof ShutdownActions | undefined>> = {
  poweroff: 'on_poweroff',
  reboot: 'on_reboot',
  suspend: undefined,
  crash: 'on_crash',
  watchdog: 'on_watchdog',
  soft_reset: 'on_soft_reset',
};

export interface ShutdownPlan extends ShutdownSteps {
  readonly action: ShutdownAction;
  /** Why the action itself is not taken. */
  readonly refused?: string;
}

/** What the configuration asks for after a shutdown for `reason`. */
export function planShutdown(reason: ShutdownReason, actions: ShutdownActions): ShutdownPlan {
  const key = KEYS[reason];
  // Nobody can resume a suspended guest here yet, so it is kept.
  const action = key === undefined ? 'preserve' : actions[key];
  const plan: ShutdownPlan = { action, ...STEPS[action] };
  if (action !== 'soft-reset') return plan;
  return { ...plan, refused: 'a domain cannot be reset in place here; it is preserved' };
}

/** xl's suffix of a domain kept by rename-restart: `-20261122T1059Z`. */
export const preservedSuffix = (time: Date): string =>
  `-${time.toISOString().replace(/^(\d+)-(\d+)-(\d+)T(\d+):(\d+).*$/, '$1$2$3T$4$5Z')}`;
