/** Paints a class activation map over the shown frame: where the model looks, from dark (against) to bright (for the class). */
import { byId } from './dom.js';
import { upsample } from './upsample.js';
import { viewer } from './viewer.js';

const SIZE = 96;
/** Ten even steps of matplotlib's inferno, perceptually uniform. */
const INFERNO = ['000004', '1b0c41', '4a0c6b', '781c6d', 'a52c60', 'cf4446', 'ed6925', 'fb9b06', 'f7d13d', 'fcffa4'].map((hex) =>
  [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
const colours = colourTable();

/** @type {HTMLCanvasElement} */
const canvas = byId('heatmap');
const small = new OffscreenCanvas(SIZE, SIZE);
/** @type {{ region: { x: number, y: number, width: number, height: number }, frame: [number, number] } | undefined} */
let shown;
/** @type {[number, number] | undefined} range of the last frames: smoothed, so that a video does not flicker */
let range;

new ResizeObserver(() => shown && draw(shown)).observe(canvas.parentElement ?? canvas);

/**
 * @param {{ width: number, height: number, values: Float32Array, region: { x: number, y: number, width: number, height: number } }} map
 * @param {[number, number]} frame width and height of the image in its own pixels
 * @param {boolean} live
 */
export function showHeatmap(map, frame, live) {
  const smooth = upsample(map.values, map.width, map.height, SIZE);
  let low = Infinity;
  let high = -Infinity;
  for (const value of smooth) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (live && range) [low, high] = [range[0] + 0.3 * (low - range[0]), range[1] + 0.3 * (high - range[1])];
  range = [low, high];
  const scale = high > low ? 255 / (high - low) : 0;
  const image = new ImageData(SIZE, SIZE);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = colours[Math.min(255, Math.max(0, Math.round((smooth[i] - low) * scale)))];
  const context = small.getContext('2d');
  if (!context) throw new Error('The browser gave no 2D canvas for the heat map.');
  context.putImageData(image, 0, 0);
  shown = { region: map.region, frame };
  draw(shown);
}

export function clearHeatmap() {
  shown = range = undefined;
  canvas.hidden = true;
}

/** The map's region goes through the same transform as the picture (`fit` of the viewer). */
function draw(/** @type {NonNullable<typeof shown>} */ { region, frame: [width, height] }) {
  canvas.hidden = false;
  const density = window.devicePixelRatio || 1;
  const boxWidth = canvas.clientWidth * density;
  const boxHeight = canvas.clientHeight * density;
  if (canvas.width !== Math.round(boxWidth)) canvas.width = Math.round(boxWidth);
  if (canvas.height !== Math.round(boxHeight)) canvas.height = Math.round(boxHeight);
  const context = canvas.getContext('2d');
  if (!context || !width || !height) return;
  const scale = fitted(boxWidth / width, boxHeight / height);
  const left = (boxWidth - width * scale) / 2 + region.x * scale;
  const top = (boxHeight - height * scale) / 2 + region.y * scale;
  const [w, h] = [region.width * scale, region.height * scale];
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = 'high';
  context.drawImage(small, left, top, w, h);
  corners(context, left, top, w, h, density);
}

/** @param {number} across @param {number} down how much larger the box is than the picture */
function fitted(across, down) {
  return viewer.fit === 'cover' ? Math.max(across, down) : Math.min(across, down);
}

/** Marks the part of the image that the model was shown. */
function corners(/** @type {CanvasRenderingContext2D} */ context, left, top, width, height, density) {
  const arm = Math.min(width, height) * 0.05;
  const inset = 6 * density;
  context.lineWidth = 2 * density;
  context.strokeStyle = 'rgb(255 255 255 / 0.85)';
  context.beginPath();
  for (const [x, dx] of [[left + inset, arm], [left + width - inset, -arm]]) {
    for (const [y, dy] of [[top + inset, arm], [top + height - inset, -arm]]) {
      context.moveTo(x + dx, y);
      context.lineTo(x, y);
      context.lineTo(x, y + dy);
    }
  }
  context.stroke();
}

/** 256 colours as the bytes R, G, B, A of a little-endian word; brighter is less see-through, the coldest dims the picture a little. */
function colourTable() {
  return Uint32Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (INFERNO.length - 1);
    const from = Math.min(INFERNO.length - 2, Math.floor(at));
    const [r, g, b] = INFERNO[from].map((low, k) => Math.round(low + (at - from) * (INFERNO[from + 1][k] - low)));
    const alpha = Math.round(255 * (0.42 + 0.26 * (i / 255)));
    return ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;
  });
}
