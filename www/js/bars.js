/** The five best classes as bars. The rows are made once and only their contents change, so nothing jumps. */
import { byId, element } from './dom.js';
import { percent } from './format.js';

export const ROWS = 5;
/** Lower scores are next to nothing, and shown as that. */
const FAINT = 0.01;

/** What an empty row is called. */
const NOTHING = 'nothing yet';

const list = byId('predictions');
const rows = Array.from({ length: ROWS }, () => {
  const label = element('button', { type: 'button', className: 'label', 'aria-pressed': 'false', 'aria-label': NOTHING, disabled: true });
  const score = element('span', { className: 'score' });
  const fill = element('span', { className: 'fill' });
  const row = element('li', {}, label, score, element('span', { className: 'bar', 'aria-hidden': 'true' }, fill));
  list.append(row);
  return { row, label, score, fill };
});

/** The class that somebody wants to see on the picture. @type {string | undefined} */
let chosen;

/** @param {(label: string | undefined) => void} onChoice hears of a class that is pressed; of one that is pressed again, undefined */
export function listenToBars(onChoice) {
  for (const { label } of rows) {
    label.addEventListener('click', () => {
      choose(label.textContent === chosen ? undefined : label.textContent);
      onChoice(chosen);
    });
  }
}

/** @param {string | undefined} label */
export function choose(label) {
  chosen = label;
  for (const row of rows) row.label.setAttribute('aria-pressed', String(row.label.textContent !== '' && row.label.textContent === label));
}

/** @param {{ label: string, score: number }[]} predictions best first @param {boolean} [pressable] whether a class can be shown on the picture */
export function showBars(predictions, pressable = true) {
  rows.forEach(({ row, label, score, fill }, rank) => {
    const prediction = predictions[rank];
    const name = prediction?.label ?? '';
    if (label.textContent !== name || label.disabled !== !(name && pressable)) {
      label.textContent = name;
      label.disabled = !(name && pressable);
      label.title = label.disabled ? '' : `Show what speaks for ${name}`;
      if (name) label.removeAttribute('aria-label');
      else label.setAttribute('aria-label', NOTHING);
    }
    label.setAttribute('aria-pressed', String(name !== '' && name === chosen));
    row.classList.toggle('faint', prediction !== undefined && prediction.score < FAINT);
    score.textContent = prediction ? percent(prediction.score) : '';
    fill.style.transform = `scaleX(${prediction ? Math.min(1, prediction.score) : 0})`;
  });
}

export function clearBars() {
  showBars([]);
}
