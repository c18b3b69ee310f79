/** What was downloaded, in the browser's Cache API. */

/** What tells one version of a file from another. */
export interface Version {
  total: number | undefined;
  tag: string | undefined;
}

/** The name of the cache; the number grows when what is kept in it changes its form. */
export const CACHE = 'webmamba-1';
/** The parameter of an address that says where a piece begins. */
export const OFFSET = 'webmamba-offset';
/** Bytes of a piece in the cache. */
const PIECE = 8 << 20;

interface Keeper {
  add(chunk: Uint8Array): Promise<void>;
  /** Keeps what has not been kept yet. */
  flush(): Promise<void>;
}

/** One file in the cache: pieces, each under the offset at which it starts, as interrupted downloads left them. */
export class Store {
  private constructor(
    readonly cache: Cache,
    readonly url: URL,
  ) {}

  /** The cache, where there is one: not in private windows, on insecure pages, outside browsers. */
  static async all(): Promise<Cache | undefined> {
    try {
      // In frames without an origin even the name throws.
      return typeof caches === 'undefined' ? undefined : await caches.open(CACHE);
    } catch {
      return undefined;
    }
  }

  /** Undefined where there is no cache. */
  static async open(url: URL): Promise<Store | undefined> {
    const cache = await Store.all();
    return cache && new Store(cache, url);
  }

  #key(offset: number): string {
    const key = new URL(this.url);
    key.searchParams.set(OFFSET, String(offset));
    return key.href;
  }

  async version(): Promise<Version | undefined> {
    const first = await this.piece(0);
    await first?.body?.cancel();
    if (!first) return undefined;
    const [total, tag] = [first.headers.get('x-total'), first.headers.get('x-tag')];
    return { total: total === null ? undefined : Number(total), tag: tag ?? undefined };
  }

  async piece(offset: number): Promise<Response | undefined> {
    return this.cache.match(this.#key(offset));
  }

  /** Whether the pieces follow on each other to the end. */
  async isWhole({ total }: Version): Promise<boolean> {
    let at = 0;
    while (total === undefined || at < total) {
      const piece = await this.piece(at);
      const size = piece ? (await piece.blob()).size : 0;
      if (!size) return false;
      at += size;
    }
    return true;
  }

  async clear(): Promise<void> {
    for (const request of await this.cache.keys(this.url.href, { ignoreSearch: true })) {
      // Other files may differ in their parameters only.
      const url = new URL(request.url);
      const offset = url.searchParams.get(OFFSET);
      if (offset !== null && this.#key(Number(offset)) === url.href) await this.cache.delete(request);
    }
  }

  /**
   * Keeps what is downloaded from `offset` on, in pieces. Blobs hold the bytes, so that they are not in the page's memory. A
   * cache that is full or forbidden costs nothing but the next download.
   */
  keeper(offset: number, { total, tag }: Version): Keeper {
    const headers = new Headers({ 'x-total': String(total) });
    if (tag !== undefined) headers.set('x-tag', tag);
    let parts: Blob[] = [];
    let size = 0;
    const flush = async () => {
      if (!size) return;
      const kept = new Response(new Blob(parts), { headers });
      const key = this.#key(offset);
      offset += size;
      [parts, size] = [[], 0];
      await this.cache.put(key, kept).catch(() => undefined);
    };
    const add = async (chunk: Uint8Array) => {
      parts.push(new Blob([chunk as BlobPart]));
      size += chunk.byteLength;
      if (size >= PIECE) await flush();
    };
    return { add, flush };
  }
}
