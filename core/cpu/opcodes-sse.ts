// Opcode rows of MMX, SSE to SSE4.2, PCLMULQDQ, AES and FXSAVE: class `fp`, carried out by assembly/fp.ts.
import type { RowSource } from './opcodes-row.ts';

const row = (code: string, mnemonic: string, operands: string, feature: string, more = ''): RowSource => [
  code,
  mnemonic,
  operands,
  `class:fp if:${feature}${more}`,
];

/** One row an entry: `code mnemonic operands`, columns separated by two spaces. */
const rows = (feature: string, text: string): RowSource[] =>
  text
    .trim()
    .split('\n')
    .map((line) => {
      const [code = '', mnemonic = '', operands = '', more = ''] = line.trim().split(/ {2,}/);
      return row(code, mnemonic, operands, feature, more && ` ${more}`);
    });

/** The packed and scalar forms of one SSE/SSE2 floating-point operation. */
const floats = (opcode: string, name: string): RowSource[] => [
  row(`np 0f ${opcode}`, `${name}PS`, 'Vx Wx', 'sse'),
  row(`66 0f ${opcode}`, `${name}PD`, 'Vx Wx', 'sse2'),
  row(`f3 0f ${opcode}`, `${name}SS`, 'Vx Wd', 'sse'),
  row(`f2 0f ${opcode}`, `${name}SD`, 'Vx Wq', 'sse2'),
];

/** An integer operation that MMX has too; `mmxFeature` says since when. */
const both = (opcode: string, name: string, mmxFeature = 'mmx', sseFeature = 'sse2'): RowSource[] => [
  row(`np 0f ${opcode}`, name, 'Pq Qq', mmxFeature),
  row(`66 0f ${opcode}`, name, 'Vx Wx', sseFeature),
];

/** Shifts by an immediate. */
const shifts = (opcode: string, width: string, kinds: Readonly<Record<string, string>>): RowSource[] =>
  Object.entries(kinds).flatMap(([reg, name]) => [
    row(`np 0f ${opcode} ${reg} reg`, `${name}${width}`, 'Nq Ib', 'mmx'),
    row(`66 0f ${opcode} ${reg} reg`, `${name}${width}`, 'Ux Ib', 'sse2'),
  ]);

