/** Says on the picture what went wrong: one sentence, the buttons that help, and more where somebody asks for it. */
import { byId, element } from './dom.js';
import { explain } from './errors.js';

const toast = byId('error');
const NAMES = { again: 'Try again', builtin: 'Use the small built-in model', cpu: 'Use the CPU', camera: 'Start the camera again' };

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
  const close = element('button', { type: 'button', className: 'close', textContent: '×', title: 'Close', 'aria-label': 'Close', 'data-action': 'dismiss', onclick: actions.dismiss });
  toast.dataset.kind = kind;
  toast.replaceChildren(
    element('header', {}, element('h2', { textContent: title }), close),
    ...(buttons.length ? [element('div', { className: 'actions' }, ...buttons)] : []),
    ...(detail || steps.length ? [more(detail, steps)] : []),
  );
  toast.hidden = false;
}

/** @param {string} detail @param {string[]} steps */
function more(detail, steps) {
  const parts = [];
  if (steps.length) parts.push(element('ul', {}, ...steps.map((step) => element('li', { textContent: step }))));
  if (detail) parts.push(element('p', { className: 'technical', textContent: detail }));
  return element('details', {}, element('summary', { textContent: steps.length ? 'What to do' : 'More' }), ...parts);
}

export function clearError() {
  toast.hidden = true;
  toast.replaceChildren();
}
