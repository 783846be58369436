// A thread that reads reports: files in, rows out.
import { parentPort } from 'node:worker_threads';
import { type NamedFile, readRow } from './row.ts';

parentPort?.on('message', async (files: readonly NamedFile[]) => {
  const rows = [];
  for (const file of files) rows.push(await readRow(file));
  parentPort?.postMessage(rows);
});
