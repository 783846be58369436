import { describe, expect, test } from 'vitest';
import { planShutdown, preservedSuffix } from '../../core/domain/lifecycle.ts';
import {
  SHUTDOWN_ACTIONS,
  SHUTDOWN_REASONS,
  type ShutdownAction,
  type ShutdownActions,
  type ShutdownReason,
} from '../../core/domain/record.ts';

/** Every key has another action, so that a plan shows which key was asked. */
const actions: ShutdownActions = {
  on_poweroff: 'destroy',
  on_reboot: 'restart',
  on_crash: 'preserve',
  on_watchdog: 'coredump-destroy',
  on_soft_reset: 'soft-reset',
};

describe('lifecycle', () => {
  const keys: [ShutdownReason, ShutdownAction][] = [
    ['poweroff', 'destroy'],
    ['reboot', 'restart'],
    ['suspend', 'preserve'],
    ['crash', 'preserve'],
    ['watchdog', 'coredump-destroy'],
    ['soft_reset', 'soft-reset'],
  ];
  test.each(keys)('%s asks for %s', (reason, action) => {
    expect(planShutdown(reason, actions).action).toBe(action);
  });

  const steps: [ShutdownAction, string][] = [
    ['destroy', ''],
    ['restart', 'restart'],
    ['rename-restart', 'preserve rename restart'],
    ['preserve', 'preserve'],
    ['coredump-destroy', 'dump'],
    ['coredump-restart', 'dump restart'],
    ['soft-reset', 'preserve refused'],
  ];
  test.each(steps)('%s: %s', (action, taken) => {
    const plan = planShutdown('crash', { ...actions, on_crash: action });
    const names = Object.entries(plan).flatMap(([name, value]) => (name !== 'action' && value ? [name] : []));
    expect(names.sort()).toEqual(taken.split(' ').filter(Boolean).sort());
  });

  test('every reason and action has a plan', () => {
    for (const reason of SHUTDOWN_REASONS)
      for (const action of SHUTDOWN_ACTIONS)
        expect(
          planShutdown(reason, {
            on_poweroff: action,
            on_reboot: action,
            on_crash: action,
            on_watchdog: action,
            on_soft_reset: action,
          }),
        ).toBeDefined();
  });

  test('the suffix of rename-restart', () => {
    expect(preservedSuffix(new Date('2026-11-22T10:59:58.123Z'))).toBe('-20261122T1059Z');
  });
});
