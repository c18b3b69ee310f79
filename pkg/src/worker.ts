/** The same API as the package's main entry, with everything off the main thread. */
import { ImageClassifier as Local, ImageSegmenter as LocalSegmenter, type LoadOptions, type ModelSource } from './index.js';

/** As `ImageClassifier` of `webmamba`; `load` always starts a worker. */
export class ImageClassifier extends Local {
  static override load(source?: ModelSource, options: LoadOptions = {}): Promise<ImageClassifier> {
    return super.load(source, { ...options, worker: true });
  }
}

/** As `ImageSegmenter` of `webmamba`; `load` always starts a worker. */
export class ImageSegmenter extends LocalSegmenter {
  static override load(source: ModelSource, options: LoadOptions = {}): Promise<ImageSegmenter> {
    return super.load(source, { ...options, worker: true });
  }
}

export {
  DeviceLostError, DisposedError, DownloadError, InvalidImageError, InvalidOptionError, OutOfMemoryError, UnsupportedCheckpointError,
  TeachableClassifier, WebGpuUnavailableError, WebmambaError, WorkerError, cache, init, preload, similarity,
} from './index.js';
export type * from './types.js';
