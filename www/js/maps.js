/** Whether the model at work can show where it looks: the switch, or a plain word in its place. */
import { byId } from './dom.js';

const toggle = byId('heatmap-toggle');
const note = byId('heatmap-none');
/** Models that were asked for a map and failed. @type {WeakSet<object>} */
const without = new WeakSet();

/** @param {any} model */
export function hasMaps(model) {
  return (model.info.maps ?? true) && !without.has(model);
}

/** @param {any} model */
export function showMapSwitch(model) {
  toggle.closest('label').hidden = !hasMaps(model);
  note.hidden = hasMaps(model);
}

/**
 * Whether an error may be that of a model without maps. It is not asked for them again; if it was something else, that comes again.
 * @param {any} model @param {any} error
 */
export function mayLackMaps(model, error) {
  if (error?.name !== 'WebmambaError' || !hasMaps(model)) return false;
  without.add(model);
  showMapSwitch(model);
  return true;
}
