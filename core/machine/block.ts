// Reads and writes the registers of one vCPU block (core/cpu/layout.ts) as VcpuRegisters. Knows no running CPU.
import * as L from '../cpu/layout.ts';
import {
  type DescriptorTable,
  GENERAL_REGISTERS,
  type MachineRegisters,
  type Segment,
  type VcpuRegisters,
} from './registers.ts';

const SEGMENT_OFFSETS = {
  es: L.ES,
  cs: L.CS,
  ss: L.SS,
  ds: L.DS,
  fs: L.FS,
  gs: L.GS,
  ldtr: L.LDTR,
  tr: L.TR,
} as const;

const REGISTERS_64 = {
  rip: L.RIP,
  rflags: L.RFLAGS,
  cr0: L.CR0,
  cr2: L.CR2,
  cr3: L.CR3,
  cr4: L.CR4,
  cr8: L.CR8,
  dr0: L.DR0,
  dr1: L.DR0 + 8,
  dr2: L.DR0 + 16,
  dr3: L.DR0 + 24,
  dr6: L.DR6,
  dr7: L.DR7,
  efer: L.EFER,
  star: L.STAR,
  lstar: L.LSTAR,
  cstar: L.CSTAR,
  fmask: L.FMASK,
  kernel_gs_base: L.KERNEL_GS_BASE,
  sysenter_cs: L.SYSENTER_CS,
  sysenter_esp: L.SYSENTER_ESP,
  sysenter_eip: L.SYSENTER_EIP,
  pat: L.PAT,
  tsc_aux: L.TSC_AUX,
} as const;

type SegmentName = keyof typeof SEGMENT_OFFSETS;
type Register64 = keyof typeof REGISTERS_64;

/** One vCPU block: `base` is where it starts in `view`, and the layout's offsets count from L.CPU. */
export interface Block {
  readonly view: DataView;
  readonly base: number;
}

const at = (block: Block, offset: number): number => block.base + offset - L.CPU;

function readSegment(block: Block, offset: number): Segment {
  const place = at(block, offset);
  return {
    selector: block.view.getUint16(place + L.SEG_SELECTOR, true),
    attributes: block.view.getUint32(place + L.SEG_ATTRIBUTES, true),
    limit: block.view.getUint32(place + L.SEG_LIMIT, true),
    base: block.view.getBigUint64(place + L.SEG_BASE, true),
  };
}

function writeSegment(block: Block, offset: number, segment: Segment): void {
  const place = at(block, offset);
  const { view } = block;
  view.setUint16(place + L.SEG_SELECTOR, segment.selector, true);
  if (segment.attributes !== undefined) view.setUint32(place + L.SEG_ATTRIBUTES, segment.attributes, true);
  if (segment.limit !== undefined) view.setUint32(place + L.SEG_LIMIT, segment.limit, true);
  if (segment.base !== undefined) view.setBigUint64(place + L.SEG_BASE, segment.base, true);
}

function readTable(block: Block, offset: number): DescriptorTable {
  const place = at(block, offset);
  return { base: block.view.getBigUint64(place, true), limit: block.view.getUint32(place + 8, true) };
}

function writeTable(block: Block, offset: number, table: DescriptorTable): void {
  const place = at(block, offset);
  block.view.setBigUint64(place, table.base, true);
  block.view.setUint32(place + 8, table.limit, true);
}