// Operands: V = xmm of ModRM.reg, W = xmm or memory, U = xmm only, P/Q/N the same for mm; sizes x = 16 bytes, q, d, w.
// Gd stands for "32 bits whatever REX.W says".
export const SSE_ROWS: readonly RowSource[] = [
  ...rows(
    'fxsr',
    `np 0f ae /0 mem  FXSAVE  M
     np 0f ae /1 mem  FXRSTOR  M`,
  ),
  ...rows(
    'sse',
    `np 0f ae /2 mem  LDMXCSR  Md
     np 0f ae /3 mem  STMXCSR  Md
     np 0f 10  MOVUPS  Vx Wx
     np 0f 11  MOVUPS  Wx Vx
     f3 0f 10  MOVSS  Vx Wd
     f3 0f 11  MOVSS  Wd Vx
     np 0f 12 reg  MOVHLPS  Vx Ux
     np 0f 12 mem  MOVLPS  Vx Mq
     np 0f 13 mem  MOVLPS  Mq Vx
     np 0f 14  UNPCKLPS  Vx Wx
     np 0f 15  UNPCKHPS  Vx Wx
     np 0f 16 reg  MOVLHPS  Vx Ux
     np 0f 16 mem  MOVHPS  Vx Mq
     np 0f 17 mem  MOVHPS  Mq Vx
     np 0f 28  MOVAPS  Vx Wx
     np 0f 29  MOVAPS  Wx Vx
     np 0f 2a  CVTPI2PS  Vx Qq
     f3 0f 2a  CVTSI2SS  Vx Ey
     np 0f 2b mem  MOVNTPS  Mx Vx
     np 0f 2c  CVTTPS2PI  Pq Wq
     f3 0f 2c  CVTTSS2SI  Gy Wd
     np 0f 2d  CVTPS2PI  Pq Wq
     f3 0f 2d  CVTSS2SI  Gy Wd
     np 0f 2e  UCOMISS  Vx Wd
     np 0f 2f  COMISS  Vx Wd
     np 0f 50 reg  MOVMSKPS  Gd Ux
     np 0f 52  RSQRTPS  Vx Wx
     f3 0f 52  RSQRTSS  Vx Wd
     np 0f 53  RCPPS  Vx Wx
     f3 0f 53  RCPSS  Vx Wd
     np 0f 54  ANDPS  Vx Wx
     np 0f 55  ANDNPS  Vx Wx
     np 0f 56  ORPS  Vx Wx
     np 0f 57  XORPS  Vx Wx
     np 0f 70  PSHUFW  Pq Qq Ib
     np 0f c2  CMPPS  Vx Wx Ib
     f3 0f c2  CMPSS  Vx Wd Ib
     np 0f c4  PINSRW  Pq Ew Ib
     np 0f c5 reg  PEXTRW  Gd Nq Ib
     np 0f c6  SHUFPS  Vx Wx Ib
     np 0f d7 reg  PMOVMSKB  Gd Nq
     np 0f e7 mem  MOVNTQ  Mq Pq
     np 0f f7 reg  MASKMOVQ  Pq Nq`,
  ),
  ...rows(
    'sse2',
    `66 0f 10  MOVUPD  Vx Wx
     66 0f 11  MOVUPD  Wx Vx
     f2 0f 10  MOVSD  Vx Wq
     f2 0f 11  MOVSD  Wq Vx
     66 0f 12 mem  MOVLPD  Vx Mq
     66 0f 13 mem  MOVLPD  Mq Vx
     66 0f 14  UNPCKLPD  Vx Wx
     66 0f 15  UNPCKHPD  Vx Wx
     66 0f 16 mem  MOVHPD  Vx Mq
     66 0f 17 mem  MOVHPD  Mq Vx
     66 0f 28  MOVAPD  Vx Wx
     66 0f 29  MOVAPD  Wx Vx
     66 0f 2a  CVTPI2PD  Vx Qq
     f2 0f 2a  CVTSI2SD  Vx Ey
     66 0f 2b mem  MOVNTPD  Mx Vx
     66 0f 2c  CVTTPD2PI  Pq Wx
     f2 0f 2c  CVTTSD2SI  Gy Wq
     66 0f 2d  CVTPD2PI  Pq Wx
     f2 0f 2d  CVTSD2SI  Gy Wq
     66 0f 2e  UCOMISD  Vx Wq
     66 0f 2f  COMISD  Vx Wq
     66 0f 50 reg  MOVMSKPD  Gd Ux
     66 0f 54  ANDPD  Vx Wx
     66 0f 55  ANDNPD  Vx Wx
     66 0f 56  ORPD  Vx Wx
     66 0f 57  XORPD  Vx Wx
     np 0f 5a  CVTPS2PD  Vx Wq
     66 0f 5a  CVTPD2PS  Vx Wx
     f3 0f 5a  CVTSS2SD  Vx Wd
     f2 0f 5a  CVTSD2SS  Vx Wq
     np 0f 5b  CVTDQ2PS  Vx Wx
     66 0f 5b  CVTPS2DQ  Vx Wx
     f3 0f 5b  CVTTPS2DQ  Vx Wx
     66 0f 6c  PUNPCKLQDQ  Vx Wx
     66 0f 6d  PUNPCKHQDQ  Vx Wx
     66 0f 6e  MOVD  Vx Ey
     66 0f 6f  MOVDQA  Vx Wx
     f3 0f 6f  MOVDQU  Vx Wx
     66 0f 70  PSHUFD  Vx Wx Ib
     f3 0f 70  PSHUFHW  Vx Wx Ib
     f2 0f 70  PSHUFLW  Vx Wx Ib
     66 0f 73 /3 reg  PSRLDQ  Ux Ib
     66 0f 73 /7 reg  PSLLDQ  Ux Ib
     66 0f 7e  MOVD  Ey Vx
     f3 0f 7e  MOVQ  Vx Wq
     66 0f 7f  MOVDQA  Wx Vx
     f3 0f 7f  MOVDQU  Wx Vx
     66 0f c2  CMPPD  Vx Wx Ib
     f2 0f c2  CMPSD  Vx Wq Ib
     66 0f c4  PINSRW  Vx Ew Ib
     66 0f c5 reg  PEXTRW  Gd Ux Ib
     66 0f c6  SHUFPD  Vx Wx Ib
     66 0f d6  MOVQ  Wq Vx
     f3 0f d6 reg  MOVQ2DQ  Vx Nq
     f2 0f d6 reg  MOVDQ2Q  Pq Ux
     66 0f d7 reg  PMOVMSKB  Gd Ux
     66 0f e6  CVTTPD2DQ  Vx Wx
     f3 0f e6  CVTDQ2PD  Vx Wq
     f2 0f e6  CVTPD2DQ  Vx Wx
     66 0f e7 mem  MOVNTDQ  Mx Vx
     66 0f f7 reg  MASKMOVDQU  Vx Ux`,
  ),
  ...rows(
    'mmx',
    `np 0f 6e  MOVD  Pq Ey
     np 0f 6f  MOVQ  Pq Qq
     np 0f 77  EMMS
     np 0f 7e  MOVD  Ey Pq
     np 0f 7f  MOVQ  Qq Pq`,
  ),
  ...rows(
    'sse3',
    `f3 0f 12  MOVSLDUP  Vx Wx
     f2 0f 12  MOVDDUP  Vx Wq
     f3 0f 16  MOVSHDUP  Vx Wx
     66 0f 7c  HADDPD  Vx Wx
     f2 0f 7c  HADDPS  Vx Wx
     66 0f 7d  HSUBPD  Vx Wx
     f2 0f 7d  HSUBPS  Vx Wx
     66 0f d0  ADDSUBPD  Vx Wx
     f2 0f d0  ADDSUBPS  Vx Wx
     f2 0f f0 mem  LDDQU  Vx Mx`,
  ),
  ...rows(
    'sse41',
    `66 0f 38 10  PBLENDVB  Vx Wx
     66 0f 38 14  BLENDVPS  Vx Wx
     66 0f 38 15  BLENDVPD  Vx Wx
     66 0f 38 17  PTEST  Vx Wx
     66 0f 38 20  PMOVSXBW  Vx Wq
     66 0f 38 21  PMOVSXBD  Vx Wd
     66 0f 38 22  PMOVSXBQ  Vx Ww
     66 0f 38 23  PMOVSXWD  Vx Wq
     66 0f 38 24  PMOVSXWQ  Vx Wd
     66 0f 38 25  PMOVSXDQ  Vx Wq
     66 0f 38 28  PMULDQ  Vx Wx
     66 0f 38 29  PCMPEQQ  Vx Wx
     66 0f 38 2a mem  MOVNTDQA  Vx Mx
     66 0f 38 2b  PACKUSDW  Vx Wx
     66 0f 38 30  PMOVZXBW  Vx Wq
     66 0f 38 31  PMOVZXBD  Vx Wd
     66 0f 38 32  PMOVZXBQ  Vx Ww
     66 0f 38 33  PMOVZXWD  Vx Wq
     66 0f 38 34  PMOVZXWQ  Vx Wd
     66 0f 38 35  PMOVZXDQ  Vx Wq
     66 0f 38 38  PMINSB  Vx Wx
     66 0f 38 39  PMINSD  Vx Wx
     66 0f 38 3a  PMINUW  Vx Wx
     66 0f 38 3b  PMINUD  Vx Wx
     66 0f 38 3c  PMAXSB  Vx Wx
     66 0f 38 3d  PMAXSD  Vx Wx
     66 0f 38 3e  PMAXUW  Vx Wx
     66 0f 38 3f  PMAXUD  Vx Wx
     66 0f 38 40  PMULLD  Vx Wx
     66 0f 38 41  PHMINPOSUW  Vx Wx
     66 0f 3a 08  ROUNDPS  Vx Wx Ib
     66 0f 3a 09  ROUNDPD  Vx Wx Ib
     66 0f 3a 0a  ROUNDSS  Vx Wd Ib
     66 0f 3a 0b  ROUNDSD  Vx Wq Ib
     66 0f 3a 0c  BLENDPS  Vx Wx Ib
     66 0f 3a 0d  BLENDPD  Vx Wx Ib
     66 0f 3a 0e  PBLENDW  Vx Wx Ib
     66 0f 3a 14  PEXTRB  Eb Vx Ib
     66 0f 3a 15  PEXTRW  Ew Vx Ib
     66 0f 3a 16  PEXTRD  Ey Vx Ib
     66 0f 3a 17  EXTRACTPS  Ed Vx Ib
     66 0f 3a 20  PINSRB  Vx Eb Ib
     66 0f 3a 21  INSERTPS  Vx Wd Ib
     66 0f 3a 22  PINSRD  Vx Ey Ib
     66 0f 3a 40  DPPS  Vx Wx Ib
     66 0f 3a 41  DPPD  Vx Wx Ib
     66 0f 3a 42  MPSADBW  Vx Wx Ib`,
  ),
  ...rows(
    'sse42',
    `66 0f 38 37  PCMPGTQ  Vx Wx
     66 0f 3a 60  PCMPESTRM  Vx Wx Ib
     66 0f 3a 61  PCMPESTRI  Vx Wx Ib
     66 0f 3a 62  PCMPISTRM  Vx Wx Ib
     66 0f 3a 63  PCMPISTRI  Vx Wx Ib`,
  ),
  row('66 0f 3a 44', 'PCLMULQDQ', 'Vx Wx Ib', 'pclmulqdq'),
  ...rows(
    'aes',
    `66 0f 38 db  AESIMC  Vx Wx
     66 0f 38 dc  AESENC  Vx Wx
     66 0f 38 dd  AESENCLAST  Vx Wx
     66 0f 38 de  AESDEC  Vx Wx
     66 0f 38 df  AESDECLAST  Vx Wx
     66 0f 3a df  AESKEYGENASSIST  Vx Wx Ib`,
  ),
  ...floats('51', 'SQRT'),
  ...floats('58', 'ADD'),
  ...floats('59', 'MUL'),
  ...floats('5c', 'SUB'),
  ...floats('5d', 'MIN'),
  ...floats('5e', 'DIV'),
  ...floats('5f', 'MAX'),
  ...(
    [
      ['60', 'PUNPCKLBW'],
      ['61', 'PUNPCKLWD'],
      ['62', 'PUNPCKLDQ'],
      ['63', 'PACKSSWB'],
      ['64', 'PCMPGTB'],
      ['65', 'PCMPGTW'],
      ['66', 'PCMPGTD'],
      ['67', 'PACKUSWB'],
      ['68', 'PUNPCKHBW'],
      ['69', 'PUNPCKHWD'],
      ['6a', 'PUNPCKHDQ'],
      ['6b', 'PACKSSDW'],
      ['74', 'PCMPEQB'],
      ['75', 'PCMPEQW'],
      ['76', 'PCMPEQD'],
      ['d1', 'PSRLW'],
      ['d2', 'PSRLD'],
      ['d3', 'PSRLQ'],
      ['d4', 'PADDQ', 'sse2'],
      ['d5', 'PMULLW'],
      ['d8', 'PSUBUSB'],
      ['d9', 'PSUBUSW'],
      ['da', 'PMINUB', 'sse'],
      ['db', 'PAND'],
      ['dc', 'PADDUSB'],
      ['dd', 'PADDUSW'],
      ['de', 'PMAXUB', 'sse'],
      ['df', 'PANDN'],
      ['e0', 'PAVGB', 'sse'],
      ['e1', 'PSRAW'],
      ['e2', 'PSRAD'],
      ['e3', 'PAVGW', 'sse'],
      ['e4', 'PMULHUW', 'sse'],
      ['e5', 'PMULHW'],
      ['e8', 'PSUBSB'],
      ['e9', 'PSUBSW'],
      ['ea', 'PMINSW', 'sse'],
      ['eb', 'POR'],
      ['ec', 'PADDSB'],
      ['ed', 'PADDSW'],
      ['ee', 'PMAXSW', 'sse'],
      ['ef', 'PXOR'],
      ['f1', 'PSLLW'],
      ['f2', 'PSLLD'],
      ['f3', 'PSLLQ'],
      ['f4', 'PMULUDQ', 'sse2'],
      ['f5', 'PMADDWD'],
      ['f6', 'PSADBW', 'sse'],
      ['f8', 'PSUBB'],
      ['f9', 'PSUBW'],
      ['fa', 'PSUBD'],
      ['fb', 'PSUBQ', 'sse2'],
      ['fc', 'PADDB'],
      ['fd', 'PADDW'],
      ['fe', 'PADDD'],
    ] as const
  ).flatMap(([opcode, name, since]) => both(opcode, name, since)),
  ...(
    [
      ['00', 'PSHUFB'],
      ['01', 'PHADDW'],
      ['02', 'PHADDD'],
      ['03', 'PHADDSW'],
      ['04', 'PMADDUBSW'],
      ['05', 'PHSUBW'],
      ['06', 'PHSUBD'],
      ['07', 'PHSUBSW'],
      ['08', 'PSIGNB'],
      ['09', 'PSIGNW'],
      ['0a', 'PSIGND'],
      ['0b', 'PMULHRSW'],
      ['1c', 'PABSB'],
      ['1d', 'PABSW'],
      ['1e', 'PABSD'],
    ] as const
  ).flatMap(([opcode, name]) => both(`38 ${opcode}`, name, 'ssse3', 'ssse3')),
  row('np 0f 3a 0f', 'PALIGNR', 'Pq Qq Ib', 'ssse3'),
  row('66 0f 3a 0f', 'PALIGNR', 'Vx Wx Ib', 'ssse3'),
  ...shifts('71', 'W', { '/2': 'PSRL', '/4': 'PSRA', '/6': 'PSLL' }),
  ...shifts('72', 'D', { '/2': 'PSRL', '/4': 'PSRA', '/6': 'PSLL' }),
  ...shifts('73', 'Q', { '/2': 'PSRL', '/6': 'PSLL' }),
];
