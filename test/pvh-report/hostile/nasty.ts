// Reports that are what their manifest says, and say what no report of ours does: taken or refused, but nothing worse.
import { MANIFEST_SCHEMA } from '../../../tools/pvh-report/manifest.ts';
import { encode, goodManifest, reportWith } from './bundles.ts';

export interface Nasty {
  readonly name: string;
  readonly make: () => Promise<Uint8Array>;
}

const file = (name: string, content: string | Uint8Array) => ({
  name,
  bytes: typeof content === 'string' ? encode(content) : content,
});
const manifest = (top: unknown): Promise<Uint8Array> =>
  reportWith(file('manifest.json', JSON.stringify(top)));

const STEERS = '\u001b[2J\u009b31m\u202e\0\r<script>alert(1)</script>';
const WRONG: readonly unknown[] = [null, true, -1, 1e308, '', 'x'.repeat(5000), STEERS, [], {}, [[]]];

type Path = readonly (string | number)[];

/** Every place of a JSON value. */
function* placesIn(value: unknown, path: Path = []): Generator<Path> {
  if (path.length > 0) yield path;
  if (typeof value !== 'object' || value === null) return;
  for (const [key, part] of Object.entries(value)) yield* placesIn(part, [...path, key]);
}

function replaced(value: unknown, [first, ...rest]: Path, by: unknown): unknown {
  if (first === undefined) return by;
  const copy = Array.isArray(value) ? [...value] : { ...(value as object) }; // placesIn went this way
  Reflect.set(copy, first, replaced(Reflect.get(copy, first), rest, by));
  return copy;
}

const REDACTION = { rules: [], kept: [], leaks: 0, signature: 'same', standIns: ['host-abc'] };
const FULL = {
  ...goodManifest(),
  source: 'xen',
  host: { collectedAt: '2026-11-22T12:00:00Z', root: true },
  symbolsBuildId: '../../../../etc/passwd',
  memory: { taken: 'none', frames: 0, leftOut: 0 },
  missing: [{ item: 'memory.core', reason: 'too large', cause: 'size', required: false }],
  redaction: REDACTION,
};

const wrongTypes: readonly Nasty[] = [...placesIn(FULL)].map((path, index) => {
  const wrong = WRONG[index % WRONG.length];
  const name = `${path.join('.')}: ${JSON.stringify(wrong).slice(0, 20)}`;
  return { name, make: () => manifest(replaced(FULL, path, wrong)) };
});

const texts: readonly (readonly [string, string])[] = [
  ['one line', 'x'.repeat(1 << 20)],
  ['empty lines', '\n'.repeat(4 << 20)],
  ['what steers terminals', STEERS.repeat(1 << 15)],
  ['panics', 'Kernel panic - not syncing: a\n'.repeat(1 << 15)],
  ['half a panic', 'Kernel panic - not syncing: '.repeat(1 << 15)],
  ['words of rules', 'password=a host=b root@c 10.0.0.1 ::1 00:16:3e:00:00:01 '.repeat(1 << 13)],
  ['beginnings of rules', '-----BEGIN RSA PRIVATE KEY----- ssh-rsa AAAA eyJ https://a:'.repeat(1 << 13)],
  ['brackets', '[<'.repeat(1 << 18)],
];

const deepCrash = JSON.stringify({
  schema: 'pvh-report-crash/1',
  vcpus: Array.from({ length: 128 }, (_, id) => ({
    id,
    online: true,
    trace: 'scan',
    registers: [],
    frames: Array.from({ length: 20 }, () => ({ address: 'f'.repeat(16), symbol: 'a'.repeat(4000) })),
  })),
});

export const NASTY: readonly Nasty[] = [
  ...wrongTypes,
  ...texts.map(([name, text]) => ({
    name: `a console of ${name}`,
    make: () => reportWith(file('console.log', text)),
  })),
  {
    name: 'bytes that are no text',
    make: () => reportWith(file('console.log', Buffer.alloc(1 << 20, 0xff))),
  },
  { name: 'frames with names of 4000 letters', make: () => reportWith(file('crash.json', deepCrash)) },
  {
    name: 'a hundred thousand things missing',
    make: () =>
      manifest({
        ...goodManifest(),
        missing: Array(100_000).fill({ item: STEERS, reason: STEERS, required: true }),
      }),
  },
  {
    name: 'a million stand-ins',
    make: () =>
      manifest({
        ...goodManifest(),
        redaction: { ...REDACTION, standIns: Array.from({ length: 1 << 20 }, (_, i) => `w${i}`) },
      }),
  },
  {
    name: 'everything a stand-in',
    make: () =>
      manifest({ ...goodManifest(), redaction: { ...REDACTION, standIns: [...'abcdefgh\n ', ''] } }),
  },
  {
    name: 'keys of prototypes',
    make: () =>
      reportWith(
        file('manifest.json', `{"__proto__":{"polluted":1},${JSON.stringify(goodManifest()).slice(1)}`),
      ),
  },
  ...['crash.json', 'xenctx.json', 'target.json', 'xl-list-long.json'].map((name) => ({
    name: `${name} nested deep`,
    make: () => reportWith(file(name, `{"schema":"${MANIFEST_SCHEMA}","a":${'['.repeat(1 << 18)}`)),
  })),
  { name: 'memory of nothing', make: () => reportWith(file('memory.core', Buffer.alloc(100 << 20))) },
];

/** Out of a report with a guest's memory: the same with memory and vCPUs that claim more than there is. */
export const nastyRecords = (record: ReadonlyMap<string, Uint8Array>): readonly Nasty[] => {
  const target = JSON.parse(Buffer.from(record.get('target.json') ?? []).toString());
  const memory = Buffer.from(record.get('memory.core') ?? []);
  const patched = (at: number, hex: string): Uint8Array => {
    const copy = Buffer.from(memory);
    copy.write(hex, at, 'hex');
    return copy;
  };
  const row = (name: string, core: Uint8Array, vcpus: readonly unknown[] = target.vcpus): Nasty => ({
    name,
    make: () =>
      reportWith(file('memory.core', core), file('target.json', JSON.stringify({ ...target, vcpus }))),
  });
  return [
    // System V ABI, chapter 4: e_shnum, e_shoff; the first section header's sh_size.
    row('memory with 65,535 sections', patched(60, 'ffff')),
    row('memory whose sections lie outside', patched(40, 'ffffffffffffff7f')),
    row(
      'memory with a section of 2^63 bytes',
      patched(Number(memory.readBigUInt64LE(40)) + 64 + 32, 'ffffffffffffff7f'),
    ),
    row('memory that is cut', memory.subarray(0, memory.length >> 1)),
    row(
      '512 vCPUs',
      memory,
      Array.from({ length: 512 }, (_, id) => ({ ...target.vcpus[0], id })),
    ),
  ];
};
