/** Pictures to be searched, and the grid that shows them, best first. */
import { byId, element } from './dom.js';
import { thumbnail } from './thumbnail.js';

/**
 * @typedef {object} Picture
 * @property {Blob} blob
 * @property {string} name
 * @property {any} tile
 * @property {any} value what is written on the tile
 * @property {Float32Array} [vector]
 * @property {Float32Array} [scores] by class
 * @property {string} [label] of the best class, where the model is sure
 */

/** What is less than this is faded. */
const FAINT = 0.01;

const grid = byId('search-grid');

export class Collection {
  /** The model that has looked at them. @type {any} */ model;
  /** @type {Picture[]} in the order in which they came */ #pictures = [];
  /** @type {Picture[]} as they are shown */ #ranked = [];
  #made = 0;
  /** Small copies are made one after the other: large pictures take much memory. */ #copying = Promise.resolve();

  /** @param {(picture: Picture) => void} onPress */
  constructor(onPress) {
    this.onPress = onPress;
  }

  get size() {
    return this.#pictures.length;
  }

  /** Pictures that the model has looked at. */
  get known() {
    return this.#pictures.filter((picture) => picture.vector);
  }

  /** @param {Blob} blob */
  add(blob) {
    const name = /** @type {File} */ (blob).name || `Picture ${++this.#made}`;
    const image = element('img', { alt: name });
    const value = element('span', { className: 'tile-value' });
    const tile = element('button', { type: 'button', className: 'tile', title: name },
      image, value);
    /** @type {Picture} */
    const picture = { blob, name, tile: element('li', {}, tile), value };
    tile.addEventListener('click', () => this.onPress(picture));
    this.#pictures.push(picture);
    this.#ranked.push(picture);
    grid.append(picture.tile);
    this.#copying = this.#copying.then(() => showSmall(blob, image));
  }

  /** The next picture that the model has not seen. */
  next() {
    return this.#pictures.find((picture) => !picture.vector);
  }

  /** @param {Picture} picture @param {Float32Array} vector @param {Float32Array} scores @param {string | undefined} label */
  know(picture, vector, scores, label) {
    Object.assign(picture, { vector, scores, label });
    picture.tile.querySelector('img').alt = label ? `${picture.name}, ${label}` : picture.name;
  }

  /** @param {Picture} picture one that cannot be read */
  drop(picture) {
    const others = (/** @type {Picture} */ one) => one !== picture;
    this.#pictures = this.#pictures.filter(others);
    this.#ranked = this.#ranked.filter(others);
    picture.tile.remove();
  }

  clear() {
    grid.replaceChildren();
    this.#pictures = [];
    this.#ranked = [];
  }

  /** Another model has seen nothing yet. @param {any} model */
  forget(model) {
    this.model = model;
    for (const picture of this.#pictures) delete picture.vector;
  }

  /** How many pictures show what. @returns {Map<string, number>} */
  things() {
    const counts = new Map();
    for (const { label } of this.#pictures) if (label) counts.set(label, (counts.get(label) ?? 0) + 1);
    return counts;
  }

  ranked() {
    return this.#ranked;
  }

  /**
   * @param {((picture: Picture) => number | undefined) | undefined} score without one they stand as they came
   * @param {(score: number) => string} inWords
   */
  rank(score, inWords) {
    const scored = this.#pictures.map((picture) => ({ picture, value: score?.(picture) }));
    if (score) scored.sort((a, b) => (b.value ?? -Infinity) - (a.value ?? -Infinity));
    for (const { picture, value } of scored) {
      picture.value.textContent = value === undefined ? '' : inWords(value);
      picture.tile.classList.toggle('faint', value !== undefined && value < FAINT);
    }
    grid.dataset.ranked = String(score !== undefined);
    const order = scored.map(({ picture }) => picture);
    if (order.some((picture, i) => picture !== this.#ranked[i])) this.#place(order);
  }

  /** Whoever has the focus keeps it. @param {Picture[]} order */
  #place(order) {
    this.#ranked = order;
    const held = /** @type {HTMLElement | null} */ (grid.contains(document.activeElement) ? document.activeElement : null);
    grid.append(...order.map(({ tile }) => tile));
    held?.focus({ preventScroll: true });
  }
}

/** What cannot be decoded stays without a picture; whoever looks at it will say so. @param {Blob} blob @param {HTMLImageElement} image */
async function showSmall(blob, image) {
  const bitmap = await createImageBitmap(blob).catch(() => undefined);
  if (bitmap && image.isConnected) image.src = thumbnail(bitmap)?.toDataURL('image/jpeg', 0.85) ?? '';
  bitmap?.close();
}
