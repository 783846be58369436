// What the caller of the Xen side has to do after an exit was handled.
import type { ShutdownReason } from '../domain/record.ts';

export type Effect =
  /** Run the same vCPU on. */
  | { readonly kind: 'continue' }
  /** Give another vCPU a turn. */
  | { readonly kind: 'yield' }
  /** The vCPU waits: XenSide.isBlocked or Machine.isIdle tell for how long. */
  | { readonly kind: 'block' }
  /** The domain stops for good; no vCPU runs any more. The first reason counts. */
  | { readonly kind: 'shutdown'; readonly reason: ShutdownReason };

export const CONTINUE: Effect = { kind: 'continue' };
export const YIELD: Effect = { kind: 'yield' };
export const BLOCK: Effect = { kind: 'block' };
