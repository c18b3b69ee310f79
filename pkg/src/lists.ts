/** Lists of images: in batches where the device gains by that, else one by one. */
import { inTurn, type Calls } from './calls.js';
import type { Engine } from './engine.js';
import { toPicture, type Picture, type View } from './frames.js';
import type { ImageSource } from './types.js';

/** Fewer images are not worth a batch. */
const FEW = 4;

/** What calls on lists have in common. */
export interface ListCall<R, T> {
  calls: Calls;
  engine: Engine;
  view: View;
  signal: AbortSignal | undefined;
  /** What a batch gives. */
  run(pictures: readonly Picture[]): Promise<R[]>;
  /** What is made of that for one image, whose decoding took from `start` to `decoded`. */
  result(raw: R, start: number, decoded: number): T;
  /** The same for one image alone. */
  single(source: ImageSource): Promise<T>;
}

/** One result for each image, in order; the first error ends it. */
export async function inBatches<R, T>(sources: readonly ImageSource[], call: ListCall<R, T>): Promise<T[]> {
  const { calls, engine, view, signal, run, result, single } = call;
  const most = sources.length < FEW ? 1 : await calls.next(() => engine.batch(), signal);
  if (most === 1) return inTurn(sources, single);
  const results: T[] = [];
  for (let i = 0; i < sources.length; i += most) {
    const part = sources.slice(i, i + most);
    if (part.length < FEW) {
      results.push(...(await inTurn(part, single)));
      continue;
    }
    const start = performance.now();
    const pictures = await toPictures(part, signal, view);
    const share = (performance.now() - start) / part.length;
    const raw = await calls.next(() => run(pictures), signal, () => pictures.forEach((picture) => picture.close()));
    results.push(...raw.map((one) => result(one, start, start + share)));
  }
  return results;
}

/** All pictures of a list, or none. */
export async function toPictures(sources: readonly ImageSource[], signal?: AbortSignal, view?: View): Promise<Picture[]> {
  const pictures: Picture[] = [];
  try {
    await inTurn([...sources.entries()], async ([i, source]) => {
      pictures[i] = await toPicture(source, signal, view);
    });
    return pictures;
  } catch (error) {
    pictures.forEach((picture) => picture.close());
    throw error;
  }
}
