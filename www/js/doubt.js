/** Says what to do when the model is not sure, and names a few things that it knows. */
import { byId } from './dom.js';
import { viewer } from './viewer.js';

const NAMED = 5;
const note = byId('doubt');
const readings = byId('predictions');
/** @type {readonly string[] | undefined} */
let named;
let some = '';

/** @param {{ labels: readonly string[], unknown: number | null }} info */
export function showDoubt({ labels, unknown }) {
  if (named !== labels) {
    named = labels;
    // Numbers are no names.
    const known = labels.filter((label, index) => index !== unknown && !/^\d+$/.test(label));
    // From the first half of the list, the same ones every time, so that the sentence stands still.
    const few = Array.from({ length: NAMED }, (_, i) => known[Math.floor(((i + 0.2) * known.length) / NAMED / 2)]);
    some = known.length ? ` It knows things like ${[...new Set(few)].join(', ')}.` : '';
  }
  note.textContent = `${viewer.live ? 'Hold something closer to the camera' : 'It may be none of the things it knows'}.${some}`;
  note.hidden = false;
  readings.classList.add('unsure');
}

export function hideDoubt() {
  note.hidden = true;
  readings.classList.remove('unsure');
}
