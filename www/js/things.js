/** Everything that the model knows, to be searched. */
import { byId, element } from './dom.js';

/** More are too many for a list; whoever looks for something searches. */
const SHOWN = 400;

const section = byId('things');
const count = byId('things-count');
const search = byId('things-search');
const list = byId('things-list');
const note = byId('things-note');
/** @type {string[]} in alphabetical order */
let things = [];

/** @param {{ labels: readonly string[], unknown: number | null }} info of a model; nothing to show where its classes have no names */
export function showThings({ labels, unknown }) {
  const named = labels.filter((label, index) => index !== unknown && !/^\d+$/.test(label));
  things = [...new Set(named)].sort((a, b) => a.localeCompare(b));
  section.hidden = !things.length;
  count.textContent = things.length.toLocaleString();
  search.value = '';
  fill();
}

export function clearThings() {
  showThings({ labels: [], unknown: null });
}

function fill() {
  const wanted = search.value.trim().toLowerCase();
  const found = things.filter((thing) => thing.toLowerCase().includes(wanted));
  list.replaceChildren(...found.slice(0, SHOWN).map((thing) => element('li', { textContent: thing })));
  list.hidden = !found.length;
  const more = found.length - SHOWN;
  note.textContent = !found.length && wanted ? `It does not know “${search.value.trim()}”.` : more > 0 ? `And ${more.toLocaleString()} more: search for them.` : '';
}

search.addEventListener('input', fill);
