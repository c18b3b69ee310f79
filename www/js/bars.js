/** The five best classes as bars. The rows are made once and only their contents change, so nothing jumps. */
import { byId, element } from './dom.js';
import { percent } from './format.js';

export const ROWS = 5;
/** Lower scores are next to nothing, and shown as that. */
const FAINT = 0.01;

const list = byId('predictions');
const rows = Array.from({ length: ROWS }, () => {
  const label = element('span', { className: 'label' });
  const score = element('span', { className: 'score' });
  const fill = element('span', { className: 'fill' });
  const row = element('li', {}, label, score, element('span', { className: 'bar', 'aria-hidden': 'true' }, fill));
  list.append(row);
  return { row, label, score, fill };
});

/** @param {{ label: string, score: number }[]} predictions best first */
export function showBars(predictions) {
  rows.forEach(({ row, label, score, fill }, rank) => {
    const prediction = predictions[rank];
    const name = prediction?.label ?? '';
    if (label.textContent !== name) {
      label.textContent = name;
      label.title = name;
    }
    row.classList.toggle('faint', prediction !== undefined && prediction.score < FAINT);
    score.textContent = prediction ? percent(prediction.score) : '';
    fill.style.transform = `scaleX(${prediction ? Math.min(1, prediction.score) : 0})`;
  });
}

export function clearBars() {
  showBars([]);
}
