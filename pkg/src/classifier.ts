/** The package's main class. */
import { LocalEngine, type Engine, type RawResult } from './engine.js';
import { DisposedError } from './errors.js';
import { toPicture } from './frames.js';
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
  #disposed = false;

  /** For `load` and for tests; use {@link ImageClassifier.load}. */
  protected constructor(engine: Engine) {
    this.#engine = engine;
  }

  /**
   * Downloads a model, brings it to the device, compiles its kernels and warms them up.
   *
   * @throws {DownloadError} a file cannot be fetched
   * @throws {UnsupportedCheckpointError} the files are not a model that can be run
   * @throws {WebGpuUnavailableError} WebGPU was asked for and is not there
   * @throws {OutOfMemoryError} the model is too large for the device
   * @throws `AbortError` when `signal` is aborted; what has been downloaded by then is kept for the next time
   */
  static async load(source: ModelSource = 'mamba_vision_nano', options: LoadOptions = {}): Promise<ImageClassifier> {
    const engine = options.worker ? await RemoteEngine.load(source, options) : await LocalEngine.load(source, options);
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
    return this.#classify(source, options);
  }

  async #classify(source: ImageSource, options: ClassifyOptions, smoothing?: Smoothing): Promise<Classification> {
    const { topK = 5, threshold = 0, heatmap = false, signal } = options;
    signal?.throwIfAborted();
    this.#check();
    const start = performance.now();
    const picture = await toPicture(source, signal);
    const decoded = performance.now();
    let raw: RawResult;
    try {
      raw = await this.#engine.run(picture, { scores: topK > FROM_DEVICE || smoothing !== undefined, map: heatmap });
    } finally {
      picture.close();
    }
    signal?.throwIfAborted();
    const scores = smoothing && raw.scores ? smoothing.next(raw.scores) : raw.scores;
    const predictions = (scores ? best(scores, topK) : pairs(raw).slice(0, topK))
      .filter(([, score]) => score >= threshold)
      .map(([index, score]): Prediction => ({ index, label: this.info.labels[index] ?? String(index), score }));
    const timing = {
      capture: decoded - start + raw.capture,
      preprocess: raw.preprocess,
      model: raw.model,
      readback: raw.readback,
      total: performance.now() - start,
    };
    if (!raw.map) return { predictions, timing };
    const { region: [x, y, width, height], ...map } = raw.map;
    return { predictions, timing, heatmap: { ...map, region: { x, y, width, height } } };
  }

  /**
   * Classifies a video as it plays: always the newest frame, one at a time; frames that come meanwhile are skipped. Ends with
   * the video. In a hidden tab browsers show no frames, and this waits.
   *
   * @throws as {@link classify}; `AbortError` when `signal` is aborted
   */
  async *classifyVideo(video: HTMLVideoElement, options: VideoOptions = {}): AsyncGenerator<VideoClassification, void, void> {
    const clock = new FrameClock(video, options.maxFps, options.signal);
    const smoothing = options.smoothing ? new Smoothing(options.smoothing) : undefined;
    while (await clock.next()) {
      if (this.#disposed) return;
      const result = await this.#classify(video, options, smoothing);
      yield { ...result, ...clock.count() };
    }
  }

  /** What the model sees: outputs of its stages, what its head takes, and the logits. */
  async features(source: ImageSource, options: { signal?: AbortSignal } = {}): Promise<Features> {
    options.signal?.throwIfAborted();
    this.#check();
    const picture = await toPicture(source, options.signal);
    try {
      return await this.#engine.features(picture);
    } finally {
      picture.close();
    }
  }

  /**
   * Milliseconds of every kernel launch (WebGPU, where the adapter has timestamps) or operator (CPU) of one run. They do not
   * depend on the image.
   */
  async profile(_source?: ImageSource): Promise<ProfileEntry[]> {
    this.#check();
    return this.#engine.profile();
  }

  /** Objects made on the device so far (buffers, bind groups, pipelines), for tests of leaks; empty on the CPU. */
  async allocations(): Promise<number[]> {
    this.#check();
    return this.#engine.allocations();
  }

  /** Gives back all memory. Waits for calls in progress; later ones fail with {@link DisposedError}. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    await this.#engine.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  #check(): void {
    if (this.#disposed) throw new DisposedError('The classifier was disposed; load the model again.');
  }
}

function pairs({ indices, values }: RawResult): [number, number][] {
  return [...indices].map((index, i) => [index, values[i] ?? 0]);
}

/** The `count` largest scores with their indices, largest first; of equal ones the lower index first. */
function best(scores: Float32Array, count: number): [number, number][] {
  const all = [...scores].map((score, index): [number, number] => [index, score]);
  return all.sort(([i, a], [j, b]) => b - a || i - j).slice(0, count);
}
