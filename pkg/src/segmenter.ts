/// <reference lib="esnext.disposable" preserve="true" />
/** The class of every pixel. */
import { Calls } from './calls.js';
import type { Engine } from './engine.js';
import { WebmambaError } from './errors.js';
import { toPicture } from './frames.js';
import { loadEngine } from './loading.js';
import { checkSegment, checkSegmentVideo } from './options.js';
import { frames } from './stream.js';
import type {
  ImageSource, LoadOptions, ModelInfo, ModelSource, ProfileEntry, SegmentOptions, SegmentVideoOptions, Segmentation, VideoSegmentation,
  VideoSource,
} from './types.js';
import { FrameCount } from './video.js';

/** A model that is ready to tell the classes of images' pixels. */
export class ImageSegmenter {
  readonly #engine: Engine;
  readonly #calls = new Calls();

  /** For {@link ImageSegmenter.load}. */
  protected constructor(engine: object) {
    if (!engine) throw new WebmambaError('Segmenters are made by ImageSegmenter.load(), not by `new`.');
    this.#engine = engine as Engine;
  }

  /**
   * Downloads a dense model, such as UPerNet over a MambaVision, and brings it to the device. Its kernels are compiled at the first image.
   *
   * @throws as `ImageClassifier.load`
   */
  static async load(source: ModelSource, options: LoadOptions = {}): Promise<ImageSegmenter> {
    return new this(await loadEngine(source, options, true));
  }

  /** The model, its device and the memory that its weights take. */
  get info(): ModelInfo {
    return this.#engine.info;
  }

  /** Resolves with the reason when the device goes away. Pending and later calls then fail; load the model again. */
  get lost(): Promise<Error> {
    return this.#engine.lost;
  }

  /**
   * The class of every pixel. The first image of a size takes longer: memory and kernels are made for it.
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
    const { labels } = this.info;
    const { classMap, width, height, preprocess, model, readback } = raw;
    const shares = [...raw.indices].map((index, i) => ({ index, label: labels[index] ?? String(index), share: raw.values[i] ?? 0 }));
    const timing = { capture: decoded - start + raw.capture, preprocess, model, readback, total: performance.now() - start };
    return { classMap, width, height, labels, shares, timing };
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

  /** Milliseconds of every kernel launch or operator of a run on an image of the last one's size. */
  async profile(): Promise<ProfileEntry[]> {
    return this.#calls.begin(() => this.#calls.next(() => this.#engine.profile()));
  }

  /** Objects made on the device so far (buffers, bind groups, pipelines), for tests of leaks; empty on the CPU and before the first image. */
  async allocations(): Promise<number[]> {
    return this.#calls.begin(() => this.#calls.next(() => this.#engine.allocations()));
  }

  /** Gives back all memory. Waits for calls in progress; later ones fail with `DisposedError`. */
  async dispose(): Promise<void> {
    await this.#calls.end();
    await this.#engine.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}
