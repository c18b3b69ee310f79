/** A model in a worker: the same engine behind messages. */
import { asset } from './assets.js';
import type { Engine, RawHeat, RawMap, RawPrepared, RawResult, RunOptions } from './engine.js';
import { DisposedError, WorkerError } from './errors.js';
import { unreadable, type Picture } from './frames.js';
import type { Located } from './locate.js';
import { tag } from './options.js';
import { fromPlain, type PlainError } from './plain.js';
import type { Features, HostTensor, LoadOptions, MapKind, ModelInfo, ProfileEntry, ProgressEvent, Rotation, WasmSource } from './types.js';
import { shown } from './urls.js';

/** A picture that can be handed over. */
export interface SentPicture {
  width: number;
  height: number;
  rotation: Rotation;
  drawable?: ImageBitmap | VideoFrame;
  pixels?: Uint8Array;
}

export type Request =
  | { id: number; call: 'load'; model: Located; options: LoadOptions; wasm: WasmSource; torch: string | undefined }
  | { id: number; call: 'abort' }
  | { id: number; call: 'run'; picture: SentPicture; options: RunOptions }
  | { id: number; call: 'batch' }
  | { id: number; call: 'list'; pictures: SentPicture[]; scores: boolean }
  | { id: number; call: 'embedList'; pictures: SentPicture[] }
  | { id: number; call: 'frames'; available: number }
  | { id: number; call: 'clip'; pictures: SentPicture[]; available: number; scores: boolean }
  | { id: number; call: 'explainClip'; pictures: SentPicture[]; available: number; kind: MapKind; layer: string }
  | { id: number; call: 'explain'; picture: SentPicture; kind: MapKind; layer: string }
  | { id: number; call: 'features' | 'embed' | 'segment'; picture: SentPicture }
  | { id: number; call: 'prepared'; input: HostTensor; width: number; height: number; inner: string[] }
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
    const [worker, script] = startWorker();
    this.#worker = worker;
    this.#worker.addEventListener('message', ({ data }: MessageEvent<Reply>) => this.#hear(data));
    this.#worker.addEventListener('error', (event) => {
      const reason = event.message || `its script ${shown(script)} cannot be loaded; see whether it is there, and whether the page's security policy allows it`;
      const stopped = new WorkerError(`The worker stopped: ${reason}.`);
      this.#end(stopped);
      this.#tellLost(stopped);
    });
  }

  static async load(model: Located, options: LoadOptions, wasm: WasmSource, torch: string | undefined): Promise<RemoteEngine> {
    const { signal, onProgress, worker: _, ...rest } = options;
    signal?.throwIfAborted();
    const engine = new RemoteEngine();
    engine.#report = (event) => !signal?.aborted && onProgress?.(event);
    const abort = () => engine.#post({ call: 'abort' });
    signal?.addEventListener('abort', abort);
    try {
      const info = await engine.#ask<ModelInfo>({ call: 'load', model, options: rest, wasm, torch });
      const wasmBytes = () => engine.#wasm;
      engine.info = {
        ...info,
        get memory() {
          return { ...info.memory, wasm: wasmBytes() };
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

  batch(): Promise<number> {
    return this.#ask<number>({ call: 'batch' });
  }

  async list(pictures: readonly Picture[], scores: boolean): Promise<RawResult[]> {
    const start = performance.now();
    const [sent, transfer] = await allSendable(pictures);
    const handed = (performance.now() - start) / pictures.length;
    const results = await this.#ask<RawResult[]>({ call: 'list', pictures: sent, scores }, transfer);
    return results.map((result) => ({ ...result, capture: result.capture + handed }));
  }

  async embedList(pictures: readonly Picture[]): Promise<Float32Array[]> {
    const [sent, transfer] = await allSendable(pictures);
    return this.#ask<Float32Array[]>({ call: 'embedList', pictures: sent }, transfer);
  }

  frames(available: number): Promise<number[]> {
    return this.#ask<number[]>({ call: 'frames', available });
  }

  async clip(pictures: readonly Picture[], available: number, scores: boolean): Promise<RawResult> {
    const start = performance.now();
    const [sent, transfer] = await allSendable(pictures);
    const handed = performance.now() - start;
    const result = await this.#ask<RawResult>({ call: 'clip', pictures: sent, available, scores }, transfer);
    return { ...result, capture: result.capture + handed };
  }

  async segment(picture: Picture): Promise<RawMap> {
    const start = performance.now();
    const [sent, transfer] = await sendable(picture);
    const handed = performance.now() - start;
    const result = await this.#ask<RawMap>({ call: 'segment', picture: sent }, transfer);
    return { ...result, capture: result.capture + handed };
  }

  prepared(input: HostTensor, width: number, height: number, inner: string[]): Promise<RawPrepared> {
    return this.#ask<RawPrepared>({ call: 'prepared', input, width, height, inner });
  }

  async explain(picture: Picture, kind: MapKind, layer: string): Promise<RawHeat> {
    const [sent, transfer] = await sendable(picture);
    return this.#ask<RawHeat>({ call: 'explain', picture: sent, kind, layer }, transfer);
  }

  async explainClip(pictures: readonly Picture[], available: number, kind: MapKind, layer: string): Promise<(RawHeat & { frame: number })[]> {
    const [sent, transfer] = await allSendable(pictures);
    return this.#ask<(RawHeat & { frame: number })[]>({ call: 'explainClip', pictures: sent, available, kind, layer }, transfer);
  }

  async features(picture: Picture): Promise<Features> {
    const [sent, transfer] = await sendable(picture);
    return this.#ask<Features>({ call: 'features', picture: sent }, transfer);
  }

  async embed(picture: Picture): Promise<Float32Array> {
    const [sent, transfer] = await sendable(picture);
    return this.#ask<Float32Array>({ call: 'embed', picture: sent }, transfer);
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
    this.#end(new DisposedError('The model was disposed; load it again.'));
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
    try {
      this.#worker.postMessage({ id, ...call }, transfer);
    } catch (error) {
      // Pictures of other sites cannot be handed over.
      throw 'picture' in call || 'pictures' in call ? unreadable(new DOMException('not allowed', 'SecurityError')) : error;
    }
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

/** The worker, and the address of its script. */
function startWorker(): [Worker, string] {
  if (typeof Worker === 'undefined') throw new WorkerError('There are no workers here: load without `worker`.');
  const script = asset('worker-thread.js').href;
  // Browsers start workers from the page's own site only; a module of the page itself may import from elsewhere.
  // `origin`, as the location of a frame without an origin does not tell of that. Outside browsers there is none.
  const near = globalThis.origin === undefined || new URL(script).origin === globalThis.origin;
  const text = `import ${JSON.stringify(script)};`;
  const type = 'text/javascript';
  // Blobs of frames without an origin are no modules.
  const stub = globalThis.origin === 'null' ? `data:${type},${encodeURIComponent(text)}` : undefined;
  const blob = near || stub ? undefined : URL.createObjectURL(new Blob([text], { type }));
  try {
    return [new Worker(trusted(stub ?? blob ?? script), { type: 'module', name: 'webmamba' }), script];
  } catch (error) {
    throw new WorkerError(`The browser starts no worker from ${shown(script)} (${(error as Error).message}); load without \`worker\`.`, { cause: error });
  } finally {
    // The script is fetched by now or in the next moments; ten seconds are enough for that.
    if (blob) setTimeout(() => URL.revokeObjectURL(blob), 10_000);
  }
}

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
}

let policy: ReturnType<TrustedTypes['createPolicy']> | undefined;

/** The address as pages with Trusted Types want it; without them as it is. */
function trusted(script: string): string {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  policy ??= trustedTypes?.createPolicy('webmamba', { createScriptURL: (url) => url });
  return policy ? policy.createScriptURL(script) : script;
}

/** Bitmaps of the package's own and video frames are handed over; everything else is copied first. */
async function sendable(picture: Picture): Promise<[SentPicture, Transferable[]]> {
  const { width, height, rotation = 0, pixels, drawable, own } = picture;
  if (pixels) {
    const copy = pixels.slice();
    return [{ width, height, rotation, pixels: copy }, [copy.buffer]];
  }
  if (tag(drawable) === 'VideoFrame') {
    const copy = (drawable as VideoFrame).clone();
    return [{ width, height, rotation, drawable: copy }, [copy]];
  }
  if (own && tag(drawable) === 'ImageBitmap') return [{ width, height, rotation, drawable: drawable as ImageBitmap }, [drawable as ImageBitmap]];
  const bitmap = await createImageBitmap(drawable as ImageBitmapSource, { premultiplyAlpha: 'none' }).catch((error: unknown) => {
    throw unreadable(error);
  });
  return [{ width: bitmap.width, height: bitmap.height, rotation, drawable: bitmap }, [bitmap]];
}

async function allSendable(pictures: readonly Picture[]): Promise<[SentPicture[], Transferable[]]> {
  const sent = await Promise.all(pictures.map(sendable));
  return [sent.map(([picture]) => picture), sent.flatMap(([, transfer]) => transfer)];
}
