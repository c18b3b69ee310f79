/** Frames a second, and where the time of a picture goes. Figures are smoothed and change at most four times a second. */
import { byId, element } from './dom.js';
import { milliseconds } from './format.js';

const STEPS = /** @type {const} */ (['capture', 'preprocess', 'model', 'readback']);
const PERIOD = 250;

const fpsFigure = byId('fps');
const latency = byId('latency');
const split = document.querySelector('.split');
const segments = STEPS.map((step) => element('i', { 'data-step': step }));
split?.append(...segments);
const figures = STEPS.map((step) => document.querySelector(`.split-legend [data-step="${step}"] dd`));

/** @type {Record<string, number> | undefined} */
let mean;
let shownAt = -PERIOD;

/**
 * @param {Record<string, number>} timing milliseconds of each step and `total`
 * @param {number} [fps] only of a video
 */
export function showTiming(timing, fps) {
  mean ??= { ...timing };
  if (fps !== undefined) for (const step of [...STEPS, 'total']) mean[step] += 0.2 * (timing[step] - mean[step]);
  else mean = { ...timing };
  const now = performance.now();
  if (fps !== undefined && now - shownAt < PERIOD) return;
  shownAt = now;
  // The first frame of a video has no rate yet.
  fpsFigure.textContent = !fps ? '–' : fps.toFixed(fps < 9.95 ? 1 : 0);
  latency.textContent = milliseconds(mean.total);
  STEPS.forEach((step, i) => {
    const ms = mean?.[step] ?? 0;
    segments[i].style.flexGrow = String((100 * Math.max(ms, 0)) / Math.max(mean?.total ?? 0, 0.001));
    if (figures[i]) figures[i].textContent = milliseconds(ms);
  });
}

/** Before another source or model: no figure of the last one stays. */
export function clearTiming() {
  mean = undefined;
  shownAt = -PERIOD;
  fpsFigure.textContent = latency.textContent = '–';
  for (const segment of segments) segment.style.flexGrow = '0';
  for (const figure of figures) if (figure) figure.textContent = '–';
}
