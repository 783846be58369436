// The CPU core's exports (core/machine/wasm.ts lists them for TypeScript). See ../layout.ts for the memory that both share.
export {
  fireTimers,
  flushEveryTlb,
  hostAt,
  hostWrote,
  initialise,
  isRunnable,
  mapFrameAt,
  nextTimer,
  raiseInterrupt,
  raiseNmi,
  registersChanged,
  resetVcpu,
  run,
  switchTo,
  translateLinear,
  unmapFrameAt,
} from './vcpu';
