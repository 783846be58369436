// report.html within a report: the page of its other files, made of nothing else. What is on it: html/report-page.ts.
import type { ArchiveFile } from './archive.ts';
import { renderReportPage } from './html/report-page.ts';
import { type Manifest, parseManifest } from './manifest.ts';
import { PAGE, readFiles } from './report.ts';

/** Bytes of a page: all logs at their bounds, as long as they are not made of what HTML writes longer. */
export const MAX_PAGE: number = 32 << 20;

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

function makePage(files: readonly ArchiveFile[], manifest: Manifest): Uint8Array {
  const contents = new Map(files.map(({ name, bytes }) => [name, bytes]));
  return encode(
    renderReportPage(readFiles({ path: 'the report', digest: '', folder: '', manifest, files: contents })),
  );
}

/**
 * The same files with manifest.json and, if there is one among them, the page made anew in their places.
 * @param manifestOf manifest.json about some of the files.
 */
export function withPage(
  files: readonly ArchiveFile[],
  manifestOf: (files: readonly ArchiveFile[]) => string,
): { readonly files: readonly ArchiveFile[]; readonly manifest: Manifest } {
  const withManifest = (some: readonly ArchiveFile[]) => {
    const text = manifestOf(some);
    const manifest = parseManifest(text, 'manifest.json');
    const replace = (file: ArchiveFile) =>
      file.name === 'manifest.json' ? { ...file, bytes: encode(text) } : file;
    return { files: some.map(replace), manifest };
  };
  const others = files.filter(({ name }) => name !== PAGE);
  const made = withManifest(others);
  if (others.length === files.length) return made;
  const page = makePage(made.files, made.manifest);
  return withManifest(files.map((file) => (file.name === PAGE ? { name: PAGE, bytes: page } : file)));
}
