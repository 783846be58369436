// Kernel and ramdisk of a report, by their SHA-256: no other file will do.
import { basename, join } from 'node:path';
import { digestOf } from '../../../core/domain/build-domain.ts';
import type { DomainRecord } from '../../../core/domain/record.ts';
import type { Registry } from '../../../core/domain/registry.ts';
import { FileSource } from '../../../core/host/file-source.ts';
import { PvhError } from '../../../symbols/errors.ts';
import { ToolFailure } from '../../shared/failure.ts';
import { EXIT } from '../exit.ts';

/** As the record has it: its path has no folders. */
type Image = NonNullable<DomainRecord['ramdisk']>;

/** Why the file at `path` is not the one; undefined when it is. */
function whyNot(path: string, { sha256 }: Image): string | undefined {
  try {
    const source = new FileSource(path);
    try {
      const digest = digestOf(source, () => undefined);
      return digest === sha256 ? undefined : `${path}: is another file, SHA-256 ${digest}`;
    } finally {
      source.close();
    }
  } catch (error) {
    if (!(error instanceof PvhError)) throw error;
    return error.message;
  }
}

/** Where a file may be: what domains of this host were made from, then by its name in these folders. */
function candidates({ path, sha256 }: Image, registry: Registry, folders: readonly string[]): string[] {
  const known = registry
    .list()
    .flatMap(({ kernel, ramdisk }) => [kernel, ramdisk])
    .flatMap((file) => (file?.sha256 === sha256 ? [file.path] : []));
  return [...new Set([...known, ...folders.map((folder) => join(folder, basename(path)))])];
}

/** What the run began with. */
export interface WantedImage {
  readonly what: 'kernel' | 'ramdisk';
  readonly image: Image;
  /** The only file to look at, when there is one. */
  readonly given: string | undefined;
}

/** @returns its path, or in lines what it is and where it is not. */
function findImage(
  { what, image, given }: WantedImage,
  registry: Registry,
  folders: readonly string[],
): string | readonly string[] {
  const reasons: string[] = [];
  for (const path of given === undefined ? candidates(image, registry, folders) : [given]) {
    const reason = whyNot(path, image);
    if (reason === undefined) return path;
    reasons.push(`  ${reason}`);
  }
  const next = given === undefined ? ` (or by this name beside the report)` : '';
  return [
    `pvh-report: the ${what} is ${basename(image.path)}, SHA-256 ${image.sha256}`,
    ...reasons,
    `  give that very file with --${what} FILE${next}`,
  ];
}

/** @returns their paths, in their order. @throws ToolFailure when one is not at hand: it tells of all of them. */
export function findImages(
  wanted: readonly WantedImage[],
  registry: Registry,
  folders: readonly string[],
): string[] {
  const found = wanted.map((each) => findImage(each, registry, folders));
  const absent = found.flatMap((each) => (typeof each === 'string' ? [] : each));
  if (absent.length > 0) throw new ToolFailure(absent, EXIT.unusable);
  return found.flatMap((each) => (typeof each === 'string' ? [each] : []));
}
