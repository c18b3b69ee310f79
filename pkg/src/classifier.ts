/** The package's main class. */
import { Calls, inTurn } from './calls.js';
import { normalised } from './embedding.js';
import type { Engine, RawHeat, RawResult } from './engine.js';
import { InvalidOptionError } from './errors.js';
import { toPicture, type Picture, type View } from './frames.js';
import { inBatches, toPictures } from './lists.js';
import { loadEngine } from './loading.js';
import { LoadedModel } from './model.js';
import { checkClassify, checkClip, checkEmbed, checkExplain, checkFeatures, checkFrames, checkVideo, classesOf } from './options.js';
import { frames } from './stream.js';
import type {
  Classification, ClassifyOptions, ClipOptions, EmbedOptions, ExplainOptions, Explanation, Features, FrameExplanation, Heatmap, ImageSource, LoadOptions,
  ModelInfo, ModelSource, Prediction, Region, VideoClassification, VideoOptions, VideoSource,
} from './types.js';
import { FrameCount, Smoothing } from './video.js';

/** The best classes that come back from the device by themselves; more need all scores. */
const FROM_DEVICE = 8;

/** What is wanted of an image. */
interface Plan {
  topK: number;
  threshold: number;
  /** 1 for each class that is wanted; all of them where it is not given. */
  among: Uint8Array | undefined;
  /** A map of this class, of the best one, or none. */
  map: number | boolean;
  view: View;
  signal: AbortSignal | undefined;
}

/** A model that is ready to classify images. */
export class ImageClassifier extends LoadedModel {
  readonly #engine: Engine;
  readonly #calls: Calls;

  /** For {@link ImageClassifier.load}. */
  protected constructor(engine: object) {
    const calls = new Calls();
    super(engine, calls);
    this.#engine = engine as Engine;
    this.#calls = calls;
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
    return new this(await loadEngine(source, options, false));
  }

