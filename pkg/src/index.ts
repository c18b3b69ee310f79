/** Mamba-family vision models in the browser: MambaVision and MILA on WebGPU, and on the CPU where there is none. */
export { ImageClassifier } from './classifier.js';
export {
  DeviceLostError, DisposedError, DownloadError, InvalidImageError, OutOfMemoryError, UnsupportedCheckpointError,
  WebGpuUnavailableError, WebmambaError,
} from './errors.js';
export type * from './types.js';
export { init, type InitOptions } from './wasm.js';
