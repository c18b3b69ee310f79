/** What the model runs on: the badge in the masthead, and behind it why, and how to use a real GPU. */
import { byId, element } from './dom.js';
import { megabytes } from './format.js';
import { webgpuHelp } from './webgpu-help.js';

const badge = byId('adapter-badge');
const name = badge.querySelector('.adapter-name');
const facts = badge.querySelector('.adapter-facts');

/** @param {any} info the package's ModelInfo @param {string} asked the device that was asked for */
export function showAdapter(info, asked) {
  const { device, memory } = info;
  const kind = device.kind === 'cpu' ? 'cpu' : device.fallback ? 'software' : 'gpu';
  badge.dataset.kind = kind;
  name.textContent = { cpu: 'CPU', software: 'Software GPU', gpu: device.adapter ? `GPU: ${device.adapter}` : 'GPU' }[kind];
  const has = [device.f16 && 'half floats', device.subgroups && 'subgroups', device.timestamps && 'timestamps'].filter(Boolean);
  const helps = kind !== 'gpu' && asked !== 'cpu';
  facts.replaceChildren(
    element('p', { textContent: sentence(device.reason) }),
    ...(helps ? [element('h2', { textContent: 'How to use the GPU' }), element('ul', {}, ...webgpuHelp().map((step) => element('li', { textContent: step })))] : []),
    definitions([
      ['Can do', kind === 'cpu' ? '' : has.join(', ')],
      ['Weights', megabytes(memory.weights)],
      ['Work space', megabytes(memory.activations)],
      ['WebAssembly', megabytes(memory.wasm)],
    ]),
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
