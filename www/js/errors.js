/** Errors as sentences with what to do. One table: the name of the error to a title, advice and the buttons that help. */
import { webgpuHelp } from './webgpu-help.js';

/** @typedef {'again' | 'builtin' | 'cpu' | 'camera'} Action what a button of the panel does */
/** @typedef {{ title: string, detail: string, steps: string[], actions: Action[], kind?: string }} Explanation */

/** @type {Record<string, (error: Error) => Omit<Explanation, 'detail'>>} */
const LOADING = {
  // The message's advice is for those who write pages; visitors get the steps.
  WebGpuUnavailableError: () => ({ title: 'WebGPU is not available here', detail: '', steps: webgpuHelp(), actions: ['cpu', 'again'] }),
  OutOfMemoryError: () => ({
    title: 'The model is too large for this device', actions: ['builtin', 'again'],
    steps: ['Choose a smaller model: a built-in one, or MambaVision-T of the hub.', 'Close other tabs that use the GPU, then load again.'],
  }),
  DeviceLostError: () => ({
    title: 'The browser lost the GPU', actions: ['again', 'cpu'],
    steps: ['This happens after a driver reset, sleep, or too much work at once. Loading the model again usually helps.'],
  }),
  UnsupportedCheckpointError: () => ({
    title: 'This model cannot be read', actions: ['builtin'],
    steps: ['Supported are MambaVision, MILA, MambaOut, Vim, VMamba and VideoMamba for images, as .safetensors, .pth or .pth.tar.',
      'Drop config.json together with the weights, if there is one. A file may also be incomplete: download it again.'],
  }),
  DownloadError: () => ({
    title: 'The download failed', actions: ['again', 'builtin'],
    steps: ['Check the connection and the spelling of the hub id or address.', 'An address of your own must allow other pages to read it (CORS).'],
  }),
  AbortError: () => ({ title: 'Loading was cancelled', kind: 'cancelled', steps: [], actions: ['again', 'builtin'] }),
  // Such as pictures to a model of clips.
  InvalidOptionError: () => ({ title: 'This model does not do that', steps: [], actions: ['builtin'] }),
  WebmambaError: () => ({ title: 'The model stopped', steps: [], actions: ['again', 'cpu'] }),
  NoModelError: () => ({ title: 'No model is loaded yet', kind: 'cancelled', steps: [], actions: ['again', 'builtin'] }),
  PackageMissingError: () => ({
    title: 'The webmamba package is not here', actions: [],
    steps: ['Build it with “make web”, which puts it next to this page as webmamba/.', 'Serve the page over http: modules do not load from file addresses.'],
  }),
  InvalidImageError: () => ({
    title: 'That picture cannot be read', actions: [], steps: ['Use a PNG, JPEG, WebP, AVIF or GIF that opens in this browser.'],
  }),
  UnknownFileError: () => ({
    title: 'That file is of no use here', actions: [], steps: ['Pictures, videos, and weights as .safetensors or .pth can be opened.'],
  }),
  LessonError: () => ({
    title: 'That is nothing that was taught here', actions: [],
    steps: ['Open a file that “Save” made, with the model that was loaded then.'],
  }),
  OnlyConfigError: () => ({ title: 'The weights are missing', actions: [], steps: ['Drop config.json together with its .safetensors or .pth file.'] }),
};

/** @type {Record<string, (error: Error) => Omit<Explanation, 'detail'>>} */
const CAMERA = {
  NotAllowedError: () => ({
    title: 'The camera is not allowed', actions: ['camera'],
    steps: ['Allow it with the camera or lock symbol beside the address, then start again.',
      'If it is allowed there, look in the privacy settings of the system.', 'Pictures and samples work without a camera.'],
  }),
  NotFoundError: () => ({ title: 'There is no camera', actions: ['camera'], steps: ['Connect one and start again, or open a picture instead.'] }),
  NotReadableError: () => ({
    title: 'The camera is busy', actions: ['camera'], steps: ['Another program or tab is using it. Close that one, then start again.'],
  }),
  OverconstrainedError: () => ({ title: 'That camera is gone', actions: ['camera'], steps: ['Start with another one.'] }),
  SecurityError: () => ({
    title: 'Browsers give a camera only to secure pages', actions: [], steps: ['Open this page through https:// or http://localhost.'],
  }),
  CameraEndedError: () => ({ title: 'The camera went away', actions: ['camera'], steps: ['Connect it again, or open a picture instead.'] }),
};
CAMERA.AbortError = CAMERA.NotReadableError;

/**
 * @param {unknown} thrown
 * @param {'camera' | 'other'} [where]
 * @returns {Explanation}
 */
export function explain(thrown, where = 'other') {
  const error = thrown instanceof Error || thrown instanceof DOMException ? thrown : new Error(String(thrown));
  const known = (where === 'camera' && CAMERA[error.name]) || LOADING[error.name];
  const detail = error.message && error.name !== 'AbortError' ? error.message : '';
  if (known) return { detail, .../** @type {any} */ (known)(error) };
  return { title: 'Something went wrong', detail: `${error.name}: ${error.message}`, steps: [], actions: [where === 'camera' ? 'camera' : 'again'] };
}
