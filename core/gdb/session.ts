// One debugger's session with a guest that stands still: a packet in, packets out. Read only: what would change the guest is
// answered with why it cannot be. Knows no sockets. (Debugging with GDB, appendix "Remote Protocol".)
import { MemoryFault } from '../../symbols/errors.ts';
import type { VcpuRegisters } from '../machine/registers.ts';
import type { TargetVcpu } from '../target/target.ts';
import { inLongMode, VirtualMemory } from '../target/virtual-memory.ts';
import { libraryList, physicalMap, threadList, threadOf, virtualMap } from './documents.ts';
import { FileTransfer } from './file-transfer.ts';
import type { GdbGuest } from './guest.ts';
import { bytesToHex, bytesToText, escapeBinary, hexToBytes, textToBytes } from './packet.ts';
import { RegisterFile } from './registers.ts';

/** Most bytes of a packet, either way: gdb takes no larger ones. */
export const MAX_PACKET = 0x4000;
/** Bytes whose hexadecimal fits into a packet with something before it. */
const MAX_READ = MAX_PACKET / 2 - 16;
/** Characters of what a monitor command prints. */
const MAX_OUTPUT = 8 << 20;
const PAGE = 4096n;

export interface Answer {
  /** Payloads, in order. None is a packet that gets no answer. */
  readonly replies: readonly string[];
  readonly after?: 'close' | 'no acknowledgements';
}

const OK = 'OK';
const NOTHING = '';
/** As QEMU says that memory cannot be read: EFAULT in decimal. */
const UNREADABLE = 'E14';
const MALFORMED = 'E.the packet cannot be understood';
const STANDS = 'E.the guest does not run: it is a crashed or paused one, and can only be looked at';
const READ_ONLY = 'E.the guest can only be read: its registers and memory stay as they are';

/** As many bytes as can be read from `address` on. */
function readAsMuch(
  read: (address: bigint, into: Uint8Array) => void,
  address: bigint,
  length: number,
): Uint8Array {
  const bytes = new Uint8Array(length);
  let done = 0;
  const attempt = (count: number): boolean => {
    try {
      read(address + BigInt(done), bytes.subarray(done, done + count));
    } catch (error) {
      if (error instanceof MemoryFault) return false;
      throw error;
    }
    done += count;
    return true;
  };
  if (attempt(length)) return bytes;
  // Page by page it is found out how far it goes.
  while (done < length) {
    const inPage = Number(PAGE - ((address + BigInt(done)) % PAGE));
    if (!attempt(Math.min(inPage, length - done))) break;
  }
  return bytes.subarray(0, done);
}

export class GdbSession {
  readonly #guest: GdbGuest;
  readonly #registers: RegisterFile;
  readonly #memories = new Map<number, VirtualMemory | undefined>();
  readonly #documents = new Map<string, string>();
  readonly #transfers: FileTransfer;
  /** Whose registers and memory are read (`Hg`). */
  #vcpu: TargetVcpu;
  #physical = false;

  /** @throws RangeError for a target without vCPUs. */
  constructor(guest: GdbGuest) {
    const { vcpus } = guest.target;
    const vcpu = vcpus.find(({ id }) => id === guest.firstVcpu) ?? vcpus[0];
    if (!vcpu) throw new RangeError('a target without vCPUs');
    this.#guest = guest;
    this.#vcpu = vcpu;
    this.#transfers = new FileTransfer(guest.files ?? [], MAX_READ);
    const known = vcpus.flatMap(({ registers }) => (registers ? [registers] : []));
    const up = vcpus.flatMap(({ online, registers }) => (online && registers ? [registers] : []));
    this.#registers = new RegisterFile(up.some(inLongMode) ? 64 : 32, known);
  }

  /** Never throws for a packet, whatever is in it. */
  answer(packet: string): Answer {
    for (const [pattern, handle] of this.#handlers) {
      const match = pattern.exec(packet);
      if (!match) continue;
      const answer = handle(match);
      return typeof answer === 'string' ? { replies: [answer] } : answer;
    }
    return { replies: [NOTHING] };
  }

