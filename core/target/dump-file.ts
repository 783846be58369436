// From a file to the Target of its kind, told by its content. Opens no file by name.
import { type ByteSource, latin1Of } from '../../symbols/bytes.ts';
import { FormatError } from '../../symbols/errors.ts';
import { notDumpCore, openDumpCore } from './dump-core.ts';
import { notElfVmcore, openElfVmcore } from './elf-vmcore.ts';
import { isFlattened, openFlattened } from './flattened.ts';
import { notKdump, openKdump } from './kdump.ts';
import { openSaved } from './saved.ts';
import { notSaved } from './saved-envelope.ts';
import type { Target } from './target.ts';

/** A form of dump file. */
interface DumpKind {
  readonly name: string;
  /** Why a file is none; undefined when it is one. */
  readonly refuses: (source: ByteSource) => string | undefined;
  /** @param lacks what is known to be missing before the file is looked into. */
  readonly open: (source: ByteSource, release: () => void, lacks: readonly string[]) => Target;
}

const KINDS: readonly DumpKind[] = [
  {
    name: 'xl dump-core file',
    refuses: notDumpCore,
    open: (source, release, lacks) => openDumpCore(source, { release, lacks }),
  },
  { name: 'ELF memory dump', refuses: notElfVmcore, open: openElfVmcore },
  { name: 'kdump file', refuses: notKdump, open: openKdump },
  { name: 'saved domain', refuses: notSaved, open: openSaved },
];

/** First bytes of files that hold a guest, and that none of KINDS reads. */
const STRANGERS: readonly (readonly [start: string, advice: string])[] = [
  ['Xen saved domain', 'an image of xl save whose header is cut off'],
  ['\x28\xb5\x2f\xfd', 'compressed with zstd: unpack it first'],
  ['\x1f\x8b', 'compressed with gzip: unpack it first'],
  ['\xfd7zXZ\0', 'compressed with xz: unpack it first'],
  ['BZh', 'compressed with bzip2: unpack it first'],
  ['PAGEDU64', 'a dump of Windows, which this does not read'],
  ['\xed\xeb\x0f\xf0', 'a xm dump-core file of Xen before 3.1, which this does not read'],
  ['\xee\xeb\x0f\xf0', 'a xm dump-core file of Xen before 3.1, which this does not read'],
];

const CUT_OFF_PIPE =
  'memory: the flattened file is cut off, and what is missing may be of any part of the dump';

function adviceOn(source: ByteSource): string | undefined {
  const start = latin1Of(source.read(0, Math.min(16, source.size)));
  if (start === '') return 'the file is empty';
  return STRANGERS.find(([magic]) => start.startsWith(magic))?.[1];
}

/**
 * Opens a dump of any kind.
 * @param release called once by the target's close().
 * @throws FormatError when it is damaged; when it is of no kind, with what each of them misses.
 */
export function openDumpFile(file: ByteSource, release: () => void): Target {
  const flattened = isFlattened(file) ? openFlattened(file) : undefined;
  const source = flattened ?? file;
  const lacks = flattened?.complete === false ? [CUT_OFF_PIPE] : [];
  const reasons: string[] = [];
  for (const { name, refuses, open } of KINDS) {
    const refusal = refuses(source);
    if (refusal === undefined) return open(source, release, lacks);
    reasons.push(`${name}: ${refusal}`);
  }
  const advice = adviceOn(file);
  const why = advice === undefined ? reasons.join('; ') : advice;
  throw new FormatError(`no dump that can be read: ${why}`, { source: file.name });
}
