/** The panel "Segment": what every pixel shows, as a layer of colours, with how much of the picture each thing takes. */
import { announce } from './announcer.js';
import { answer, capital } from './answer.js';
import { byId, element } from './dom.js';
import { milliseconds, percent } from './format.js';
import { video, viewer } from './viewer.js';

/** Things that are listed. */
const ROWS = 12;
/** How much the colours hide of the picture, of 255, and how much where another thing was chosen. */
const [SHOWN, OTHERS] = [150, 25];

const frame = byId('stage');
/** @type {HTMLCanvasElement} */
const canvas = byId('segments');
const list = byId('segment-list');
const time = byId('segment-time');

/** Pixels of the shorter side of what a model sees, where somebody wants it faster; models are trained at 512. */
const FAST = 256;

/**
 * @param {import('./model-session.js').ModelSession} session of the model that names every pixel
 * @param {() => void} onOptions the model is wanted otherwise
 */
export function segmentPanel(session, onOptions) {
  /** The thing that somebody wants to see alone. @type {number | undefined} */
  let chosen;
  /** @type {any} */
  let last;
  /** Where somebody points to on the screen. @type {[number, number] | undefined} */
  let pointed;

  /** Made once, so that they can be pressed while a video changes them. */
  const rows = Array.from({ length: ROWS }, () => {
    const parts = { swatch: element('i', { 'aria-hidden': 'true' }), label: element('span', { className: 'label' }), score: element('span', { className: 'score' }) };
    const button = element('button', { type: 'button', 'aria-pressed': 'false' }, ...Object.values(parts));
    const item = element('li', { hidden: true }, button);
    button.addEventListener('click', () => {
      const index = Number(button.value);
      chosen = index === chosen ? undefined : index;
      if (last) show(last);
    });
    list.append(item);
    return { ...parts, button, item };
  });

  const fast = byId('segment-fast');
  fast.addEventListener('change', onOptions);
  frame.addEventListener('pointermove', (/** @type {PointerEvent} */ event) => {
    pointed = [event.clientX, event.clientY];
    name();
  });
  frame.addEventListener('pointerleave', () => {
    pointed = undefined;
    name();
  });

  /** @param {any} result */
  function show(result) {
    last = result;
    paint(result);
    time.textContent = `${milliseconds(result.timing.total)} ms`;
    rows.forEach(({ item, button, swatch, label, score }, i) => {
      const thing = result.shares[i];
      item.hidden = !thing;
      if (!thing) return;
      button.value = thing.index;
      button.setAttribute('aria-pressed', String(thing.index === chosen));
      swatch.style.background = `rgb(${session.model.info.palette[thing.index].join(' ')})`;
      label.textContent = thing.label;
      score.textContent = percent(thing.share);
    });
    name();
    announce({ label: result.shares.slice(0, 3).map((/** @type {any} */ { label }) => label).join(', ') });
  }

  /** @param {any} result */
  function paint({ classMap, width, height }) {
    const layer = new ImageData(width, height);
    const pixels = new Uint32Array(layer.data.buffer);
    const words = session.model.info.palette.map((/** @type {number[]} */ [r, g, b], /** @type {number} */ index) =>
      (((chosen === undefined || index === chosen ? SHOWN : OTHERS) << 24) | (b << 16) | (g << 8) | r) >>> 0);
    for (let i = 0; i < pixels.length; i++) pixels[i] = words[classMap[i]];
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    canvas.getContext('2d')?.putImageData(layer, 0, 0);
    canvas.hidden = false;
  }

  /** Names what somebody points to. */
  function name() {
    if (!last) return;
    const [x, y] = pointed ? viewer.at(...pointed) : [-1, -1];
    const inside = x >= 0 && y >= 0 && x < last.width && y < last.height;
    if (inside) answer.show({ name: capital(last.labels[last.classMap[y * last.width + x]]), sure: true });
    else answer.clear();
  }

  return {
    /** How the model is to be loaded. */
    options: () => (fast.checked ? { size: FAST } : {}),

    /** @param {any} model @param {AbortSignal} signal */
    async watch(model, signal) {
      for await (const result of model.segmentVideo(video, { signal })) {
        if (signal.aborted) return;
        show(result);
      }
    },

    /** @param {any} model @param {AbortSignal} signal */
    async lookOnce(model, signal) {
      const result = await model.segment(viewer.source, { signal });
      if (!signal.aborted) show(result);
    },

    clear() {
      canvas.hidden = true;
      last = undefined;
      for (const { item } of rows) item.hidden = true;
      time.textContent = '–';
    },
  };
}
