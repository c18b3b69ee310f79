/** The viewfinder: shows nothing, the camera, a video or a picture. */
import { byId } from './dom.js';

/** @typedef {'none' | 'camera' | 'video' | 'image'} Kind */

const frame = byId('stage');
/** @type {HTMLVideoElement} */
export const video = byId('video');
/** @type {HTMLImageElement} */
const picture = byId('picture');
let blobUrl = '';

/** How much of the square in the middle, which is what most models see, must stay in sight where the picture fills the frame. */
const SEEN = { live: 0.74, still: 0.85 };

export const viewer = {
  /** @type {Kind} */
  get kind() {
    return frame.dataset.source;
  },

  get live() {
    return this.kind === 'camera' || this.kind === 'video';
  },

  /** What the model is given. */
  get source() {
    return this.live ? video : picture;
  },

  /** Width and height of the shown frame in its own pixels. @returns {[number, number]} */
  get size() {
    return this.live ? [video.videoWidth, video.videoHeight] : [picture.naturalWidth, picture.naturalHeight];
  },

  /** How the picture lies in the frame. @returns {'cover' | 'contain'} */
  get fit() {
    return frame.dataset.fit;
  },

  /** The pixel of the picture at a place of the window. @param {number} clientX @param {number} clientY @returns {[number, number]} */
  at(clientX, clientY) {
    const [width, height] = this.size;
    const box = frame.getBoundingClientRect();
    const scale = Math[this.fit === 'cover' ? 'max' : 'min'](box.width / width, box.height / height);
    const x = Math.floor((clientX - box.left - (box.width - width * scale) / 2) / scale);
    const y = Math.floor((clientY - box.top - (box.height - height * scale) / 2) / scale);
    return [frame.dataset.mirrored === 'true' ? width - 1 - x : x, y];
  },

  /** What is shown, as a file. @returns {Promise<Blob | null>} */
  async snapshot() {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = this.size;
    canvas.getContext('2d')?.drawImage(this.source, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.9));
  },

  clear() {
    show('none', false);
    release();
  },

  /** @param {boolean} mirrored */
  camera(mirrored) {
    release();
    show('camera', mirrored);
  },

  /** @param {File} file */
  async video(file) {
    release();
    blobUrl = URL.createObjectURL(file);
    video.loop = true;
    video.src = blobUrl;
    show('video', false);
    try {
      await video.play();
    } catch (cause) {
      if (/** @type {Error} */ (cause).name === 'AbortError') return;
      throw unreadable(file.name, cause);
    }
  },

  /**
   * @param {Blob | string} source @param {string} name what it shows, for those who do not see it
   * @returns {Promise<boolean>} false where another one came in between
   */
  async picture(source, name) {
    release();
    const url = typeof source === 'string' ? source : (blobUrl = URL.createObjectURL(source));
    picture.src = url;
    picture.alt = name;
    show('image', false);
    try {
      await picture.decode();
    } catch (cause) {
      if (picture.getAttribute('src') !== url) return false;
      this.clear();
      throw unreadable(name, cause);
    }
    refit();
    return picture.getAttribute('src') === url;
  },
};

function show(/** @type {Kind} */ kind, /** @type {boolean} */ mirrored) {
  frame.dataset.source = kind;
  frame.dataset.mirrored = String(mirrored);
  video.hidden = kind !== 'camera' && kind !== 'video';
  picture.hidden = kind !== 'image';
  refit();
}

/** Fills the frame where that hides little of the picture. */
function refit() {
  const [width, height] = viewer.size;
  if (!width || !height) return;
  const scale = Math.max(frame.clientWidth / width, frame.clientHeight / height);
  const side = Math.min(width, height);
  const part = (/** @type {number} */ extent) => Math.min(1, extent / scale / side);
  const seen = part(frame.clientWidth) * part(frame.clientHeight);
  frame.dataset.fit = seen >= (viewer.live ? SEEN.live : SEEN.still) ? 'cover' : 'contain';
}
new ResizeObserver(refit).observe(frame);
video.addEventListener('resize', refit);

function release() {
  if (video.hasAttribute('src')) {
    video.removeAttribute('src');
    video.load();
  }
  picture.removeAttribute('src');
  if (blobUrl) URL.revokeObjectURL(blobUrl);
  blobUrl = '';
}

function unreadable(/** @type {string} */ name, /** @type {unknown} */ cause) {
  return Object.assign(new Error(`The browser cannot decode ${name}.`, { cause }), { name: 'InvalidImageError' });
}