/** FXSAVE image in the 64-bit form (SDM vol 1, table 10-2): x87 registers in stack order. */
function readFxsave(block: Block): Uint8Array {
  const image = new Uint8Array(512);
  const out = new DataView(image.buffer);
  const { view } = block;
  const fsw = view.getUint16(at(block, L.FSW), true);
  out.setUint16(0, view.getUint16(at(block, L.FCW), true), true);
  out.setUint16(2, fsw, true);
  out.setUint8(4, view.getUint8(at(block, L.FTW)));
  out.setUint16(6, view.getUint16(at(block, L.FOP), true), true);
  out.setBigUint64(8, view.getBigUint64(at(block, L.FIP), true), true);
  out.setBigUint64(16, view.getBigUint64(at(block, L.FDP), true), true);
  out.setUint32(24, view.getUint32(at(block, L.MXCSR), true), true);
  out.setUint32(28, 0xffff, true);
  const source = new Uint8Array(view.buffer, view.byteOffset);
  for (let i = 0; i < 8; i++) {
    const from = at(block, L.ST) + 16 * ((i + (fsw >> 11)) & 7);
    image.set(source.subarray(from, from + 10), 32 + 16 * i);
  }
  image.set(source.subarray(at(block, L.XMM), at(block, L.XMM) + 256), 160);
  return image;
}

function writeFxsave(block: Block, image: Uint8Array): void {
  const from = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const { view } = block;
  const fsw = from.getUint16(2, true);
  view.setUint16(at(block, L.FCW), from.getUint16(0, true), true);
  view.setUint16(at(block, L.FSW), fsw, true);
  view.setUint8(at(block, L.FTW), from.getUint8(4));
  view.setUint16(at(block, L.FOP), from.getUint16(6, true), true);
  view.setBigUint64(at(block, L.FIP), from.getBigUint64(8, true), true);
  view.setBigUint64(at(block, L.FDP), from.getBigUint64(16, true), true);
  view.setUint32(at(block, L.MXCSR), from.getUint32(24, true) & 0xffff, true);
  const target = new Uint8Array(view.buffer, view.byteOffset);
  for (let i = 0; i < 8; i++)
    target.set(image.subarray(32 + 16 * i, 42 + 16 * i), at(block, L.ST) + 16 * ((i + (fsw >> 11)) & 7));
  target.set(image.subarray(160, 416), at(block, L.XMM));
}

/** Snapshot of all registers of a block. */
export function readRegisters(block: Block): MachineRegisters {
  const u64 = (offset: number): bigint => block.view.getBigUint64(at(block, offset), true);
  const registers: Record<string, unknown> = {};
  GENERAL_REGISTERS.forEach((name, i) => {
    registers[name] = u64(L.REGS + 8 * i);
  });
  for (const [name, offset] of Object.entries(REGISTERS_64)) registers[name] = u64(offset);
  for (const [name, offset] of Object.entries(SEGMENT_OFFSETS)) registers[name] = readSegment(block, offset);
  registers['gdtr'] = readTable(block, L.GDTR);
  registers['idtr'] = readTable(block, L.IDTR);
  registers['fxsave'] = readFxsave(block);
  return registers as unknown as MachineRegisters; // every key of the interface was set above, from the same tables
}

/** Writes the registers that are given; the others, and what a segment leaves undefined, stay. */
export function writeRegisters(block: Block, registers: Partial<VcpuRegisters>): void {
  GENERAL_REGISTERS.forEach((name, i) => {
    const value = registers[name];
    if (value !== undefined) block.view.setBigUint64(at(block, L.REGS + 8 * i), value, true);
  });
  for (const name of Object.keys(REGISTERS_64) as Register64[]) {
    const value = registers[name];
    if (value !== undefined) block.view.setBigUint64(at(block, REGISTERS_64[name]), value, true);
  }
  if (registers.rflags !== undefined)
    block.view.setBigUint64(at(block, L.RFLAGS), (registers.rflags & 0x3f7fd5n) | 2n, true);
  for (const name of Object.keys(SEGMENT_OFFSETS) as SegmentName[]) {
    const segment = registers[name];
    if (segment !== undefined) writeSegment(block, SEGMENT_OFFSETS[name], segment);
  }
  if (registers.gdtr !== undefined) writeTable(block, L.GDTR, registers.gdtr);
  if (registers.idtr !== undefined) writeTable(block, L.IDTR, registers.idtr);
  if (registers.fxsave !== undefined) writeFxsave(block, registers.fxsave);
  if (registers.ss?.attributes !== undefined)
    block.view.setUint8(at(block, L.CPL), (registers.ss.attributes >> 5) & 3);
}
