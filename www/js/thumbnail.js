/** Small copies of what was shown. */

/** Pixels of a side: enough for a small model to see it again. */
const SIDE = 224;

/**
 * The middle of a picture, as a canvas.
 * @param {any} source an element or bitmap with a size; of anything else there is none
 * @returns {HTMLCanvasElement | undefined}
 */
export function thumbnail(source) {
  const width = source.videoWidth || source.naturalWidth || source.width;
  const height = source.videoHeight || source.naturalHeight || source.height;
  if (!width || !height) return undefined;
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = SIDE;
  const side = Math.min(width, height);
  canvas.getContext('2d')?.drawImage(source, (width - side) / 2, (height - side) / 2, side, side, 0, 0, SIDE, SIDE);
  return canvas;
}
