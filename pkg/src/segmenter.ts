/** The class of every pixel. */
import { Calls } from './calls.js';
import type { Engine, RawMap } from './engine.js';
import { toPicture } from './frames.js';
import { loadEngine } from './loading.js';
import { LoadedModel } from './model.js';
import { checkRun, checkSegment, checkSegmentVideo } from './options.js';
import { frames } from './stream.js';
import type {
  HostTensor, ImageSource, LoadOptions, ModelSource, PreparedOptions, PreparedSegmentation, SegmentOptions, SegmentVideoOptions, Segmentation,
  VideoSegmentation, VideoSource,
} from './types.js';
import { FrameCount } from './video.js';

/** A model that is ready to tell the classes of images' pixels. */
export class ImageSegmenter extends LoadedModel {
  readonly #engine: Engine;
  readonly #calls: Calls;

  /** For {@link ImageSegmenter.load}. */
  protected constructor(engine: object) {
    const calls = new Calls();
    super(engine, calls);
    this.#engine = engine as Engine;
    this.#calls = calls;
  }

  /**
   * Downloads a dense model, such as UPerNet over a MambaVision, brings it to the device and compiles its kernels.
   *
   * @throws as `ImageClassifier.load`
   */
  static async load(source: ModelSource, options: LoadOptions = {}): Promise<ImageSegmenter> {
    return new this(await loadEngine(source, options, true));
  }

  /**
   * The class of every pixel. The first image of a size takes longer: memory is made for it.
   *
   * @throws as `ImageClassifier.classify`
   */
  async segment(source: ImageSource, options: SegmentOptions = {}): Promise<Segmentation> {
    checkSegment(options);
    options.signal?.throwIfAborted();
    return this.#calls.begin(() => this.#segment(source, options));
  }

  async #segment(source: ImageSource, { region, rotation, signal }: SegmentOptions): Promise<Segmentation> {
    const start = performance.now();
    const picture = await toPicture(source, signal, { region, rotation });
    const decoded = performance.now();
    const raw = await this.#calls.next(() => this.#engine.segment(picture), signal, () => picture.close());
    return this.#named(raw, start, decoded);
  }

  /** What came back from the device, with the names of classes. */
  #named(raw: RawMap, start: number, decoded: number): Segmentation {
    const { labels } = this.info;
    const { classMap, width, height, preprocess, model, readback } = raw;
    const shares = [...raw.indices].map((index, i) => ({ index, label: labels[index] ?? String(index), share: raw.values[i] ?? 0 }));
    const timing = { capture: decoded - start + raw.capture, preprocess, model, readback, total: performance.now() - start };
    return { classMap, width, height, labels, shares, timing };
  }

  /**
   * The same of an input that was prepared elsewhere: `(1, H, W, 3)`, RGB and normalised, of an image of `width` x `height` pixels. With it
   * come the logits `(1, classes, h, w)`, of which the map is made, and what the modules named in `tensors` computed. Memory for it is made
   * at every call.
   *
   * @throws {InvalidOptionError} an input that the model does not take, or a module that it does not have
   */
  async run(input: HostTensor, options: PreparedOptions): Promise<PreparedSegmentation> {
    checkRun(input, options);
    const { width, height, tensors = [], signal } = options;
    signal?.throwIfAborted();
    return this.#calls.begin(async () => {
      const start = performance.now();
      const raw = await this.#calls.next(() => this.#engine.prepared(input, width, height, tensors), signal);
      return { ...this.#named(raw, start, start), logits: raw.logits, tensors: raw.tensors };
    });
  }

  /**
   * Segments a video, camera or stream of frames as it plays: always the newest frame, one at a time. Ends with the video.
   *
   * @throws as {@link segment}; `AbortError` when `signal` is aborted
   */
  async *segmentVideo(video: VideoSource, options: SegmentVideoOptions = {}): AsyncGenerator<VideoSegmentation, void, void> {
    checkSegmentVideo(options);
    this.#calls.check();
    const count = new FrameCount();
    for await (const frame of frames(video, options.maxFps, [options.signal, this.#calls.ended])) {
      const result = await this.#calls.begin(() => this.#segment(frame, options));
      yield { ...result, ...count.next() };
    }
    this.#calls.check();
  }
}
