/// <reference lib="esnext.disposable" preserve="true" />
/** The package's main class. */
import { Calls } from './calls.js';
import { LocalEngine, type Engine, type RawResult } from './engine.js';
import { DownloadError, WebmambaError } from './errors.js';
import { toPicture } from './frames.js';
import { wasmSource } from './init.js';
import { locate } from './locate.js';
import { checkClassify, checkFeatures, checkLoad, checkVideo } from './options.js';
import { RemoteEngine } from './remote.js';
import type {
  Classification, ClassifyOptions, Features, ImageSource, LoadOptions, ModelInfo, ModelSource, Prediction, ProfileEntry,
  VideoClassification, VideoOptions,
} from './types.js';
import { FrameClock, Smoothing } from './video.js';

/** The best classes that come back from the device by themselves; more need all scores. */
const FROM_DEVICE = 8;

/** A model that is ready to classify images. */
export class ImageClassifier {
  readonly #engine: Engine;
  readonly #calls = new Calls();

  /** For {@link ImageClassifier.load}. */
  protected constructor(engine: object) {
    if (!engine) throw new WebmambaError('Classifiers are made by ImageClassifier.load(), not by `new`.');
    this.#engine = engine as Engine;
  }

  /**
   * Downloads a model, brings it to the device, compiles its kernels and warms them up.
   *
   * @throws {InvalidOptionError} an option that does not exist or cannot have this value
   * @throws {DownloadError} a file cannot be fetched
   * @throws {UnsupportedCheckpointError} the files are not a model that can be run
   * @throws {WebGpuUnavailableError} WebGPU was asked for and is not there
   * @throws {OutOfMemoryError} the model is too large for the device
   * @throws {WorkerError} a worker was asked for and cannot be started
   * @throws `AbortError` when `signal` is aborted; what has been downloaded by then is kept for the next time
   */
  static async load(source: ModelSource = 'mamba_vision_nano', options: LoadOptions = {}): Promise<ImageClassifier> {
    checkLoad(options);
    const model = locate(source, options);
    const engine = options.worker
      ? await RemoteEngine.load(model, options, wasmSource())
      : await LocalEngine.load(model, options, wasmSource);
    try {
      engine.info.labels = await labelsOf(engine.info);
    } catch (error) {
      await engine.dispose();
      throw new DownloadError(`The names of ImageNet's classes cannot be loaded (${(error as Error).message}); give \`labels\`.`, { cause: error });
    }
    return new this(engine);
  }

  /** The model, its device and the memory it takes. */
  get info(): ModelInfo {
    return this.#engine.info;
  }

  /** Resolves with the reason when the device goes away. Pending and later calls then fail; load the model again. */
  get lost(): Promise<Error> {
    return this.#engine.lost;
  }

  /**
   * The best classes of an image.
   *
   * @throws {InvalidImageError} the image cannot be decoded or read
   * @throws {DeviceLostError} the device went away
   */
  async classify(source: ImageSource, options: ClassifyOptions = {}): Promise<Classification> {
    checkClassify(options);
    return this.#classify(source, options);
  }

