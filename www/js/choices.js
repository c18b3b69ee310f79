/**
 * Which model, where, and how: the fields of the drawer and the address of the page.
 * `?model=` is a built-in name, a hub id or the address of a folder; `?device=auto|webgpu|cpu`; `?worker=1|0`;
 * `?hub=` is where hub ids are resolved instead of the default.
 */
import { byId, element } from './dom.js';

const select = byId('model-select');
const device = byId('device-select');
const worker = byId('worker-toggle');
const hubForm = byId('hub-form');
const hubId = byId('hub-id');

/** @typedef {{ key: string, name: string, source: any, shareable: boolean }} Model */
/** @typedef {Model & { device: string, worker: boolean }} Choice */

/** @type {Map<string, Model>} */
const known = new Map();
for (const option of select.options) known.set(option.value, { key: option.value, name: option.textContent, source: option.value, shareable: true });
/** The model that a page without wishes loads: the first of the list. */
export const FALLBACK = select.options[0].value;

/** Reads the address. @returns {Choice} */
export function fromAddress() {
  const parameters = new URLSearchParams(location.search);
  const wanted = parameters.get('device') ?? 'auto';
  if ([...device.options].some((option) => option.value === wanted)) device.value = wanted;
  worker.checked = !['0', 'false', 'off'].includes(parameters.get('worker') ?? '1');
  return choose(parameters.get('model') || FALLBACK);
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

/** The part of the package's load options that the page decides. @param {Choice} choice */
export function loadOptions({ device, worker }) {
  const baseUrl = new URLSearchParams(location.search).get('hub');
  return { device, worker, ...(baseUrl ? { baseUrl } : {}) };
}

/** All that can be chosen. @returns {Model[]} */
export function models() {
  return [...known.values()];
}

/** The same model on the CPU. @param {Choice} choice @returns {Choice} */
export function onCpu(choice) {
  return restore({ ...choice, device: 'cpu' });
}

/** Sets the fields to a choice of before. @param {Choice} choice @returns {Choice} */
export function restore(choice) {
  device.value = choice.device;
  worker.checked = choice.worker;
  return settle(choice.key);
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

/** @param {Model} model */
function add(model) {
  if (!known.has(model.key)) select.append(element('option', { value: model.key, textContent: model.name }));
  known.set(model.key, model);
}

/** @param {string} key @returns {Choice} */
function settle(key) {
  select.value = key;
  const model = known.get(key) ?? known.get(FALLBACK);
  if (!model) throw new Error('The page offers no model.');
  const choice = { ...model, device: device.value, worker: worker.checked };
  remember(choice);
  return choice;
}

/** Keeps the choices in the address, so that it can be sent to somebody. @param {Choice} choice */
function remember({ source, shareable, device, worker }) {
  const address = new URL(location.href);
  const set = (/** @type {string} */ name, /** @type {string} */ value, /** @type {string} */ usual) =>
    value === usual ? address.searchParams.delete(name) : address.searchParams.set(name, value);
  set('model', shareable ? source : FALLBACK, FALLBACK);
  set('device', device, 'auto');
  set('worker', worker ? '1' : '0', '1');
  history.replaceState(null, '', address);
}
