/** Where a picture's time goes, launch by launch. */
import { byId, element } from './dom.js';
import { milliseconds } from './format.js';
import { viewer } from './viewer.js';

const SHOWN = 15;
const panel = byId('profile');
const body = panel.querySelector('.profile-body');

/** @param {boolean} shown */
export function openProfile(shown) {
  panel.hidden = !shown;
}

export function profileIsOpen() {
  return !panel.hidden;
}

/** Times the layers of the model on what is shown. @param {any} model */
export async function timeLayers(model) {
  if (!model) return say('Load a model first.');
  if (viewer.kind === 'none') return say('Start the camera or open a picture: the steps are timed on what is shown.');
  say('Measuring');
  try {
    show(await model.profile());
  } catch (error) {
    console.error(error);
    say(`The steps cannot be timed here. ${/** @type {Error} */ (error).message}`);
  }
}

/** @param {string} text */
function say(text) {
  body.replaceChildren(element('p', { className: 'summary', textContent: text }));
}

/** @param {{ op: string, kernel: string, node: string, ms: number }[]} entries */
function show(entries) {
  const total = entries.reduce((sum, entry) => sum + entry.ms, 0);
  if (!entries.length || total <= 0) {
    say('The device gave no times. Its clock may be too coarse: some browsers round it for privacy.');
    return;
  }
  const slowest = [...entries].sort((a, b) => b.ms - a.ms).slice(0, SHOWN);
  const share = slowest.reduce((sum, entry) => sum + entry.ms, 0) / total;
  const longest = slowest[0].ms;
  const rows = slowest.map(({ op, kernel, node, ms }) => element('tr', {},
    element('td', { className: 'node', textContent: node }),
    element('td', { className: 'op', textContent: op }),
    element('td', { className: 'kernel', textContent: kernel }),
    element('td', { className: 'ms', textContent: ms.toFixed(ms < 1 ? 3 : 2) }),
    element('td', { className: 'time' }, timeBar(ms / longest))));
  const titles = [['Step', ''], ['Operator', 'op'], ['Kernel', 'kernel'], ['ms', 'ms']].map(
    ([title, className]) => element('th', { scope: 'col', textContent: title, className }));
  const head = element('thead', {}, element('tr', {}, ...titles, element('td', { className: 'time' })));
  body.replaceChildren(
    element('p', { className: 'summary', textContent:
      `${entries.length} steps take ${milliseconds(total)} ms. ${slowest.length < entries.length
        ? `The ${slowest.length} slowest, below, are ${Math.round(share * 100)} % of it.` : ''} Most of it: ${byOperator(entries, total)}.` }),
    element('div', { className: 'table-wrap', tabIndex: 0, role: 'region', 'aria-label': 'The slowest steps' }, element('table', {}, head, element('tbody', {}, ...rows))),
  );
}

/** @param {number} part */
function timeBar(part) {
  const bar = element('i', { 'aria-hidden': 'true' });
  bar.style.width = `${part * 100}%`;
  return bar;
}

/** @param {{ op: string, ms: number }[]} entries @param {number} total */
function byOperator(entries, total) {
  /** @type {Map<string, number>} */
  const sums = new Map();
  for (const { op, ms } of entries) sums.set(op, (sums.get(op) ?? 0) + ms);
  return [...sums].sort((a, b) => b[1] - a[1]).slice(0, 3).map(([op, ms]) => `${op} ${Math.round((ms / total) * 100)} %`).join(', ');
}
