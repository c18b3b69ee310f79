/** The same API as the package's main entry, with everything off the main thread. */
import { ImageClassifier as Local } from './classifier.js';
import type { LoadOptions, ModelSource } from './types.js';

/** As `ImageClassifier` of `webmamba`; `load` always starts a worker. */
export class ImageClassifier extends Local {
  static override load(source?: ModelSource, options: LoadOptions = {}): Promise<ImageClassifier> {
    return super.load(source, { ...options, worker: true });
  }
}

export {
  DeviceLostError, DisposedError, DownloadError, InvalidImageError, OutOfMemoryError, UnsupportedCheckpointError,
  WebGpuUnavailableError, WebmambaError,
} from './errors.js';
export type * from './types.js';
export { init, type InitOptions } from './wasm.js';
