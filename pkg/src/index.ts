/** Mamba-family vision models in the browser: MambaVision, MILA, MambaOut, Vim, VMamba and VideoMamba on WebGPU, on the CPU where there is none. */
export { cache } from './cache.js';
export { ImageClassifier } from './classifier.js';
export { similarity } from './embedding.js';
export {
  DeviceLostError, DisposedError, DownloadError, InvalidImageError, InvalidOptionError, OutOfMemoryError, UnsupportedCheckpointError,
  WebGpuUnavailableError, WebmambaError, WorkerError,
} from './errors.js';
export { init } from './init.js';
export { preload } from './preload.js';
export { ImageSegmenter } from './segmenter.js';
export { TeachableClassifier } from './teach.js';
export type * from './types.js';