  /**
   * The best classes of an image; of a list of images, one result each, in order, on a GPU in batches.
   *
   * @throws {InvalidImageError} the image cannot be decoded or read; of a list the first error ends the call
   * @throws {InvalidOptionError} an option that does not exist or cannot have this value, also a label that the model does not have
   * @throws {DeviceLostError} the device went away
   */
  classify(source: ImageSource, options?: ClassifyOptions): Promise<Classification>;
  classify(sources: readonly ImageSource[], options?: ClassifyOptions): Promise<Classification[]>;
  async classify(source: ImageSource | readonly ImageSource[], options: ClassifyOptions = {}): Promise<Classification | Classification[]> {
    checkClassify(options);
    const plan = this.#plan(options);
    options.signal?.throwIfAborted();
    const scores = needsScores(plan);
    return this.#each(
      source,
      plan,
      (one) => this.#classify(one, plan),
      // Maps come one by one.
      plan.map === false ? (pictures) => this.#engine.list(pictures, scores) : undefined,
      (raw, start, decoded) => this.#ranked(raw, plan, start, decoded),
    );
  }

  /** A call on one image, or on each of a list: in batches where there is a way to `run` such. */
  #each<R, T>(
    source: ImageSource | readonly ImageSource[],
    { view, signal }: Pick<Plan, 'view' | 'signal'>,
    single: (source: ImageSource) => Promise<T>,
    run: ((pictures: readonly Picture[]) => Promise<R[]>) | undefined,
    result: (raw: R, start: number, decoded: number) => T,
  ): Promise<T | T[]> {
    return this.#calls.begin<T | T[]>(() => {
      if (!Array.isArray(source)) return single(source as ImageSource);
      const call = { calls: this.#calls, engine: this.#engine, view, signal, single, result };
      return run ? inBatches(source as readonly ImageSource[], { ...call, run }) : inTurn(source as readonly ImageSource[], single);
    });
  }

  /** The options with classes instead of labels. */
  #plan({ topK = 5, threshold = 0, allow, deny, heatmap = false, region, rotation, signal }: ClassifyOptions): Plan {
    const { labels, classes } = this.info;
    const among = allow || deny?.length ? new Uint8Array(classes).fill(allow ? 0 : 1) : undefined;
    for (const index of classesOf(labels, allow ?? [], 'allow')) among?.fill(1, index, index + 1);
    for (const index of classesOf(labels, deny ?? [], 'deny')) among?.fill(0, index, index + 1);
    const map = typeof heatmap === 'string' ? classesOf(labels, [heatmap], 'heatmap')[0] ?? false : heatmap;
    if (typeof map === 'number' && !(Number.isInteger(map) && map >= 0 && map < classes)) {
      throw new InvalidOptionError(`classify: \`heatmap\` names class ${map}; the model has 0 to ${classes - 1}.`);
    }
    return { topK, threshold, among, map, view: { region, rotation }, signal };
  }

  async #classify(source: ImageSource, plan: Plan, smoothing?: Smoothing): Promise<Classification> {
    const { among, map, view, signal } = plan;
    const start = performance.now();
    const picture = await toPicture(source, signal, view);
    const decoded = performance.now();
    const wanted = {
      scores: needsScores(plan) || smoothing !== undefined,
      map: map !== false,
      ...(typeof map === 'number' && { class: map }),
      ...(among && { among }),
    };
    const raw = await this.#calls.next(() => this.#engine.run(picture, wanted), signal, () => picture.close());
    if (smoothing && raw.scores) raw.scores = smoothing.next(raw.scores);
    return { ...this.#ranked(raw, plan, start, decoded), ...(raw.map && { heatmap: placed(raw.map, picture) }) };
  }

  /** What came back from the device as what was wanted. */
  #ranked(raw: RawResult, { topK, threshold, among }: Plan, start: number, decoded: number): Classification {
    const { scores } = raw;
    const ranked = scores ? best(scores, topK, among) : pairs(raw).slice(0, topK);
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
    return { predictions, confident, timing };
  }

  /**
   * The best classes of a clip, by a model of clips (`info.frames` above 1). The frames are those of a film in order, however many; the
   * model looks at `info.frames` of them, evenly spaced, and no others are decoded. One image is a clip that stands still.
   *
   * @throws as {@link classify}
   */
  async classifyClip(frames: readonly ImageSource[], options: ClipOptions = {}): Promise<Classification> {
    checkClip(options);
    checkFrames('classifyClip', frames);
    const plan = this.#plan(options);
    const { signal, view } = plan;
    signal?.throwIfAborted();
    return this.#calls.begin(async () => {
      const start = performance.now();
      const wanted = await this.#calls.next(() => this.#engine.frames(frames.length), signal);
      const pictures = await toPictures(wanted.map((i) => frames[i] as ImageSource), signal, view);
      const decoded = performance.now();
      const close = () => pictures.forEach((picture) => picture.close());
      const raw = await this.#calls.next(() => this.#engine.clip(pictures, frames.length, needsScores(plan)), signal, close);
      return this.#ranked(raw, plan, start, decoded);
    });
  }

  /**
   * Classifies a video, camera or stream of frames as it plays: always the newest frame, one at a time; frames that come meanwhile
   * are skipped. Ends with the video. In a hidden tab browsers show no frames, and this waits.
   *
   * @throws as {@link classify}; `AbortError` when `signal` is aborted
   */
  async *classifyVideo(video: VideoSource, options: VideoOptions = {}): AsyncGenerator<VideoClassification, void, void> {
    const { maxFps, smoothing: past, ...rest } = options;
    checkVideo(options);
    const plan = this.#plan(rest);
    this.#calls.check();
    const count = new FrameCount();
    const smoothing = past ? new Smoothing(past) : undefined;
    for await (const frame of frames(video, maxFps, [options.signal, this.#calls.ended])) {
      const result = await this.#calls.begin(() => this.#classify(frame, plan, smoothing));
      yield { ...result, ...count.next() };
    }
    this.#calls.check();
  }

  /**
   * What an image is like, as a vector of length 1, for comparing images ({@link similarity}): what the model's head takes. Nothing
   * else comes back from the device. Of a list of images, one vector each, in order.
   *
   * @throws as {@link classify}
   */
  embed(source: ImageSource, options?: EmbedOptions): Promise<Float32Array>;
  embed(sources: readonly ImageSource[], options?: EmbedOptions): Promise<Float32Array[]>;
  async embed(source: ImageSource | readonly ImageSource[], options: EmbedOptions = {}): Promise<Float32Array | Float32Array[]> {
    checkEmbed(options);
    const { signal } = options;
    signal?.throwIfAborted();
    const single = async (one: ImageSource) => {
      const picture = await toPicture(one, signal, options);
      return normalised(await this.#calls.next(() => this.#engine.embed(picture), signal, () => picture.close()));
    };
    return this.#each(source, { view: options, signal }, single, (pictures) => this.#engine.embedList(pictures), normalised);
  }

  /**
   * What the model looked at in an image: a map, of which `kind` says what it shows. The first map of a layer takes longer: memory and
   * kernels are made for it.
   *
   * @throws as {@link classify}; {@link InvalidOptionError} for maps or a layer that the model does not have
   */
  async explain(source: ImageSource, options: ExplainOptions): Promise<Explanation> {
    checkExplain(options, this.info);
    const { kind, layer = this.info.layers.at(-1), signal, ...view } = options;
    signal?.throwIfAborted();
    return this.#calls.begin(async () => {
      if (kind === 'cam' || layer === undefined) {
        const { heatmap } = await this.#classify(source, { topK: 1, threshold: 0, among: undefined, map: true, view, signal });
        return { kind, layer: null, ...(heatmap as Heatmap) };
      }
      const picture = await toPicture(source, signal, view);
      const raw = await this.#calls.next(() => this.#engine.explain(picture, kind, layer), signal, () => picture.close());
      return { kind, layer, ...placed(raw, picture) };
    });
  }

  /**
   * The same of a clip, by a model of clips: of every frame that the model looks at (as `classifyClip` takes them) a map of what the scans of
   * a layer do.
   *
   * @throws as {@link explain}
   */
  async explainClip(frames: readonly ImageSource[], options: ExplainOptions): Promise<FrameExplanation[]> {
    checkExplain(options, this.info);
    checkFrames('explainClip', frames);
    const { kind, layer = this.info.layers.at(-1) as string, signal, ...view } = options;
    signal?.throwIfAborted();
    return this.#calls.begin(async () => {
      const wanted = await this.#calls.next(() => this.#engine.frames(frames.length), signal);
      const pictures = await toPictures(wanted.map((i) => frames[i] as ImageSource), signal, view);
      const close = () => pictures.forEach((picture) => picture.close());
      const maps = await this.#calls.next(() => this.#engine.explainClip(pictures, frames.length, kind, layer), signal, close);
      return maps.map(({ frame, ...map }) => ({ frame, kind, layer, ...placed(map, pictures[wanted.indexOf(frame)] as Picture) }));
    });
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
}

