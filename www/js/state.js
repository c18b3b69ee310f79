/** What the page is doing: `body[data-state]` and the status line. Screen readers hear it when it changes, not at every percent. */
import { byId } from './dom.js';

/** @typedef {'loading' | 'ready' | 'running' | 'error'} State */

const line = byId('status');
const region = byId('state-announcer');
let said = '';

/** @param {State} state @param {string} text @param {string} [announced] what is said aloud, where it differs */
export function setState(state, text, announced = text) {
  document.body.dataset.state = state;
  if (line.textContent !== text) line.textContent = text;
  if (said !== announced) region.textContent = said = announced;
}
