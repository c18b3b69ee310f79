/** Says that the model is not sure, and names a few things that it knows. */
import { byId } from './dom.js';

const NAMED = 5;
const note = byId('doubt');
const readings = byId('predictions');
/** @type {readonly string[] | undefined} */
let named;

/** @param {{ labels: readonly string[], unknown: number | null }} info */
export function showDoubt({ labels, unknown }) {
  if (named !== labels) {
    named = labels;
    const known = labels.filter((_, index) => index !== unknown);
    // From the first half of the list, the same ones every time, so that the sentence stands still.
    const some = Array.from({ length: NAMED }, (_, i) => known[Math.floor(((i + 0.2) * known.length) / NAMED / 2)]);
    note.textContent = `Not sure. Hold something closer to the camera. It knows things like ${[...new Set(some)].join(', ')}.`;
  }
  note.hidden = false;
  readings.classList.add('quiet');
}

export function hideDoubt() {
  note.hidden = true;
  readings.classList.remove('quiet');
}
