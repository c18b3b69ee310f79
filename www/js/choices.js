/**
 * Which model, where, and how: the fields of the model panel and the address of the page.
 * `?model=` is a built-in name, a hub id or the address of a folder; `?device=auto|webgpu|cpu`; `?worker=1|0`;
 * `?hub=` is where hub ids are resolved instead of the default.
 */
import { byId, element } from './dom.js';

const select = byId('model-select');
const device = byId('device-select');
const worker = byId('worker-toggle');
const hubForm = byId('hub-form');
const hubId = byId('hub-id');

/** @typedef {{ key: string, name: string, source: any, shareable: boolean }} Choice */

/** @type {Map<string, Choice>} */
const known = new Map();
for (const option of select.options) known.set(option.value, { key: option.value, name: option.textContent.replace(' (built in)', ''), source: option.value, shareable: true });
/** The model that a page without wishes loads: the first of the list. */
export const FALLBACK = select.options[0].value;

/** Reads the address. @returns {Choice} */
export function fromAddress() {
  const parameters = new URLSearchParams(location.search);
  const wanted = parameters.get('device') ?? 'auto';
  if ([...device.options].some((option) => option.value === wanted)) device.value = wanted;
  worker.checked = !['0', 'false', 'off'].includes(parameters.get('worker') ?? '1');
  const model = parameters.get('model');
  return model ? choose(model) : choose(FALLBACK);
}

/** Selects a built-in model, a hub id or an address. @param {string} id @returns {Choice} */
export function choose(id) {
  if (!known.has(id)) {
    add({ key: id, name: id, source: id, shareable: true });
    hubId.value = id;
  }
  return settle(id);
}

/** Selects files of the user's own. @param {{ weights: File, config?: File }} files @returns {Choice} */
export function chooseFiles(files) {
  const key = `file: ${files.weights.name}`;
  add({ key, name: files.weights.name, source: { ...files, name: files.weights.name }, shareable: false });
  return settle(key);
}

/** The part of the load options that the panel decides. */
export function loadOptions() {
  const baseUrl = new URLSearchParams(location.search).get('hub');
  return { device: device.value, worker: worker.checked, ...(baseUrl ? { baseUrl } : {}) };
}

/** The same model on the CPU. @param {Choice} choice @returns {Choice} */
export function onCpu({ key }) {
  device.value = 'cpu';
  return settle(key);
}

/** @param {(choice: Choice) => void} onChoice */
export function listen(onChoice) {
  const again = () => onChoice(settle(select.value));
  for (const control of [select, device, worker]) control.addEventListener('change', again);
  hubForm.addEventListener('submit', (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const id = hubId.value.trim();
    if (id) onChoice(choose(id));
  });
}

/** @param {Choice} choice */
function add(choice) {
  if (!known.has(choice.key)) select.append(element('option', { value: choice.key, textContent: choice.name }));
  known.set(choice.key, choice);
}

/** @param {string} key @returns {Choice} */
function settle(key) {
  select.value = key;
  const choice = known.get(key) ?? known.get(FALLBACK);
  if (!choice) throw new Error('The page offers no model.');
  remember(choice);
  return choice;
}

/** Keeps the choices in the address, so that it can be sent to somebody. @param {Choice} choice */
function remember({ source, shareable }) {
  const address = new URL(location.href);
  const set = (/** @type {string} */ name, /** @type {string} */ value, /** @type {string} */ usual) =>
    value === usual ? address.searchParams.delete(name) : address.searchParams.set(name, value);
  set('model', shareable ? source : FALLBACK, FALLBACK);
  set('device', device.value, 'auto');
  set('worker', worker.checked ? '1' : '0', '1');
  history.replaceState(null, '', address);
}
