/** Which map lies over the picture: the switch, what the map shows, and of which layer's scans. */
import { byId, element } from './dom.js';

/** What the maps of scans show, and the words at the ends of their legends. @type {Record<string, [string, string, string]>} */
const OF_SCANS = {
  delta: ['How much a layer takes in', 'little', 'much'],
  forget: ['How much a layer keeps', 'forgets', 'keeps'],
  contribution: ['What counts for a layer', 'least', 'most'],
};

const toggle = byId('heatmap-toggle');
const label = toggle.closest('label');
const note = byId('heatmap-none');
const choice = byId('map-choice');
const kinds = byId('map-kind');
const layers = byId('map-layer');
const legend = byId('heatmap-legend');
const low = byId('heatmap-low');
const high = byId('heatmap-class');

export const maps = {
  /** What is shown of scans; nothing where the map is that of a class, or none is wanted. @returns {{ kind: string, layer: string } | undefined} */
  get scan() {
    return toggle.checked && kinds.value in OF_SCANS ? { kind: kinds.value, layer: layers.value } : undefined;
  },

  /** Whether the map of a class is wanted. */
  get ofClass() {
    return toggle.checked && kinds.value === 'cam';
  },

  /** Switches to the map of a class. */
  showClass() {
    toggle.checked = true;
    kinds.value = 'cam';
    reflect();
  },

  /** Offers what a model has, or says that it has nothing. @param {{ maps: boolean, layers: readonly string[] }} info of the model */
  offer(info) {
    const before = kinds.value;
    const scans = info.layers.length ? Object.entries(OF_SCANS).map(([value, [text]]) => [value, text]) : [];
    const all = [...(info.maps ? [['cam', 'What speaks for the answer']] : []), ...scans];
    kinds.replaceChildren(...all.map(([value, textContent]) => element('option', { value, textContent })));
    if (all.some(([value]) => value === before)) kinds.value = before;
    layers.replaceChildren(...info.layers.map((value, i) => element('option', { value, textContent: `${i + 1} of ${info.layers.length}: ${value}` })));
    layers.selectedIndex = info.layers.length - 1;
    label.hidden = !all.length;
    note.hidden = all.length > 0;
    reflect();
  },

  /** The words beside the colours. @param {string} [name] of the class */
  showLegend(name) {
    const [, from, to] = OF_SCANS[kinds.value] ?? ['', 'other things', name];
    legend.hidden = false;
    for (const [place, text] of [[low, from], [high, to]]) if (place.textContent !== text) place.textContent = text;
  },

  hideLegend() {
    legend.hidden = true;
  },

  /** @param {() => void} onChange hears of another choice */
  listen(onChange) {
    for (const control of [toggle, kinds, layers]) {
      control.addEventListener('change', () => {
        reflect();
        onChange();
      });
    }
  },
};

/** Choices are there where there is something to choose. */
function reflect() {
  choice.hidden = label.hidden || !toggle.checked || kinds.length < 2;
  layers.parentElement.hidden = !(kinds.value in OF_SCANS);
}
