// The lockstep programs: <name>.S, built as <name>.elf, traced under QEMU as <name>.trace.br.

export interface LockstepProgram {
  readonly name: string;
  readonly covers: string;
  /** It counts its own failures, where QEMU is no oracle: no trace. */
  readonly isSelfChecked?: boolean;
  /** Offsets in watched memory where QEMU 7.2 does not do what the SDM says. */
  readonly ignore?: readonly { readonly from: number; readonly to: number; readonly reason: string }[];
}

export const PROGRAMS: readonly LockstepProgram[] = [
  {
    name: 'protected',
    covers: '32-bit: segments, exceptions, privilege changes, 2-level and PAE paging',
    ignore: [
      {
        from: 0x2000,
        to: 0x2020,
        reason: 'QEMU sets accessed bits in PAE PDPTEs (SDM vol 3A, 4.4.1: it has none)',
      },
    ],
  },
  {
    name: 'long',
    covers:
      'long mode: paging, exceptions, IST, SYSCALL, compatibility mode, debug registers, self-modifying code',
  },
  {
    name: 'real',
    covers:
      'real mode and 16-bit protected mode: addressing forms, prefixes, IVT, far transfers, strings, unreal mode',
  },
  {
    name: 'checks',
    covers:
      'what QEMU leaves out: limits, rights, canonical addresses, reserved bits, EXT, double faults, register checks',
    isSelfChecked: true,
  },
];
