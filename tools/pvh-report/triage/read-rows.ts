// Reads many reports, in threads where that pays.
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type NamedFile, type Row, readRow } from './row.ts';

/** A thread takes about as long to start as so many reports to read. */
const WORTH_THREADS = 200;
/** Each may hold a whole report in memory, and a hostile one is as large as it may be. */
const MAX_THREADS = 4;
/** Files a thread gets at a time. */
const PORTION = 32;

async function readHere(files: readonly NamedFile[]): Promise<Row[]> {
  const rows: Row[] = [];
  for (const file of files) rows.push(await readRow(file));
  return rows;
}

/** What the thread answers. Should it end in the middle, this thread does its work. */
function readThere(thread: Worker, files: readonly NamedFile[]): Promise<{ rows: Row[]; alive: boolean }> {
  return new Promise((resolve, reject) => {
    const stop = () => thread.off('message', onMessage).off('error', onEnd).off('exit', onEnd);
    const onMessage = (rows: Row[]): void => {
      stop();
      resolve({ rows, alive: true });
    };
    const onEnd = (): void => {
      stop();
      // The other event of the two may still come.
      thread.on('error', () => undefined);
      readHere(files).then((rows) => resolve({ rows, alive: false }), reject);
    };
    thread.on('message', onMessage).on('error', onEnd).on('exit', onEnd);
    thread.postMessage(files);
  });
}

/** Portions of rows, in the order in which they are done. */
export async function* readRows(files: readonly NamedFile[]): AsyncGenerator<Row[]> {
  let next = 0;
  const take = (): readonly NamedFile[] => {
    const portion = files.slice(next, next + PORTION);
    next += portion.length;
    return portion;
  };
  // Node starts threads from JavaScript only: not where this runs from its source.
  const isBuilt = import.meta.url.endsWith('.js');
  const count = isBuilt && files.length >= WORTH_THREADS ? Math.min(MAX_THREADS, availableParallelism()) : 0;
  if (count < 2) {
    for (let portion = take(); portion.length > 0; portion = take()) yield readHere(portion);
    return;
  }
  const threads = Array.from({ length: count }, () => new Worker(new URL('reader.js', import.meta.url)));
  try {
    const ask = async (thread: Worker) => ({ ...(await readThere(thread, take())), thread });
    const running = new Map(threads.map((thread) => [thread, ask(thread)]));
    while (running.size > 0) {
      const { rows, alive, thread } = await Promise.race(running.values());
      running.delete(thread);
      if (alive && next < files.length) running.set(thread, ask(thread));
      yield rows;
    }
    // Only when every thread has died.
    for (let portion = take(); portion.length > 0; portion = take()) yield readHere(portion);
  } finally {
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
}
