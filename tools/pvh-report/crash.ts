// crash.json: vCPUs, their registers and stacks with names, as `diff` needs them and without the symbols at hand.
import { FormatError } from '../../symbols/errors.ts';
import { asArray, asBoolean, asNumber, asObject, asOptional, asString, parseJson } from '../shared/json.ts';

const CRASH_SCHEMA = 'pvh-report-crash/1';

export interface CrashRegister {
  readonly name: string;
  /** 16 hex digits. */
  readonly value: string;
  /** `name` or `name+0xoff` when it points into the kernel image. */
  readonly symbol?: string | undefined;
}

export interface CrashFrame {
  /** 16 hex digits. */
  readonly address: string;
  readonly symbol?: string | undefined;
  /** `registers`, `orc`, `cfi`, `fp` or `scan`; absent in reports from before it was noted. */
  readonly how?: string | undefined;
}

export interface CrashVcpu {
  readonly id: number;
  readonly online: boolean;
  /** Why there are no registers. */
  readonly missing?: string | undefined;
  readonly registers: readonly CrashRegister[];
  /** The least certain way in which frames were found: unwind tables (`orc`, `cfi`), frame pointers (`fp`), by looks (`scan`). */
  readonly trace: string;
  readonly frames: readonly CrashFrame[];
}

export const renderCrash = (vcpus: readonly CrashVcpu[]): string =>
  `${JSON.stringify({ schema: CRASH_SCHEMA, vcpus }, undefined, 1)}\n`;

function asHex16(value: unknown, place: string): string {
  const text = asString(value, place);
  if (!/^[0-9a-f]{16}$/.test(text)) throw new FormatError('not 16 hex digits', { source: place });
  return text;
}

/** More than any kernel has of them; a list is refused beyond. */
const LIMITS = { vcpus: 128, registers: 256, frames: 2048 };

/** @throws FormatError */
export function parseCrash(text: string, source: string): CrashVcpu[] {
  const top = asObject(parseJson(text, source), source);
  if (top['schema'] !== CRASH_SCHEMA) throw new FormatError(`not of schema ${CRASH_SCHEMA}`, { source });
  return asArray(top['vcpus'], `${source}: vcpus`, LIMITS.vcpus).map((value) => {
    const vcpu = asObject(value, `${source}: vcpus`);
    return {
      id: asNumber(vcpu['id'], `${source}: id`),
      online: asBoolean(vcpu['online'], `${source}: online`),
      missing: asOptional(asString, vcpu['missing'], `${source}: missing`),
      registers: asArray(vcpu['registers'], `${source}: registers`, LIMITS.registers).map((each) => {
        const register = asObject(each, `${source}: registers`);
        return {
          name: asString(register['name'], `${source}: registers`),
          value: asHex16(register['value'], `${source}: registers`),
          symbol: asOptional(asString, register['symbol'], `${source}: registers`),
        };
      }),
      trace: asString(vcpu['trace'], `${source}: trace`),
      frames: asArray(vcpu['frames'], `${source}: frames`, LIMITS.frames).map((each) => {
        const frame = asObject(each, `${source}: frames`);
        return {
          address: asHex16(frame['address'], `${source}: frames`),
          symbol: asOptional(asString, frame['symbol'], `${source}: frames`),
          how: asOptional(asString, frame['how'], `${source}: frames`),
        };
      }),
    };
  });
}
