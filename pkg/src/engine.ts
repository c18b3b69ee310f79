/** A model on a device in this very thread. */
import { raced } from './calls.js';
import { awake, openDevice, type OpenDevice } from './device.js';
import { DeviceLostError, OutOfMemoryError, WebmambaError } from './errors.js';
import { limited, type Picture } from './frames.js';
import type { Located } from './locate.js';
import { PixelReader, TextureStage } from './pixels.js';
import { typed } from './plain.js';
import { resolveModel, type ResolvedModel } from './source.js';
import { checkpoint } from './torch.js';
import type { Features, HostTensor, LoadOptions, MapKind, ModelInfo, ProfileEntry, WasmSource } from './types.js';
import { turnedBack, Turner } from './turn.js';
import { module } from './wasm.js';
import type { Loader, WebModel } from './webmamba.js';

/** Values of the positions of a picture; the region is left, top, width and height. */
export interface RawHeat {
  width: number;
  height: number;
  values: Float32Array;
  region: [number, number, number, number];
}

/** What the model says of one picture. */
export interface RawResult {
  indices: Uint32Array;
  values: Float32Array;
  scores?: Float32Array;
  map?: RawHeat & { index: number };
  /** Milliseconds. */
  capture: number;
  preprocess: number;
  model: number;
  readback: number;
}

/** What the model says of the pixels of one picture; `values` are the shares of the classes `indices`, the largest first. */
export interface RawMap {
  width: number;
  height: number;
  classMap: Uint8Array;
  indices: Uint32Array;
  values: Float32Array;
  /** Milliseconds. */
  capture: number;
  preprocess: number;
  model: number;
  readback: number;
}

export interface RawPrepared extends RawMap {
  logits: HostTensor;
  tensors: Record<string, HostTensor>;
}

export interface RunOptions {
  scores: boolean;
  map: boolean;
  /** The class of the map; the best one, of those that are 1 in `among`, where it is not given. */
  class?: number;
  among?: Uint8Array;
}

/** What {@link ImageClassifier} stands on: here, or in a worker. Its calls must not overlap. */
export interface Engine {
  readonly info: ModelInfo;
  readonly lost: Promise<Error>;
  run(picture: Picture, options: RunOptions): Promise<RawResult>;
  /** How many pictures of a list {@link list} and {@link embedList} take; 1 where they are better run one by one. */
  batch(): Promise<number>;
  /** What {@link run} and {@link embed} give, for every one of at most {@link batch} pictures. */
  list(pictures: readonly Picture[], scores: boolean): Promise<RawResult[]>;
  embedList(pictures: readonly Picture[]): Promise<Float32Array[]>;
  /** Which frames of a film of so many a model of clips looks at. */
  frames(available: number): Promise<number[]>;
  /** What it says of a film of `available` frames; `pictures` are those that {@link frames} names. */
  clip(pictures: readonly Picture[], available: number, scores: boolean): Promise<RawResult>;
  segment(picture: Picture): Promise<RawMap>;
  /** The same of an input that is ready, for an image of this size, with the logits. */
  prepared(input: HostTensor, width: number, height: number, inner: string[]): Promise<RawPrepared>;
  /** What the scans of a layer do. */
  explain(picture: Picture, kind: MapKind, layer: string): Promise<RawHeat>;
  /** The same with the frames of a clip, as {@link clip} takes them: a map of each frame that is looked at, and which that is. */
  explainClip(pictures: readonly Picture[], available: number, kind: MapKind, layer: string): Promise<(RawHeat & { frame: number })[]>;
  features(picture: Picture): Promise<Features>;
  /** What the head takes. */
  embed(picture: Picture): Promise<Float32Array>;
  profile(): Promise<ProfileEntry[]>;
  /** Objects made on the device so far, for tests of leaks: buffers, bind groups, pipelines. */
  allocations(): Promise<number[]>;
  dispose(): Promise<void>;
}

/** What the device takes of a picture: the image, its width and height, and the milliseconds that took. */
type Seen = [image: GPUTexture | Uint8Array, width: number, height: number, capture: number];

/** Bytes that are collected before they are sent to the device. */
const UPLOAD = 4 << 20;

export class LocalEngine implements Engine {
  readonly info: ModelInfo;
  readonly lost: Promise<Error>;
  readonly #device: OpenDevice;
  readonly #model: WebModel;
  readonly #reader = new PixelReader();
  readonly #turner = new Turner(this.#reader);
  readonly #stage: TextureStage | undefined;
  #disposed = false;
  /** Why the device is no longer there. */
  #gone: Error | undefined;