  /** Tried in this order; a packet that none knows gets the empty answer. */
  readonly #handlers: readonly (readonly [RegExp, (match: RegExpExecArray) => string | Answer])[] = [
    [/^qSupported/, () => this.#supported()],
    [/^QStartNoAckMode$/, () => ({ replies: [OK], after: 'no acknowledgements' })],
    [/^\?$/, () => `T05thread:${this.#thread};`],
    [/^g$/, () => this.#registers.all(this.#vcpu.registers)],
    [/^p([0-9a-f]{1,4})$/, ([, n = '']) => this.#register(Number.parseInt(n, 16))],
    [/^m([0-9a-f]{1,16}),([0-9a-f]{1,8})$/i, ([, at = '', n = '']) => this.#read(at, n)],
    [/^H([gc])(.*)$/, ([, what = '', id = '']) => this.#choose(what, id)],
    [/^T(.+)$/, ([, id = '']) => (this.#find(id) ? OK : 'E.there is no such thread')],
    [/^qC$/, () => `QC${this.#thread}`],
    [/^qfThreadInfo$/, () => `m${this.#guest.target.vcpus.map(({ id }) => hexThread(id)).join(',')}`],
    [/^qsThreadInfo$/, () => 'l'],
    [/^qThreadExtraInfo,(.+)$/, ([, id = '']) => this.#threadText(id)],
    [
      /^qXfer:([\w-]+):(read|write):([^:]*):(?:([0-9a-f]{1,8}),([0-9a-f]{1,8})$|)/i,
      (match) => this.#transfer(match),
    ],
    [/^vFile:(.*)$/s, ([, request = '']) => this.#transfers.answer(request)],
    [/^qOffsets$/, () => this.#offsets()],
    [/^qAttached/, () => '1'],
    [/^qSymbol:/, () => OK],
    [/^qRcmd,(.*)$/s, ([, hex = '']) => this.#monitor(hex)],
    [/^qqemu\.Supported$/, () => 'PhyMemMode'],
    [/^qqemu\.PhyMemMode$/, () => (this.#physical ? '1' : '0')],
    [/^Qqemu\.PhyMemMode:([01])$/, ([, on]) => this.#setPhysical(on === '1')],
    [/^D(?:;|$)|^vKill;/, () => ({ replies: [OK], after: 'close' })],
    [/^k/, () => ({ replies: [], after: 'close' })],
    [/^(?:[cCsS]|vCont;|vRun;|R)/, () => STANDS],
    [/^[GPMXzZ]/, () => READ_ONLY],
    [/^[gmpHT?]/, () => MALFORMED],
  ];

  get #thread(): string {
    return hexThread(this.#vcpu.id);
  }

  #supported(): string {
    return [
      `PacketSize=${MAX_PACKET.toString(16)}`,
      'QStartNoAckMode+',
      'qXfer:features:read+',
      'qXfer:threads:read+',
      'qXfer:memory-map:read+',
      ...(this.#guest.files?.some(({ isLibrary }) => isLibrary) ? ['qXfer:libraries:read+'] : []),
    ].join(';');
  }

  #register(number: number): string {
    return this.#registers.one(this.#vcpu.registers, number) ?? 'E.there is no such register';
  }

  #find(id: string): TargetVcpu | undefined {
    if (!/^[0-9a-f]{1,8}$/i.test(id)) return undefined;
    const number = Number.parseInt(id, 16);
    return this.#guest.target.vcpus.find((vcpu) => threadOf(vcpu.id) === number);
  }

  #choose(what: string, id: string): string {
    // Any thread, and all threads, is the one that is looked at.
    const vcpu = id === '0' || id === '-1' ? this.#vcpu : this.#find(id);
    if (!vcpu) return 'E.there is no such thread';
    if (what === 'g') this.#vcpu = vcpu;
    return OK;
  }

  #threadText(id: string): string {
    const vcpu = this.#find(id);
    if (!vcpu) return 'E.there is no such thread';
    const { name, text } = this.#guest.namesOf(vcpu);
    const shown = (name === undefined ? text : `${name}: ${text}`).replace(/[^ -~]/g, '?');
    return bytesToHex(textToBytes(shown.slice(0, MAX_READ)));
  }

  /** Memory as a vCPU sees it; one that has no page tables sees what the first vCPU sees. */
  #memory(vcpu: TargetVcpu): VirtualMemory | undefined {
    if (!this.#memories.has(vcpu.id)) {
      const { target, firstVcpu } = this.#guest;
      const { online, registers: own } = vcpu;
      const other = target.vcpus.find(({ id }) => id === firstVcpu)?.registers;
      const registers: VcpuRegisters | undefined = own && (online || inLongMode(own)) ? own : other;
      this.#memories.set(vcpu.id, registers && new VirtualMemory(target, registers));
    }
    return this.#memories.get(vcpu.id);
  }

  #read(hexAddress: string, hexLength: string): string {
    const address = BigInt(`0x${hexAddress}`);
    const end = this.#physical ? 1n << 52n : 1n << 64n;
    const wanted = BigInt(Math.min(Number.parseInt(hexLength, 16), MAX_READ));
    if (wanted === 0n) return NOTHING;
    const length = Number(address + wanted > end ? end - address : wanted);
    const { target } = this.#guest;
    const memory = this.#memory(this.#vcpu);
    if (length <= 0 || (!memory && !this.#physical)) return UNREADABLE;
    const bytes = readAsMuch(
      (at, into) => (this.#physical ? target.readPhysical(Number(at), into) : memory?.read(at, into)),
      address,
      length,
    );
    return bytes.length === 0 ? UNREADABLE : bytesToHex(bytes);
  }

  #setPhysical(on: boolean): string {
    this.#physical = on;
    return OK;
  }

  #offsets(): string {
    const { textSegment } = this.#guest;
    return textSegment === undefined ? NOTHING : `TextSeg=${textSegment.toString(16)}`;
  }

  #transfer([, object, way, annex, hexOffset, hexLength]: RegExpExecArray): string {
    if (way === 'write') return READ_ONLY;
    const document = this.#document(object ?? '', annex ?? '');
    if (document === undefined) return NOTHING;
    if (hexOffset === undefined || hexLength === undefined) return 'E00';
    const offset = Number.parseInt(hexOffset, 16);
    // Escapes can make it twice as long.
    const length = Math.min(Number.parseInt(hexLength, 16), MAX_READ);
    const part = document.slice(offset, offset + length);
    return (offset + length < document.length ? 'm' : 'l') + escapeBinary(textToBytes(part));
  }

  #document(object: string, annex: string): string | undefined {
    const key = `${object}:${annex}:${this.#physical}`;
    const known = this.#documents.get(key);
    if (known !== undefined) return known;
    const document = this.#makeDocument(object, annex);
    if (document !== undefined) this.#documents.set(key, document);
    return document;
  }

  #makeDocument(object: string, annex: string): string | undefined {
    const { target } = this.#guest;
    if (object === 'features' && annex === 'target.xml') return this.#registers.describe();
    if (object === 'threads' && annex === '') return threadList(this.#guest);
    if (object === 'libraries' && this.#guest.files) return libraryList(this.#guest);
    if (object !== 'memory-map' || annex !== '') return undefined;
    return this.#physical ? physicalMap(target.frames) : virtualMap(this.#memory(this.#vcpu)?.levels ?? 0);
  }

  #monitor(hex: string): Answer {
    const command = hexToBytes(hex);
    if (!command) return { replies: [MALFORMED] };
    const text = this.#guest.monitor(bytesToText(command).trim(), this.#vcpu);
    const shown = text.length > MAX_OUTPUT ? `${text.slice(0, MAX_OUTPUT)}\n[more is left out]\n` : text;
    const bytes = new TextEncoder().encode(shown);
    const replies: string[] = [];
    for (let at = 0; at < bytes.length; at += MAX_READ)
      replies.push(`O${bytesToHex(bytes.subarray(at, at + MAX_READ))}`);
    return { replies: [...replies, OK] };
  }
}

const hexThread = (vcpu: number): string => threadOf(vcpu).toString(16);
