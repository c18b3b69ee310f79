/** What the browser keeps of models, for pages that want to show or free it. */
import { locate } from './locate.js';
import { checkPlace } from './options.js';
import { OFFSET, Store } from './store.js';
import type { CachedFile, HubOptions, ModelSource } from './types.js';

interface Kept extends CachedFile {
  requests: Request[];
}

/** All files with their pieces; nothing where there is no cache. */
async function kept(): Promise<[Cache | undefined, Kept[]]> {
  const cache = await Store.all();
  const files = new Map<string, Kept>();
  for (const request of (await cache?.keys()) ?? []) {
    const url = new URL(request.url);
    url.searchParams.delete(OFFSET);
    const file = files.get(url.href) ?? { url: url.href, bytes: 0, total: 0, requests: [] };
    files.set(url.href, file);
    const piece = await cache?.match(request);
    if (!piece) continue;
    file.bytes += (await piece.blob()).size;
    file.total = Number(piece.headers.get('x-total'));
    file.requests.push(request);
  }
  return [cache, [...files.values()]];
}

/** The files of models that the browser keeps for this site. */
export const cache = {
  /** All of them. One whose `bytes` are less than its `total` was interrupted; the next load goes on from there. */
  async list(): Promise<CachedFile[]> {
    return (await kept())[1].map(({ url, bytes, total }) => ({ url, bytes, total }));
  },

  /** Bytes of all of them. */
  async size(): Promise<number> {
    return (await kept())[1].reduce((sum, { bytes }) => sum + bytes, 0);
  },

  /**
   * Deletes the files of a model, named as for `ImageClassifier.load`, or all of them.
   *
   * @returns how many files there were
   * @throws {UnsupportedCheckpointError} `model` names no model
   */
  async clear(model?: ModelSource, options: HubOptions = {}): Promise<number> {
    checkPlace(options);
    const [cache, files] = await kept();
    const wanted = model === undefined ? () => true : belongs(model, options);
    const gone = files.filter(({ url }) => wanted(url));
    for (const { requests } of gone) for (const request of requests) await cache?.delete(request);
    return gone.length;
  },
};

/** Tells the files of a model by their addresses. */
function belongs(model: ModelSource, options: HubOptions): (url: string) => boolean {
  const located = locate(model, options);
  if ('folder' in located) return (url) => url.startsWith(located.folder);
  return (url) => url === located.weights || url === located.config;
}
