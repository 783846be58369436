// BTF, the kernel's own type information (linux Documentation/bpf/btf.rst): sizes and member offsets by name. No functions,
// no variables, no enumerators.
//
// One pass over the types notes where each begins; everything else is read when it is asked for.
import { ByteReader } from '../bytes.ts';
import { FormatError } from '../errors.ts';
import type { MemberPlace, TypeLayouts } from './type-layouts.ts';

const MAGIC = 0xeb9f;
const HEADER = 24;
/** Fedora's and Debian's kernels have 5 to 8 MB and 130,000 types. */
export const MAX_BTF: number = 64 << 20;
const MAX_TYPES = 2 << 20;
/** Steps of one question: members looked at, types walked through. */
const MAX_STEPS = 1 << 20;
const MAX_DEPTH = 32;

const KIND_INT = 1;
const KIND_PTR = 2;
const KIND_ARRAY = 3;
const KIND_STRUCT = 4;
const KIND_UNION = 5;
const KIND_ENUM = 6;
const KIND_TYPEDEF = 8;
const KIND_VOLATILE = 9;
const KIND_CONST = 10;
const KIND_RESTRICT = 11;
const KIND_FLOAT = 16;
const KIND_TYPE_TAG = 18;
const KIND_ENUM64 = 19;

/** Kinds that only lead to another type. */
const TRANSPARENT = new Set([KIND_TYPEDEF, KIND_VOLATILE, KIND_CONST, KIND_RESTRICT, KIND_TYPE_TAG]);
/** Kinds whose third word is their size. */
const SIZED = new Set([KIND_INT, KIND_STRUCT, KIND_UNION, KIND_ENUM, KIND_FLOAT, KIND_ENUM64]);

/** Bytes behind the 12 of every type, by kind: fixed, and for each of its vlen elements. */
const EXTRA: readonly (readonly [fixed: number, each: number])[] = [
  [0, 0], // void
  [4, 0], // INT
  [0, 0], // PTR
  [12, 0], // ARRAY
  [0, 12], // STRUCT
  [0, 12], // UNION
  [0, 8], // ENUM
  [0, 0], // FWD
  [0, 0], // TYPEDEF
  [0, 0], // VOLATILE
  [0, 0], // CONST
  [0, 0], // RESTRICT
  [0, 0], // FUNC
  [0, 8], // FUNC_PROTO
  [4, 0], // VAR
  [0, 12], // DATASEC
  [0, 0], // FLOAT
  [4, 0], // DECL_TAG
  [0, 0], // TYPE_TAG
  [0, 12], // ENUM64
];

interface TypeRecord {
  readonly kind: number;
  readonly count: number;
  readonly flag: boolean;
  /** Size in bytes, or the type it leads to. */
  readonly sizeOrType: number;
  /** Offset of what follows the 12 bytes. */
  readonly at: number;
}

interface Steps {
  left: number;
}

class Btf implements TypeLayouts {
  readonly source = 'BTF';
  readonly #types: DataView;
  readonly #strings: Uint8Array;
  /** Offset of type `id` at index id - 1. */
  readonly #offsets: Uint32Array;
  /** Ids of named structs, unions and typedefs. */
  readonly #named: Uint32Array;
  readonly #ids = new Map<string, number>();
  readonly #members = new Map<string, MemberPlace | undefined>();

