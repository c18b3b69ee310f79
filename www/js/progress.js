/** The progress of loading, on the picture: one line of text and one bar. */
import { byId } from './dom.js';
import { megabytes } from './format.js';

const PHASES = ['download', 'upload', 'compile', 'warmup'];
/** About how much of the time each phase takes. */
const SHARE = [0.6, 0.1, 0.2, 0.1];
/** What is announced of each phase. */
const SAID = ['downloading', 'going to the device', 'compiling', 'warming up'];

const bar = byId('load-progress');
const cancel = byId('cancel-load');

export class Progress {
  /** What is announced. */
  phase = '';
  #name;
  #reached = 0;
  /** How far each phase is; weights may go to the device while they are still being downloaded. */
  #parts = PHASES.map(() => 0);

  /** @param {string} name of the model */
  constructor(name) {
    this.#name = name;
    bar.hidden = cancel.hidden = false;
    bar.value = 0;
  }

  /**
   * @param {{ phase: string, loaded: number, total: number, file?: string }} event
   * @returns {string} the line to show
   */
  report(event) {
    const at = PHASES.indexOf(event.phase);
    const fraction = event.total > 0 ? Math.min(1, event.loaded / event.total) : 0;
    if (at >= 0) {
      this.#reached = Math.max(this.#reached, at);
      if (!event.file?.endsWith('.json')) this.#parts[at] = fraction;
      // Whoever compiles has all of the weights.
      if (at > 1) this.#parts.fill(1, 0, at);
      bar.value = Math.max(bar.value, this.#parts.reduce((sum, part, i) => sum + part * SHARE[i], 0));
    }
    this.phase = `Loading ${this.#name}: ${SAID[this.#reached]}`;
    return `Loading ${this.#name}: ${words(event, fraction)}`;
  }

  done() {
    bar.hidden = cancel.hidden = true;
  }
}

/** @param {{ phase: string, loaded: number, total: number }} event @param {number} fraction */
function words({ phase, loaded, total }, fraction) {
  switch (phase) {
    case 'download': return total > 0 ? `${megabytes(loaded)} of ${megabytes(total)}, ${Math.round(fraction * 100)} %` : megabytes(loaded);
    case 'upload': return `${megabytes(loaded)} on the device`;
    case 'compile': return total > 0 ? `compiling, ${loaded} of ${total}` : 'compiling';
    case 'warmup': return 'warming up';
    default: return 'nearly there';
  }
}
