/** The answer, written on the picture. */
import { byId } from './dom.js';
import { percent } from './format.js';

const answer = byId('answer');
const [name, score, maybe] = answer.children;

/**
 * @param {{ predictions: { index: number, label: string, score: number }[], confident: boolean }} result best first
 * @param {number | null} unknown the class for everything else
 */
export function showAnswer({ predictions: [first], confident }, unknown) {
  answer.hidden = !first;
  if (!first) return;
  answer.dataset.sure = String(confident);
  set(name, confident ? capital(first.label) : 'Not sure');
  set(score, confident ? percent(first.score) : '');
  set(maybe, confident || first.index === unknown ? '' : `Maybe ${first.label}, ${percent(first.score)}`);
}

export function clearAnswer() {
  answer.hidden = true;
}

/** @param {Element} target @param {string} text */
function set(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** @param {string} text */
function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