  constructor(types: Uint8Array, strings: Uint8Array) {
    this.#types = new DataView(types.buffer, types.byteOffset, types.byteLength);
    this.#strings = strings;
    const offsets = new Uint32Array(Math.min(MAX_TYPES, Math.floor(types.length / 12)));
    const named = new Uint32Array(offsets.length);
    let [count, names, at] = [0, 0, 0];
    while (at + 12 <= types.length && count < offsets.length) {
      const info = this.#types.getUint32(at + 4, true);
      const kind = (info >>> 24) & 0x1f;
      const extra = EXTRA[kind];
      // A kind of a later kernel: what lies behind it cannot be found; what lies before it stays good.
      if (!extra) break;
      offsets[count++] = at;
      const nameable = kind === KIND_STRUCT || kind === KIND_UNION || kind === KIND_TYPEDEF;
      if (nameable && this.#types.getUint32(at, true) !== 0) named[names++] = count;
      at += 12 + extra[0] + extra[1] * (info & 0xffff);
    }
    this.#offsets = offsets.slice(0, count);
    this.#named = named.slice(0, names);
  }

  sizeOf(type: string): number | undefined {
    return this.#sizeOfId(this.#find(type), { left: MAX_STEPS });
  }

  offsetOf(type: string, member: string): number | undefined {
    return this.memberOf(type, member)?.offset;
  }

  memberOf(type: string, member: string): MemberPlace | undefined {
    const key = `${type}.${member}`;
    if (!this.#members.has(key)) this.#members.set(key, this.#walk(type, member));
    return this.#members.get(key);
  }

  #walk(type: string, path: string): MemberPlace | undefined {
    const steps: Steps = { left: MAX_STEPS };
    let id: number | undefined = this.#find(type);
    let offset = 0;
    for (const name of path.split('.')) {
      const found: { offset: number; type: number } | undefined =
        id === undefined ? undefined : this.#member(id, new TextEncoder().encode(name), steps, 0);
      if (!found) return undefined;
      offset += found.offset;
      id = found.type;
    }
    return { offset, size: this.#sizeOfId(id, steps) };
  }

  /** Type `id` without typedefs and qualifiers. */
  #record(id: number, steps: Steps): TypeRecord | undefined {
    for (let next = id; --steps.left > 0; ) {
      const at = this.#offsets[next - 1];
      if (at === undefined) return undefined;
      const info = this.#types.getUint32(at + 4, true);
      const kind = (info >>> 24) & 0x1f;
      const sizeOrType = this.#types.getUint32(at + 8, true);
      if (!TRANSPARENT.has(kind))
        return { kind, count: info & 0xffff, flag: info >>> 31 !== 0, sizeOrType, at: at + 12 };
      next = sizeOrType;
    }
    return undefined;
  }

  #sizeOfId(id: number | undefined, steps: Steps, depth = 0): number | undefined {
    const type = id === undefined ? undefined : this.#record(id, steps);
    if (!type || depth > MAX_DEPTH) return undefined;
    if (type.kind === KIND_PTR) return 8;
    if (SIZED.has(type.kind)) return type.sizeOrType;
    if (type.kind !== KIND_ARRAY || type.at + 12 > this.#types.byteLength) return undefined;
    const element = this.#sizeOfId(this.#types.getUint32(type.at, true), steps, depth + 1);
    return element === undefined ? undefined : element * this.#types.getUint32(type.at + 8, true);
  }

  #member(
    id: number,
    name: Uint8Array,
    steps: Steps,
    depth: number,
  ): { offset: number; type: number } | undefined {
    const type = this.#record(id, steps);
    if (!type || depth > MAX_DEPTH || (type.kind !== KIND_STRUCT && type.kind !== KIND_UNION))
      return undefined;
    const anonymous: { offset: number; type: number }[] = [];
    for (let index = 0; index < type.count; index++) {
      const at = type.at + index * 12;
      if (at + 12 > this.#types.byteLength || --steps.left < 0) return undefined;
      const nameAt = this.#types.getUint32(at, true);
      const bits = this.#types.getUint32(at + 8, true);
      // With the flag the high byte is the width of a bit field.
      const member = {
        offset: (type.flag ? bits & 0xffffff : bits) >>> 3,
        type: this.#types.getUint32(at + 4, true),
      };
      if (nameAt === 0) anonymous.push(member);
      else if (this.#isNamed(nameAt, name)) return member;
    }
    for (const { offset, type: inner } of anonymous) {
      const found = this.#member(inner, name, steps, depth + 1);
      if (found) return { offset: offset + found.offset, type: found.type };
    }
    return undefined;
  }

  #find(type: string): number | undefined {
    if (!this.#ids.has(type)) {
      const name = new TextEncoder().encode(type);
      const id = this.#named.find((candidate) =>
        this.#isNamed(this.#types.getUint32(this.#offsets[candidate - 1] ?? 0, true), name),
      );
      this.#ids.set(type, id ?? 0);
    }
    return this.#ids.get(type) || undefined;
  }

  #isNamed(at: number, name: Uint8Array): boolean {
    const strings = this.#strings;
    // Most differ in their length or in their first letter.
    if (strings[at + name.length] !== 0 || strings[at] !== name[0]) return false;
    for (let index = 1; index < name.length; index++) if (strings[at + index] !== name[index]) return false;
    return true;
  }
}

/**
 * Layouts out of a whole BTF blob (little-endian, version 1).
 * @throws FormatError when its header does not fit it.
 */
export function readBtf(bytes: Uint8Array): TypeLayouts {
  const reader = new ByteReader('BTF', bytes);
  const [magic, version] = [reader.u16(), reader.u8()];
  if (magic !== MAGIC || version !== 1)
    throw reader.error(`no BTF: magic 0x${magic.toString(16)}, version ${version}`);
  reader.skip(1);
  const header = reader.u32();
  const [typeAt, typeSize, stringAt, stringSize] = [reader.u32(), reader.u32(), reader.u32(), reader.u32()];
  if (header < HEADER || bytes.length > MAX_BTF)
    throw new FormatError(`a header of ${header} bytes, ${bytes.length} bytes in all`, { source: 'BTF' });
  const types = reader.seek(header + typeAt).take(typeSize);
  return new Btf(types, reader.seek(header + stringAt).take(stringSize));
}
