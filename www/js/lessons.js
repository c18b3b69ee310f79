/** The list of things that are taught: of each its name, its pictures, its score, and the buttons that add to it. */
import { byId, element } from './dom.js';
import { percent } from './format.js';
import { thumbnail } from './thumbnail.js';

/** Pictures of a thing that are shown. */
const SHOWN = 4;
/** Milliseconds for which a tap counts as held: long enough for one picture. */
const TAP = 250;

const list = byId('teach-things');

/**
 * @typedef {object} Thing
 * @property {string} label
 * @property {number} count
 * @property {Blob[]} pictures small copies, for a model that has not seen them
 * @property {any} row
 * @property {any} score
 * @property {any} fill
 * @property {any} thumbs
 * @property {any} counter
 */

export class Lessons {
  /** @type {Thing[]} */ #things = [];
  #made = 0;
  /** Lets the button go that is held. */ #release = () => {};

  /**
   * @param {{
   *   hold: (label: string | undefined) => void, once: (label: string) => void, files: (label: string, files: File[]) => void,
   *   rename: (from: string, to: string) => void, forget: (label: string) => void,
   * }} events
   */
  constructor(events) {
    this.events = events;
    // A question of the browser, such as for the camera, takes the pointer away without a word.
    addEventListener('blur', () => this.#release());
    this.add();
    this.add();
  }

  /** One more thing, with a name that can be changed. @param {string} [label] @param {number} [count] of its pictures */
  add(label, count = 0) {
    let name = label;
    while (name === undefined || (label === undefined && this.#find(name))) name = `Thing ${++this.#made}`;
    const input = element('input', { value: name, autocomplete: 'off', spellcheck: false, maxLength: 40, 'aria-label': 'Name of the thing' });
    const show = element('button', { type: 'button', className: 'hold', textContent: 'Hold to teach', 'data-testid': 'teach-show' });
    const file = element('input', { type: 'file', accept: 'image/*', multiple: true, className: 'visually-hidden' });
    const forget = element('button', { type: 'button', className: 'close', textContent: '×', title: 'Forget this thing' });
    const score = element('span', { className: 'score' });
    const fill = element('span', { className: 'fill' });
    const thumbs = element('span', { className: 'thumbs', 'aria-hidden': 'true' });
    const counter = element('span', { className: 'count' });
    const row = element('li', { className: 'thing' }, element('div', { className: 'thing-name' }, input, score, forget),
      element('span', { className: 'bar', 'aria-hidden': 'true' }, fill),
      element('div', { className: 'thing-pictures' }, show, element('label', { className: 'button quiet' }, 'Files', file), thumbs, counter));
    /** @type {Thing} */
    const thing = { label: name, count, pictures: [], row, score, fill, thumbs, counter };
    this.#things.push(thing);
    list.append(row);
    this.#describe(thing);

    input.addEventListener('change', () => {
      const wanted = input.value.trim();
      if (!wanted || this.#find(wanted)) {
        input.value = thing.label;
        return;
      }
      const before = thing.label;
      thing.label = wanted;
      this.#describe(thing);
      this.events.rename(before, wanted);
    });
    this.#holdable(show, thing);
    file.addEventListener('change', () => {
      this.events.files(thing.label, [...file.files]);
      file.value = '';
    });
    forget.addEventListener('click', () => {
      this.#things = this.#things.filter((one) => one !== thing);
      row.remove();
      this.events.forget(thing.label);
      byId('teach-more').focus();
    });
    return thing;
  }

  /** A button that shows pictures as long as it is held; by the keyboard, one at a time. */
  #holdable(/** @type {HTMLElement} */ button, /** @type {Thing} */ thing) {
    let [since, timer] = [0, 0];
    const release = () => {
      if (!button.dataset.held) return;
      delete button.dataset.held;
      this.#release = () => {};
      timer = setTimeout(() => this.events.hold(undefined), Math.max(0, since + TAP - performance.now()));
    };
    button.addEventListener('pointerdown', (event) => {
      if (event.button) return;
      clearTimeout(timer);
      button.setPointerCapture(event.pointerId);
      button.dataset.held = 'true';
      this.#release = release;
      since = performance.now();
      this.events.hold(thing.label);
    });
    for (const end of ['pointerup', 'pointercancel', 'lostpointercapture']) button.addEventListener(end, release);
    // A long press opens no menu.
    button.addEventListener('contextmenu', (event) => event.preventDefault());
    button.addEventListener('click', (event) => {
      if (/** @type {PointerEvent} */ (event).detail === 0) this.events.once(thing.label);
    });
  }

  /** @param {string} label @param {any} source what was learnt as this @returns {boolean} whether there is such a thing */
  learnt(label, source) {
    const thing = this.#find(label);
    if (!thing) return false;
    thing.count += 1;
    const canvas = source && thumbnail(source);
    if (canvas) {
      canvas.toBlob((/** @type {Blob | null} */ blob) => blob && thing.pictures.push(blob), 'image/jpeg', 0.9);
      thing.thumbs.prepend(canvas);
      while (thing.thumbs.children.length > SHOWN) thing.thumbs.lastChild.remove();
    }
    this.#describe(thing);
    return true;
  }

  /** @param {Map<string, number>} scores */
  show(scores) {
    for (const { label, score, fill } of this.#things) {
      const value = scores.get(label);
      score.textContent = value === undefined ? '' : percent(value);
      fill.style.transform = `scaleX(${value ?? 0})`;
    }
  }

  /** In place of all things, those that were taught before. @param {{ label: string, count: number }[]} classes */
  reset(classes) {
    for (const { row } of this.#things) row.remove();
    this.#things = [];
    for (const { label, count } of classes) this.add(label, count);
  }

  /** All pictures so far, for another model. @returns {{ label: string, source: Blob }[]} */
  again() {
    return this.#things.flatMap((thing) => thing.pictures.splice(0).map((source) => ({ label: thing.label, source })));
  }

  forgetCounts() {
    for (const thing of this.#things) {
      thing.count = 0;
      thing.thumbs.replaceChildren();
      this.#describe(thing);
    }
  }

  /** @param {string} label */
  #find(label) {
    return this.#things.find((thing) => thing.label === label);
  }

  #describe(/** @type {Thing} */ { label, count, counter, row }) {
    counter.textContent = count ? `${count} ${count === 1 ? 'picture' : 'pictures'}` : 'no pictures yet';
    row.querySelector('.hold').setAttribute('aria-label', `Hold to teach ${label}`);
    row.querySelector('.close').setAttribute('aria-label', `Forget ${label}`);
    row.querySelector('[type=file]').setAttribute('aria-label', `Files of ${label}`);
  }
}
