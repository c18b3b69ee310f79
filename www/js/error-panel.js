/** Shows an explained error above the picture, with the buttons that help. */
import { byId, element } from './dom.js';
import { explain } from './errors.js';

const panel = byId('error');
const NAMES = { again: 'Load again', builtin: 'Load the small built-in model', cpu: 'Use the CPU', camera: 'Start the camera again' };

/**
 * @param {unknown} thrown
 * @param {'camera' | 'other'} where
 * @param {Record<string, (() => void) | undefined>} actions what each button does
 */
export function showError(thrown, where, actions) {
  const { title, detail, steps, actions: offered, kind = 'error' } = explain(thrown, where);
  if (kind === 'error') console.error(thrown);
  const buttons = offered.filter((name) => actions[name]).map((name, i) =>
    element('button', { type: 'button', textContent: NAMES[name], className: i ? '' : 'primary', 'data-action': name, onclick: actions[name] }));
  const dismiss = element('button', { type: 'button', textContent: 'Dismiss', 'data-action': 'dismiss', onclick: actions.dismiss });
  panel.dataset.kind = kind;
  panel.replaceChildren(
    element('h2', { textContent: title }),
    ...(detail ? [element('p', { className: 'detail', textContent: detail })] : []),
    ...(steps.length ? [element('ul', {}, ...steps.map((step) => element('li', { textContent: step })))] : []),
    element('div', { className: 'actions' }, ...buttons, dismiss),
  );
  panel.hidden = false;
  panel.scrollIntoView({ block: 'nearest' });
}

export function errorIsShown() {
  return !panel.hidden;
}

export function clearError() {
  panel.hidden = true;
  panel.replaceChildren();
}
