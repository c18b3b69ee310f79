/** Files by button, drop and paste: pictures, videos, and a model's own files. */
import { byId } from './dom.js';

const WEIGHTS = /\.(safetensors|pth|pt|tar|bin)$/i;
const CONFIG = /\.json$/i;

/**
 * @param {{
 *   onPictures: (files: File[]) => void, onVideo: (file: File) => void,
 *   onModel: (files: { weights: File, config?: File }) => void, onJson: (file: File) => void, onError: (error: unknown) => void,
 * }} events `onJson` of a file without weights
 */
export function acceptFiles(events) {
  /** @param {Iterable<File>} given */
  const take = (given) => {
    const files = [...given];
    const weights = files.find((file) => WEIGHTS.test(file.name));
    const config = files.find((file) => CONFIG.test(file.name));
    const pictures = files.filter((file) => file.type.startsWith('image/'));
    const video = files.find((file) => file.type.startsWith('video/'));
    if (weights) events.onModel(config ? { weights, config } : { weights });
    else if (pictures.length) events.onPictures(pictures);
    else if (video) events.onVideo(video);
    else if (config) events.onJson(config);
    else if (files[0]) events.onError(named('UnknownFileError', `${files[0].name} is neither a picture, a video, nor a model.`));
  };

  const input = byId('file-input');
  input.addEventListener('change', () => {
    take(input.files ?? []);
    input.value = '';
  });

  document.addEventListener('paste', (event) => {
    const files = event.clipboardData?.files ?? [];
    if (!files.length) return;
    event.preventDefault();
    take(files);
  });

  let depth = 0;
  const dragging = (/** @type {number} */ now) => {
    depth = Math.max(0, now);
    document.body.dataset.dragging = String(depth > 0);
  };
  document.addEventListener('dragenter', (event) => event.dataTransfer?.types.includes('Files') && dragging(depth + 1));
  document.addEventListener('dragleave', (event) => event.dataTransfer?.types.includes('Files') && dragging(depth - 1));
  document.addEventListener('dragover', (event) => event.preventDefault());
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    dragging(0);
    take(event.dataTransfer?.files ?? []);
  });
}

/** What is wrong with a config by itself. @param {File} config */
export function onlyConfig(config) {
  return named('OnlyConfigError', `${config.name} is a model’s configuration without its weights.`);
}

function named(/** @type {string} */ name, /** @type {string} */ message) {
  return Object.assign(new Error(message), { name });
}
