/** Files from the network: streamed, resumed after interruptions, kept in the browser's Cache API. */
import { DownloadError } from './errors.js';
import { Store, type Version } from './store.js';
import { lastPart, readFile, resolveUrl, shown } from './urls.js';

export interface FetchOptions {
  cache: boolean;
  /** The cache is all there is. */
  offline: boolean;
  headers: Record<string, string>;
  fetch: typeof fetch;
  signal?: AbortSignal;
}

export interface Download {
  /** Name for messages. */
  file: string;
  /** Bytes, or undefined where nobody says. */
  total: number | undefined;
  /** The bytes in order. A second call starts over. */
  stream(): AsyncIterable<Uint8Array>;
}

/** Network failures in a row that are put up with. */
const RETRIES = 3;

/** A small file. */
export async function fetchBytes(url: string | URL, options: FetchOptions): Promise<Uint8Array> {
  const download = await openDownload(url, options);
  const parts: BlobPart[] = [];
  // A copy: a chunk is gone when the next one is asked for.
  for await (const chunk of download.stream()) parts.push(new Blob([chunk as BlobPart]));
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** The same, or undefined where the server has no such file: also where it answers with a page instead. */
export async function fetchOptional(url: string | URL, options: FetchOptions): Promise<Uint8Array | undefined> {
  try {
    const bytes = await fetchBytes(url, options);
    return /^\s*</.test(new TextDecoder().decode(bytes.subarray(0, 64))) ? undefined : bytes;
  } catch (error) {
    if (missing.has(error as object)) return undefined;
    throw error;
  }
}

/** Errors that say that there is no such file. */
const missing = new WeakSet<object>();

/** Finds out whether a file is there and how long it is; the bytes come from the cache as far as that has them. */
export async function openDownload(address: string | URL, options: FetchOptions): Promise<Download> {
  let url: URL;
  try {
    url = resolveUrl(address);
  } catch (error) {
    throw new DownloadError(`${shown(address)} is no address that can be fetched from here.`, { cause: error });
  }
  const file = lastPart(url);
  if (url.protocol === 'file:') {
    const bytes = await readFile(url).catch((error: unknown) => {
      const failed = new DownloadError(`${url.href} cannot be read (${(error as Error).message}).`, { cause: error });
      if ((error as { code?: unknown }).code === 'ENOENT') missing.add(failed);
      throw failed;
    });
    return { file, total: bytes.byteLength, stream: () => once(bytes) };
  }
  const local = url.protocol === 'data:' || url.protocol === 'blob:';
  const store = options.cache && !local ? await Store.open(url) : undefined;
  return new NetworkFile(url, file, store, local ? { ...options, offline: false } : options).open();
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function versionOf(headers: Headers): Version {
  // The length counts compressed bytes where the server compressed the answer.
  const length = headers.get('content-encoding') ? null : headers.get('content-length');
  const tag = headers.get('etag') ?? headers.get('last-modified') ?? undefined;
  return { total: length === null ? undefined : Number(length), tag };
}

class NetworkFile {
  #version: Version = { total: undefined, tag: undefined };
  /** The answer to the first request, as long as nobody has read it. */
  #answer: Response | undefined;

  constructor(
    readonly url: URL,
    readonly file: string,
    readonly store: Store | undefined,
    readonly options: FetchOptions,
  ) {}

  get signal(): AbortSignal | undefined {
    return this.options.signal;
  }

  async open(): Promise<Download> {
    const kept = await this.store?.version();
    if (this.options.offline) {
      if (!kept || !(await this.store?.isWhole(kept))) throw this.#notKept();
      this.#version = kept;
    } else if (kept) await this.#revalidate(kept);
    else {
      this.#answer = await this.#request(0);
      this.#version = versionOf(this.#answer.headers);
    }
    return { file: this.file, total: this.#version.total, stream: () => this.#stream() };
  }

  /** Keeps what the cache has, unless the server has another version. Without a network the cache is all there is. */
  async #revalidate(kept: Version): Promise<void> {
    let now: Version | undefined;
    try {
      const head = await this.#fetch({ method: 'HEAD' });
      if (head.ok) now = versionOf(head.headers);
    } catch {
      this.signal?.throwIfAborted();
    }
    const differs = (key: keyof Version) => now?.[key] !== undefined && kept[key] !== undefined && now[key] !== kept[key];
    if (differs('total') || differs('tag')) {
      await this.store?.clear();
      this.#answer = await this.#request(0);
      this.#version = versionOf(this.#answer.headers);
    } else this.#version = kept;
  }

  async *#stream(): AsyncGenerator<Uint8Array> {
    let at = 0;
    let failures = 0;
    const { total } = this.#version;
    // A piece of the cache, or of the network, then the next, until nothing is missing.
    for (;;) {
      this.signal?.throwIfAborted();
      const piece = this.#answer ? undefined : await this.store?.piece(at);
      const before = at;
      // Without a length nobody could tell later whether what is kept is all of it.
      const keeper = piece || total === undefined ? undefined : this.store?.keeper(at, this.#version);
      try {
        const answer = piece ?? this.#answer ?? (await this.#request(at));
        this.#answer = undefined;
        for await (const chunk of read(answer.body)) {
          this.signal?.throwIfAborted();
          await keeper?.add(chunk);
          at += chunk.byteLength;
          yield chunk;
        }
        if (total === undefined) return;
      } catch (error) {
        this.signal?.throwIfAborted();
        // An answer that says no will not change; a network that is gone for a moment comes back.
        if (error instanceof DownloadError && (at === 0 || !error.cause)) throw error;
        failures = at > before ? 1 : failures + 1;
        if (failures > RETRIES) throw this.#failed(`the connection broke ${failures} times`, error);
        await new Promise((resolve) => setTimeout(resolve, 250 * 2 ** failures));
        continue;
      } finally {
        // Also what came before an interruption is kept, and the next attempt goes on from there.
        await keeper?.flush();
      }
      if (total !== undefined && at >= total) return;
      if (at === before) {
        // A piece that holds nothing would be found again for ever.
        if (!piece) throw this.#failed(`it ended after ${at} of ${total} bytes`);
        await this.store?.clear();
      }
    }
  }

  async #request(from: number): Promise<Response> {
    // No `if-range`: other sites would have to allow that header. The tag of the answer says as much.
    const headers: Record<string, string> = from > 0 ? { range: `bytes=${from}-` } : {};
    let answer: Response;
    // What was whole is no more: somebody has emptied the cache meanwhile.
    if (this.options.offline) throw this.#notKept();
    try {
      answer = await this.#fetch({ headers });
    } catch (error) {
      this.signal?.throwIfAborted();
      throw this.#failed('no answer: see whether the address is right, the network is there, and the server allows CORS', error);
    }
    if (!answer.ok) {
      const failed = this.#failed(`HTTP ${answer.status} ${answer.statusText}`.trim());
      if ([403, 404, 410].includes(answer.status)) missing.add(failed);
      throw failed;
    }
    const { tag } = versionOf(answer.headers);
    const other = tag !== undefined && this.#version.tag !== undefined && tag !== this.#version.tag;
    if (from > 0 && (answer.status !== 206 || other)) {
      await answer.body?.cancel();
      await this.store?.clear();
      throw this.#failed('the file changed on the server, or the server cannot resume; load it again');
    }
    return answer;
  }

  #fetch({ headers, ...request }: { method?: string; headers?: Record<string, string> }): Promise<Response> {
    // As a plain function: the browser's own refuses to be called on anything else.
    const { fetch, headers: more } = this.options;
    return fetch(this.url, { ...request, headers: { ...more, ...headers }, signal: this.signal ?? null });
  }

  #notKept(): DownloadError {
    const failed = new DownloadError(`${shown(this.url)} is not in the cache, at least not all of it; load it once without \`offline\`.`);
    missing.add(failed);
    return failed;
  }

  #failed(reason: string, cause?: unknown): DownloadError {
    return new DownloadError(`${shown(this.url)} cannot be downloaded: ${reason}.`, { cause });
  }
}

/** The chunks of a body. Each is gone when the next one is asked for. */
export async function* read(body: ReadableStream<Uint8Array> | null): AsyncGenerator<Uint8Array> {
  const reader = body?.getReader();
  if (!reader) return;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
      // Some megabytes each, which a garbage collector would let pile up to a good part of the file.
      const buffer = value.buffer as ArrayBuffer & { transfer?(bytes: number): ArrayBuffer };
      if (value.byteLength === buffer.byteLength) buffer.transfer?.(0);
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