  private constructor(device: OpenDevice, model: WebModel, info: ModelInfo) {
    this.#device = device;
    this.#model = model;
    this.#stage = device.gpu && new TextureStage(device.gpu);
    this.info = info;
    this.lost = new Promise((resolve) => {
      void device.gpu?.lost.then(({ message }) => {
        if (this.#disposed) return;
        this.#gone = lostError(message);
        resolve(this.#gone);
      });
    });
  }

  /** `torch` tells where the module lies that reads files of `torch.save`. */
  static async load(source: Located, options: LoadOptions, wasm: () => WasmSource, torch: () => string | URL): Promise<LocalEngine> {
    const { signal, onProgress } = options;
    signal?.throwIfAborted();
    const report: typeof onProgress = (event) => !signal?.aborted && onProgress?.(event);
    const { glue, memory } = await raced(module(wasm), signal);
    const device = await raced(openDevice(glue, options), signal, (late) => late.owned && late.gpu?.destroy());
    // What is running when an abort comes uses these until it ends.
    let busy: Promise<unknown> = Promise.resolve();
    let undo = () => undefined as unknown;
    const run = <T>(work: Promise<T>): Promise<T> => {
      busy = work.catch(() => undefined);
      return raced(work, signal);
    };
    try {
      const { name, config, preprocessor, arch, weights, own } = await resolveModel(source, options);
      const size = typeof options.size === 'number' ? [options.size, options.size] : options.size;
      const loader: Loader = new glue.Loader(
        device.handle,
        name,
        weights.total,
        config,
        preprocessor,
        arch,
        options.state,
        options.labels && JSON.stringify(options.labels),
        size && Uint32Array.from(size),
        options.large ?? false,
      );
      undo = () => loader.free();
      const upload = async () => {
        await run(loader.upload());
        const [loaded = 0, total = 0] = loader.uploaded();
        if (total) report({ phase: 'upload', loaded, total });
      };
      const download = async function* () {
        let loaded = 0;
        const total = weights.total ?? 0;
        report({ phase: 'download', loaded, total, file: weights.file });
        for await (const chunk of weights.stream()) {
          loaded += chunk.byteLength;
          report({ phase: 'download', loaded, total: Math.max(total, loaded), file: weights.file });
          signal?.throwIfAborted();
          yield chunk;
        }
      };
      let pending = 0;
      for await (const chunk of checkpoint(download(), weights.total, loader, torch, signal)) {
        loader.push(chunk);
        pending += chunk.byteLength;
        if (pending >= UPLOAD) {
          await upload();
          pending = 0;
        }
        signal?.throwIfAborted();
      }
      await upload();
      signal?.throwIfAborted();
      // `finish` takes the loader, also when it fails.
      const finishing = loader.finish((loaded: number, total: number) => report({ phase: 'compile', loaded, total }));
      undo = () => finishing.then((model) => model.free(), () => undefined);
      const model = await run(finishing);
      const engine = new LocalEngine(device, model, describe(model, device, memory, own));
      undo = () => engine.dispose();
      signal?.throwIfAborted();
      // An image of a dense model takes seconds on some devices.
      if (!engine.info.palette) await run(engine.#warmUp(report));
      report({ phase: 'ready', loaded: 1, total: 1 });
      signal?.throwIfAborted();
      return engine;
    } catch (error) {
      void busy.then(undo).then(() => device.owned && device.gpu?.destroy());
      throw signal?.aborted ? signal.reason : typed(error);
    }
  }

  /** The first run compiles what drivers compile late, so that no user waits for it: also the copy of images to the GPU. */
  async #warmUp(report: NonNullable<LoadOptions['onProgress']>): Promise<void> {
    report({ phase: 'warmup', loaded: 0, total: 1 });
    const [height, width] = this.info.size;
    const blank: Picture = { width, height, scale: 1, pixels: new Uint8Array(width * height * 4), own: false, close: () => undefined };
    const canvas = this.#stage && typeof OffscreenCanvas === 'function' ? new OffscreenCanvas(width, height) : undefined;
    // A canvas has no pixels to copy before somebody asks for its context.
    const drawable = canvas?.getContext('2d') ? canvas : undefined;
    if (this.info.frames > 1) await this.clip([blank], 1, false);
    else await this.run(drawable ? { ...blank, drawable } : blank, { scores: false, map: false });
    report({ phase: 'warmup', loaded: 1, total: 1 });
  }

  run(picture: Picture, { scores, map, class: index, among }: RunOptions): Promise<RawResult> {
    return this.#withImage(picture, async (image, width, height, capture) => {
      const classify = async (map: boolean, index?: number) => (await this.#model.classify(image, width, height, scores, map, index)) as RawResult;
      // The device knows the best of all classes only; which of some is the best shows afterwards.
      const later = map && among !== undefined && index === undefined;
      const result = await classify(map && !later, index);
      const chosen = later && result.scores ? bestOf(result.scores, among) : undefined;
      if (chosen !== undefined) {
        const { map, model } = await classify(true, chosen);
        Object.assign(result, { map, model: result.model + model });
      }
      return { ...result, ...(result.map && { map: onPicture(result.map, picture, width) }), capture };
    });
  }

  batch(): Promise<number> {
    return this.#guarded(() => this.#model.listBatch());
  }

  async list(pictures: readonly Picture[], scores: boolean): Promise<RawResult[]> {
    const captures = await this.#place(pictures);
    const results = await this.#guarded(() => this.#model.placed(pictures.length, scores, false) as Promise<RawResult[]>);
    return results.map((result, i) => ({ ...result, capture: captures[i] ?? 0 }));
  }

  async embedList(pictures: readonly Picture[]): Promise<Float32Array[]> {
    await this.#place(pictures);
    return this.#guarded(() => this.#model.placed(pictures.length, false, true) as Promise<Float32Array[]>);
  }

  /** Brings pictures to the device, each to its place in the batch: the milliseconds that each took. */
  async #place(pictures: readonly Picture[]): Promise<number[]> {
    const captures: number[] = [];
    for (const [place, picture] of pictures.entries()) {
      await this.#withImage(picture, async (image, width, height, capture) => {
        captures.push(capture);
        await this.#model.place(image, width, height, place);
      });
    }
    return captures;
  }

  frames(available: number): Promise<number[]> {
    return this.#guarded(async () => [...this.#model.frames(available)]);
  }

  clip(pictures: readonly Picture[], available: number, scores: boolean): Promise<RawResult> {
    return this.#guarded(async () => {
      const start = performance.now();
      const [pixels, sizes] = await this.#pixels(pictures);
      const capture = performance.now() - start;
      return { ...((await this.#model.clip(pixels, sizes, available, scores)) as RawResult), capture };
    });
  }

  explainClip(pictures: readonly Picture[], available: number, kind: MapKind, layer: string): Promise<(RawHeat & { frame: number })[]> {
    return this.#guarded(async () => {
      const [pixels, sizes] = await this.#pixels(pictures);
      const get = byName(await this.#model.clip(pixels, sizes, available, false, layer));
      const { shape: [, height = 0, width = 0], data } = get(kind);
      const known = [...this.#model.frames(available)];
      return [...get('frames').data].map((frame, i) => {
        const place = known.indexOf(frame);
        const [seen = 1, down = 1] = sizes.subarray(2 * place);
        const region = [...this.#model.region(seen, down)] as RawHeat['region'];
        const values = data.slice(i * height * width, (i + 1) * height * width);
        return { frame, ...onPicture({ width, height, values, region }, pictures[place] as Picture, seen) };
      });
    });
  }

  /** The pixels of pictures, upright, and their widths and heights. The canvas that they are turned on and read through is one. */
  async #pixels(pictures: readonly Picture[]): Promise<[Uint8Array[], Uint32Array]> {
    const [pixels, sizes]: [Uint8Array[], number[]] = [[], []];
    for (const picture of pictures) {
      const upright = await this.#turner.turned(picture);
      pixels.push(await this.#reader.read(upright));
      sizes.push(upright.width, upright.height);
    }
    return [pixels, Uint32Array.from(sizes)];
  }

  segment(picture: Picture): Promise<RawMap> {
    return this.#withImage(picture, async (image, width, height, capture) => ({ ...((await this.#model.segment(image, width, height)) as RawMap), capture }));
  }

  prepared({ data, shape }: HostTensor, width: number, height: number, inner: string[]): Promise<RawPrepared> {
    return this.#guarded(async () => {
      const got = await this.#model.run(data, Uint32Array.from(shape), width, height, inner);
      const [map, logits, ...tensors] = got as [RawMap, RawTensor, ...RawTensor[]];
      const named = tensors.map((tensor) => [tensor[0], hostTensor(tensor)]);
      return { ...map, logits: hostTensor(logits), tensors: Object.fromEntries(named), capture: 0 };
    });
  }

  explain(picture: Picture, kind: MapKind, layer: string): Promise<RawHeat> {
    return this.#withImage(picture, async (...seen) => {
      const get = byName(await this.#tensors(seen, false, layer));
      const { shape: [, height = 0, width = 0], data: values } = get(kind);
      return onPicture({ width, height, values, region: [...get('region').data] as RawHeat['region'] }, picture, seen[1]);
    });
  }

  features(picture: Picture): Promise<Features> {
    return this.#withImage(picture, async (...seen) => {
      const list = await this.#tensors(seen, false);
      const get = byName(list);
      return { pooled: get('pooled'), stages: list.filter(([name]) => name.startsWith('stage')).map(hostTensor), logits: get('logits') };
    });
  }

  embed(picture: Picture): Promise<Float32Array> {
    return this.#withImage(picture, async (...seen) => byName(await this.#tensors(seen, true))('pooled').data);
  }

  /** What the model sees: all of it, `pooled` alone, or what the scans of a layer do. */
  async #tensors([image, width, height]: Seen, pooled: boolean, layer?: string): Promise<RawTensor[]> {
    return (await this.#model.features(image, width, height, pooled, layer)) as RawTensor[];
  }

  /** Runs `use` on what the device takes of a picture. */
  #withImage<T>(picture: Picture, use: (...seen: Seen) => Promise<T>): Promise<T> {
    return this.#guarded(async () => {
      const start = performance.now();
      const small = await this.#fitting(picture);
      try {
        const upright = await this.#turner.turned(small);
        const image = await this.#image(upright);
        return await use(image, upright.width, upright.height, performance.now() - start);
      } finally {
        if (small !== picture) small.close();
      }
    });
  }

  /** A texture or RGBA bytes, as the device takes it. */
  async #image(picture: Picture): Promise<GPUTexture | Uint8Array> {
    return this.#stage && picture.drawable ? this.#stage.copy(picture) : this.#reader.read(picture);
  }

  /** What the device can hold: larger images are reduced first. */
  #fitting(picture: Picture): Promise<Picture> {
    const limits = this.#device.gpu?.limits;
    if (!limits) return Promise.resolve(picture);
    return limited(picture, limits.maxTextureDimension2D, (limits.maxStorageBufferBindingSize / 4) * 0.95);
  }

  profile(): Promise<ProfileEntry[]> {
    return this.#guarded(async () => (await this.#model.profile()) as ProfileEntry[]);
  }

  allocations(): Promise<number[]> {
    return this.#guarded(async () => [...this.#model.allocations()]);
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#stage?.destroy();
    this.#model.free();
    this.#device.handle.free();
    if (this.#device.owned) this.#device.gpu?.destroy();
  }

  /** Tells the loss of the device, whatever a call says of it. */
  async #guarded<T>(run: () => Promise<T>): Promise<T> {
    try {
      if (this.#gone) throw this.#gone;
      return await awake(this.#device.gpu, run);
    } catch (error) {
      // When a device is lost, calls fail in ways of their own, often before the browser tells of the loss.
      if (this.#device.gpu && !this.#gone) await Promise.race([this.lost, new Promise((resolve) => setTimeout(resolve, 50))]);
      throw this.#gone ?? typed(error);
    }
  }
}

/** A tensor as the module gives it: name, shape, values. */
type RawTensor = [string, Uint32Array, Float32Array];

const hostTensor = ([, shape, data]: RawTensor): HostTensor => ({ shape: [...shape], data });

/** Tensors of the module by their names. */
function byName(list: unknown): (name: string) => HostTensor {
  const tensors = new Map((list as RawTensor[]).map((tensor) => [tensor[0], hostTensor(tensor)]));
  return (name) => {
    const tensor = tensors.get(name);
    if (!tensor) throw new WebmambaError(`This model has no ${name}.`);
    return tensor;
  };
}

/** A map of what the device saw, `width` pixels across, on the picture as it came, in its pixels. */
function onPicture<T extends RawHeat>(map: T, { width: across, height: down, rotation = 0 }: Picture, width: number): T {
  const scale = (rotation % 180 ? down : across) / width;
  const region = map.region.map((n) => n * scale) as RawHeat['region'];
  return { ...map, region, ...turnedBack({ ...map, region }, across, down, rotation) };
}

/** The class of the highest score of those that are 1 in `among`. */
function bestOf(scores: Float32Array, among: Uint8Array): number | undefined {
  let best: number | undefined;
  scores.forEach((score, index) => {
    if (among[index] && (best === undefined || score > (scores[best] ?? 0))) best = index;
  });
  return best;
}

function lostError(message: string): Error {
  if (/memory/i.test(message)) return new OutOfMemoryError(`The GPU ran out of memory (${message}).`);
  return new DeviceLostError(`The GPU device was lost (${message || 'no reason is given'}); load the model again.`);
}

function describe(
  model: WebModel,
  device: OpenDevice,
  memory: WebAssembly.Memory,
  own: ResolvedModel['own'],
): ModelInfo {
  const { weights, activations, ...rest } = model.info() as ModelInfo & { weights: number; activations: number };
  return {
    ...rest,
    ...own,
    device: device.info,
    get memory() {
      return { weights, activations, wasm: memory.buffer.byteLength };
    },
  };
}
