/** An answer, written on the picture; of two models that are compared, two of them. */
import { byId } from './dom.js';
import { percent } from './format.js';

/** @typedef {{ name: string, score?: string, maybe?: string, sure: boolean }} Answer */

/** @param {string} id of the element */
function place(id) {
  const box = byId(id);
  const [who, name, score, maybe] = box.children;
  return {
    /** @param {Answer} answer @param {string} [by] whose answer it is, where there are two */
    show({ name: text, score: value = '', maybe: other = '', sure }, by = '') {
      box.hidden = false;
      box.dataset.sure = String(sure);
      set(who, by);
      set(name, text);
      set(score, value);
      set(maybe, other);
    },
    clear() {
      box.hidden = true;
    },
  };
}

export const answer = place('answer');
export const secondAnswer = place('second-answer');

/**
 * @param {{ predictions: { index: number, label: string, score: number }[], confident: boolean }} result best first
 * @param {number | null} unknown the class for everything else
 * @returns {Answer}
 */
export function inWords({ predictions: [first], confident }, unknown) {
  if (!first) return { name: 'Nothing', sure: false };
  if (confident) return { name: capital(first.label), score: percent(first.score), sure: true };
  return { name: 'Not sure', maybe: first.index === unknown ? '' : `Maybe ${first.label}, ${percent(first.score)}`, sure: false };
}

/** @param {Element} target @param {string} text */
function set(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** @param {string} text */
export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
