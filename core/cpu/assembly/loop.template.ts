// The interpreter loop. generate.mjs puts the cases in and writes generated/loop.ts.
import {
  LAZY_A, LAZY_B, LAZY_CARRY, LAZY_KIND, LAZY_RESULT, RCX, RIP_PAGE, RSP,
} from '../../layout';
import {
  opAdc, opAdd, opAnd, opCmp, opCmpxchg, opCmpxchg16b, opCmpxchg8b, opDec, opInc, opNeg, opNot, opOr, opSbb, opSub, opTest, opXadd, opXor,
} from '../alu';
import {
  opBsf, opBsr, opBswap, opBt, opBtc, opBtr, opBts, opCrc32, opCrc32Byte, opLzcnt, opMovbe, opPopcnt, opTzcnt,
} from '../bit';
import {
  opAdcx, opAdox, opAndn, opBextr, opBlsi, opBlsmsk, opBlsr, opBzhi, opMulx, opPdep, opPext, opRorx, opSarx, opShlx, opShrx,
} from '../bmi';
import {
  opArpl, opBound, opCbw, opClc, opCld, opCmc, opCmov, opCwd, opLahf, opLea, opMov, opMovFromOffset, opMovFromSegment, opMovToOffset,
  opMovsx16, opMovsx8, opMovsxd, opMovzx16, opMovzx8, opSahf, opSet, opStc, opStd, opTouch, opXchg, opXlat,
} from '../data';
import { codeChanged } from '../code-cache';
import { eventsPending } from '../events';
import {
  border, branchTo, budgetLeft, callIndirect, callNear, chargeBudget, continueRun, crossPage, jumpIndirect, jumpTo, leave, mustLeave,
  returnNear, runFp, runSystem, stepEnd, stringAgain, takeJcxz, takeLoop, takeLoopnz, takeLoopz,
} from '../execute';
import {
  isBelow, isBelowOrEqual, isLess, isLessOrEqual, isOverflow, isParity, isSign, isZero, LAZY_ADC, LAZY_ADD, LAZY_DEC, LAZY_IMUL64, LAZY_INC,
  LAZY_LOGIC, LAZY_MUL, LAZY_SAR, LAZY_SBB, LAZY_SHL, LAZY_SHR, LAZY_SUB,
} from '../flags';
import { readForWriteSlow, readSlow, writeSlow } from '../memory';
import {
  opAaa, opAad, opAam, opAas, opDaa, opDas, opDiv, opIdiv, opImul, opImul1, opMul, opSalc,
} from '../muldiv';
import {
  R_BASE, R_COST, R_DISP, R_IMM, R_INDEX, R_LENGTH, R_OFFSET, R_ORDINAL, R_REG1, R_REG2, R_SCALE, R_SEGBASE, R_TARGET,
} from '../record';
import { opRcl, opRcr, opRol, opRor, opSar, opShl, opShld, opShr, opShrd } from '../shift';
import { opEnter, opLeave, opPop, opPopAll, opPush, opPushAll, opPushSegment } from '../stack';
import { GP, UD, faultPending, isCanonical, raiseFault } from '../state';
import { opCmps, opLods, opMovs, opScas, opStos } from '../string';
import { TAG_READ, TAG_WRITE, TLB_ADDEND, tlbEntry } from '../tlb';
import { noteCall, noteReturn, RECORDING } from '../transfers';
import { FP_BASE } from './tables';

/** Executes from record `first` on until a record says EXIT. */
export function runLoop(first: usize): void {
  let rec = first;
  for (;;) {
    switch (load<u16>(rec)) {
    /* CASES */
    default:
      if (load<u16>(rec) < FP_BASE) {
        rec = runSystem(rec);
        continue;
      }
      runFp(rec);
    }
    if (mustLeave()) rec = leave(rec);
    else rec += 32;
  }
}
