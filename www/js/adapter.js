/** What the model runs on: the badge in the masthead, and a note where it is not a real GPU. */
import { byId, element } from './dom.js';
import { megabytes } from './format.js';
import { webgpuHelp } from './webgpu-help.js';

const badge = byId('adapter-badge');
const note = byId('device-note');
const name = badge.querySelector('.adapter-name');
const facts = badge.querySelector('.adapter-facts');

/** @param {any} info the package's ModelInfo @param {string} asked the device that was asked for */
export function showAdapter(info, asked) {
  const { device, memory } = info;
  const kind = device.kind === 'cpu' ? 'cpu' : device.fallback ? 'software' : 'gpu';
  badge.dataset.kind = kind;
  const adapter = device.adapter || 'unnamed adapter';
  name.textContent = { cpu: 'CPU', software: `Software WebGPU: ${adapter}`, gpu: `WebGPU: ${adapter}` }[kind];
  const has = [device.f16 && 'half floats', device.subgroups && 'subgroups', device.timestamps && 'timestamps'].filter(Boolean);
  facts.replaceChildren(
    element('p', { textContent: sentence(device.reason) }),
    definitions([
      ['Features', kind === 'cpu' ? '' : has.join(', ') || 'none of the optional ones'],
      ['Weights', megabytes(memory.weights)],
      ['Activations', megabytes(memory.activations)],
      ['WebAssembly', megabytes(memory.wasm)],
    ]),
  );
  showNote(kind, sentence(device.reason), asked);
}

/** @param {'cpu' | 'software' | 'gpu'} kind @param {string} reason @param {string} asked */
function showNote(kind, reason, asked) {
  note.hidden = kind === 'gpu';
  if (kind === 'gpu') return;
  const title = kind === 'cpu' ? 'No GPU in use.' : 'A CPU plays the GPU.';
  if (asked === 'cpu') {
    note.replaceChildren(element('p', {}, element('strong', { textContent: title }), ` ${reason}`));
    return;
  }
  const steps = element('ul', {}, ...webgpuHelp().map((step) => element('li', { textContent: step })));
  note.replaceChildren(
    element('p', {}, element('strong', { textContent: title }), ` ${reason}`),
    element('details', {}, element('summary', { textContent: 'How to use the GPU' }), steps),
  );
}

/** A reason may come as what follows “runs on”. @param {string} reason */
function sentence(reason) {
  return /[.!?]$/.test(reason) ? reason : `Runs on ${reason}.`;
}

/** @param {string} [text] */
export function clearAdapter(text = 'No model yet') {
  badge.dataset.kind = 'none';
  badge.open = false;
  name.textContent = text;
  facts.replaceChildren(element('p', { textContent: 'Nothing is loaded.' }));
  note.hidden = true;
}

document.addEventListener('click', (event) => {
  if (!badge.contains(/** @type {Node} */ (event.target))) badge.open = false;
});
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || !badge.open) return;
  badge.open = false;
  badge.querySelector('summary').focus();
});

/** @param {[string, string][]} pairs those with an empty value are left out */
export function definitions(pairs) {
  const shown = pairs.filter(([, value]) => value);
  return element('dl', { className: 'facts' }, ...shown.flatMap(([term, value]) => [
    element('dt', { textContent: term }), element('dd', { textContent: value })]));
}
