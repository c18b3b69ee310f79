/** Whether the model at work can show where it looks: the switch, or a plain word in its place. */
import { byId } from './dom.js';

const label = byId('heatmap-toggle').closest('label');
const note = byId('heatmap-none');

/** @param {{ maps: boolean }} info of the model */
export function showMapSwitch({ maps }) {
  label.hidden = !maps;
  note.hidden = maps;
}