  #classify(source: ImageSource, options: ClassifyOptions, smoothing?: Smoothing): Promise<Classification> {
    options.signal?.throwIfAborted();
    return this.#calls.begin(() => this.#classifyNext(source, options, smoothing));
  }

  async #classifyNext(source: ImageSource, options: ClassifyOptions, smoothing?: Smoothing): Promise<Classification> {
    const { topK = 5, threshold = 0, heatmap = false, signal } = options;
    const start = performance.now();
    const picture = await toPicture(source, signal);
    const decoded = performance.now();
    const wanted = { scores: topK > FROM_DEVICE || smoothing !== undefined, map: heatmap };
    const raw = await this.#calls.next(() => this.#engine.run(picture, wanted), signal, () => picture.close());
    const scores = smoothing && raw.scores ? smoothing.next(raw.scores) : raw.scores;
    const ranked = scores ? best(scores, topK) : pairs(raw).slice(0, topK);
    const confident = isConfident(ranked[0], this.info);
    const predictions = ranked
      .filter(([, score]) => score >= threshold)
      .map(([index, score]): Prediction => ({ index, label: this.info.labels[index] ?? String(index), score }));
    const timing = {
      capture: decoded - start + raw.capture,
      preprocess: raw.preprocess,
      model: raw.model,
      readback: raw.readback,
      total: performance.now() - start,
    };
    if (!raw.map) return { predictions, confident, timing };
    const { region, ...map } = raw.map;
    const [x, y, width, height] = region.map((n) => n * picture.scale) as typeof region;
    return { predictions, confident, timing, heatmap: { ...map, region: { x, y, width, height } } };
  }

  /**
   * Classifies a video as it plays: always the newest frame, one at a time; frames that come meanwhile are skipped. Ends with
   * the video. In a hidden tab browsers show no frames, and this waits.
   *
   * @throws as {@link classify}; `AbortError` when `signal` is aborted
   */
  async *classifyVideo(video: HTMLVideoElement, options: VideoOptions = {}): AsyncGenerator<VideoClassification, void, void> {
    const { maxFps, smoothing: past, ...rest } = options;
    checkVideo(options);
    this.#calls.check();
    const clock = new FrameClock(video, maxFps, [options.signal, this.#calls.ended]);
    const smoothing = past ? new Smoothing(past) : undefined;
    while (await clock.next()) {
      const result = await this.#classify(video, rest, smoothing);
      yield { ...result, ...clock.count() };
    }
    this.#calls.check();
  }

  /** What the model sees: outputs of its stages, what its head takes, and the logits. */
  async features(source: ImageSource, options: { signal?: AbortSignal } = {}): Promise<Features> {
    checkFeatures(options);
    const { signal } = options;
    signal?.throwIfAborted();
    return this.#calls.begin(async () => {
      const picture = await toPicture(source, signal);
      return this.#calls.next(() => this.#engine.features(picture), signal, () => picture.close());
    });
  }

  /**
   * Milliseconds of every kernel launch (WebGPU, where the adapter has timestamps) or operator (CPU) of one run. They do not
   * depend on the image.
   */
  async profile(): Promise<ProfileEntry[]> {
    return this.#calls.begin(() => this.#calls.next(() => this.#engine.profile()));
  }

  /** Objects made on the device so far (buffers, bind groups, pipelines), for tests of leaks; empty on the CPU. */
  async allocations(): Promise<number[]> {
    return this.#calls.begin(() => this.#calls.next(() => this.#engine.allocations()));
  }

  /** Gives back all memory. Waits for calls in progress; later ones fail with {@link DisposedError}. */
  async dispose(): Promise<void> {
    await this.#calls.end();
    await this.#engine.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

/** Class names; of 1000 classes without names ImageNet's, of others the indices. */
async function labelsOf({ labels, classes }: ModelInfo): Promise<readonly string[]> {
  if (labels.length) return labels;
  if (classes === 1000) return (await import('./labels/imagenet1k.js')).labels;
  return Array.from({ length: classes }, (_, i) => String(i));
}

/** Whether the first of the ranked classes is an answer. */
function isConfident(first: [number, number] | undefined, { minScore, unknown }: ModelInfo): boolean {
  return first === undefined || (first[0] !== unknown && first[1] >= minScore);
}

function pairs({ indices, values }: RawResult): [number, number][] {
  return [...indices].map((index, i) => [index, values[i] ?? 0]);
}

/** The `count` largest scores with their indices, largest first; of equal ones the lower index first. */
function best(scores: Float32Array, count: number): [number, number][] {
  const all = [...scores].map((score, index): [number, number] => [index, score]);
  return all.sort(([i, a], [j, b]) => b - a || i - j).slice(0, count);
}
