/** A model in a worker: the same engine behind messages. */
import type { Engine, RawResult, RunOptions } from './engine.js';
import { DisposedError, fromPlain, UnsupportedCheckpointError, WebmambaError, type PlainError } from './errors.js';
import type { Picture } from './frames.js';
import type { Features, LoadOptions, ModelInfo, ModelSource, ProfileEntry, ProgressEvent } from './types.js';
import { chosenWasm, type InitOptions } from './wasm.js';

/** A picture that can be handed over. */
export interface SentPicture {
  width: number;
  height: number;
  drawable?: ImageBitmap | VideoFrame;
  pixels?: Uint8Array;
}

export type Request =
  | { id: number; call: 'load'; source: ModelSource; options: LoadOptions; wasm: InitOptions['wasm'] }
  | { id: number; call: 'abort' }
  | { id: number; call: 'run'; picture: SentPicture; options: RunOptions }
  | { id: number; call: 'features'; picture: SentPicture }
  | { id: number; call: 'profile' | 'allocations' | 'dispose' };

export type Reply =
  | { id: number; value: unknown }
  | { id: number; error: PlainError }
  | { progress: ProgressEvent }
  | { lost: PlainError }
  | { wasm: number };

type Call = Request extends infer R ? (R extends { id: number } ? Omit<R, 'id'> : never) : never;

interface Waiting {
  resolve(value: never): void;
  reject(error: unknown): void;
}

export class RemoteEngine implements Engine {
  info!: ModelInfo;
  readonly lost: Promise<Error>;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #tellLost!: (error: Error) => void;
  #report: ((event: ProgressEvent) => void) | undefined;
  #next = 0;
  #wasm = 0;
  #over: Error | undefined;

  private constructor() {
    this.lost = new Promise((resolve) => {
      this.#tellLost = resolve;
    });
    this.#worker = new Worker(new URL('./worker-thread.js', import.meta.url), { type: 'module', name: 'webmamba' });
    this.#worker.addEventListener('message', ({ data }: MessageEvent<Reply>) => this.#hear(data));
    this.#worker.addEventListener('error', (event) => {
      const stopped = new WebmambaError(`The worker stopped: ${event.message || 'its script cannot be loaded'}.`);
      this.#end(stopped);
      this.#tellLost(stopped);
    });
  }

  static async load(source: ModelSource, options: LoadOptions): Promise<RemoteEngine> {
    const { signal, onProgress, worker: _, ...rest } = options;
    signal?.throwIfAborted();
    if (typeof rest.device === 'object') {
      throw new UnsupportedCheckpointError('A GPUDevice cannot go to a worker: load without `device` or without `worker`.');
    }
    const engine = new RemoteEngine();
    engine.#report = onProgress;
    const abort = () => engine.#post({ call: 'abort' });
    signal?.addEventListener('abort', abort);
    try {
      const load = { call: 'load', source: absolute(source), options: { ...rest, ...plainUrls(rest) }, wasm: chosenWasm() } as const;
      const info = await engine.#ask<ModelInfo>(load);
      const wasm = () => engine.#wasm;
      engine.info = {
        ...info,
        get memory() {
          return { ...info.memory, wasm: wasm() };
        },
      };
      signal?.throwIfAborted();
      return engine;
    } catch (error) {
      engine.#end(new DisposedError('The model was not loaded.'));
      throw signal?.aborted ? signal.reason : error;
    } finally {
      signal?.removeEventListener('abort', abort);
      engine.#report = undefined;
    }
  }

  async run(picture: Picture, options: RunOptions): Promise<RawResult> {
    const start = performance.now();
    const [sent, transfer] = await sendable(picture);
    const handed = performance.now() - start;
    const result = await this.#ask<RawResult>({ call: 'run', picture: sent, options }, transfer);
    return { ...result, capture: result.capture + handed };
  }

  async features(picture: Picture): Promise<Features> {
    const [sent, transfer] = await sendable(picture);
    return this.#ask<Features>({ call: 'features', picture: sent }, transfer);
  }

  profile(): Promise<ProfileEntry[]> {
    return this.#ask<ProfileEntry[]>({ call: 'profile' });
  }

  allocations(): Promise<number[]> {
    return this.#ask<number[]>({ call: 'allocations' });
  }

  async dispose(): Promise<void> {
    if (this.#over) return;
    await this.#ask({ call: 'dispose' }).catch(() => undefined);
    this.#end(new DisposedError('The classifier was disposed; load the model again.'));
  }

  #ask<T>(call: Call, transfer: Transferable[] = []): Promise<T> {
    if (this.#over) return Promise.reject(this.#over);
    return new Promise<T>((resolve, reject) => {
      const id = this.#post(call, transfer);
      this.#waiting.set(id, { resolve, reject });
    });
  }

  #post(call: Call, transfer: Transferable[] = []): number {
    const id = this.#next++;
    this.#worker.postMessage({ id, ...call }, transfer);
    return id;
  }

  #hear(reply: Reply): void {
    if ('progress' in reply) this.#report?.(reply.progress);
    else if ('lost' in reply) this.#tellLost(fromPlain(reply.lost));
    else if ('wasm' in reply) this.#wasm = reply.wasm;
    else {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if ('error' in reply) waiting?.reject(fromPlain(reply.error));
      else waiting?.resolve(reply.value as never);
    }
  }

  #end(error: Error): void {
    this.#over ??= error;
    this.#worker.terminate();
    for (const { reject } of this.#waiting.values()) reject(this.#over);
    this.#waiting.clear();
  }
}

/** Workers resolve relative addresses against their own script. */
function absolute(source: ModelSource): ModelSource {
  const resolve = (url: string | URL) => new URL(url, document.baseURI).href;
  if (source instanceof URL) return source.href;
  if (typeof source === 'string') return /^[./]/.test(source) ? resolve(source) : source;
  const file = <T>(value: T): T | string => {
    if (value instanceof URL) return value.href;
    return typeof value === 'string' && !value.trimStart().startsWith('{') ? resolve(value) : value;
  };
  return { ...source, weights: file(source.weights), ...(source.config !== undefined && { config: file(source.config) }) };
}

function plainUrls({ baseUrl }: LoadOptions): { baseUrl?: string } {
  return baseUrl === undefined ? {} : { baseUrl: new URL(baseUrl, document.baseURI).href };
}

/** Bitmaps and video frames are handed over; everything else is copied first. */
async function sendable(picture: Picture): Promise<[SentPicture, Transferable[]]> {
  const { width, height, pixels, drawable } = picture;
  if (pixels) {
    const copy = pixels.slice();
    return [{ width, height, pixels: copy }, [copy.buffer]];
  }
  if (typeof VideoFrame === 'function' && drawable instanceof VideoFrame) {
    const copy = drawable.clone();
    return [{ width, height, drawable: copy }, [copy]];
  }
  const bitmap = await createImageBitmap(drawable as ImageBitmapSource, { premultiplyAlpha: 'none' });
  return [{ width: bitmap.width, height: bitmap.height, drawable: bitmap }, [bitmap]];
}
