/** What is loaded: size, work, terms. */
import { byId, element } from './dom.js';
import { definitions } from './adapter.js';
import { count } from './format.js';

const list = byId('model-facts');

/** @param {any} info the package's ModelInfo */
export function showFacts(info) {
  const [height, width] = info.size;
  list.replaceChildren(...definitions([
    ['Variant', info.name],
    ['Input', `${width} × ${height} pixels, ${info.classes} classes`],
    ['Parameters', count(info.parameters)],
    ['Work', [info.macs && `${count(info.macs)} multiply-adds`, info.dispatches && `${info.dispatches} kernel launches`].filter(Boolean).join(', ')],
    ['Terms', info.licence],
    ['Assumed', info.assumptions.join('; ')],
  ]).children);
}

export function clearFacts() {
  list.replaceChildren(element('dt', { textContent: 'Nothing is loaded' }));
}