/** Whether the best classes that come back by themselves do not tell what is wanted. */
function needsScores({ topK, among }: Plan): boolean {
  return topK > FROM_DEVICE || among !== undefined;
}

/** Whether the first of the ranked classes is an answer. */
function isConfident(first: [number, number] | undefined, { minScore, unknown }: ModelInfo): boolean {
  return first === undefined || (first[0] !== unknown && first[1] >= minScore);
}

function pairs({ indices, values }: RawResult): [number, number][] {
  return [...indices].map((index, i) => [index, values[i] ?? 0]);
}

/** The `count` largest scores with their indices, largest first; of equal ones the lower index first. */
function best(scores: Float32Array, count: number, among?: Uint8Array): [number, number][] {
  const all = [...scores].map((score, index): [number, number] => [index, score]).filter(([index]) => !among || among[index]);
  return all.sort(([i, a], [j, b]) => b - a || i - j).slice(0, count);
}

/** A map with its region in pixels of the source. */
function placed<T extends RawHeat>({ region, ...map }: T, { scale, corner = [0, 0] }: Picture): Omit<T, 'region'> & { region: Region } {
  const [x, y, width, height] = region.map((n) => n * scale) as typeof region;
  return { ...map, region: { x: x + corner[0], y: y + corner[1], width, height } };
}
