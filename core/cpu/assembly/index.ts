// The CPU core's exports (core/machine/wasm.ts lists them for TypeScript). See ../layout.ts for the memory that both share.
export {
  answer,
  fireTimers,
  flushEveryTlb,
  hostAt,
  hostWrote,
  initialise,
  injectException,
  isRunnable,
  loadPagePointers,
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
export { instructionLength } from './execute';
