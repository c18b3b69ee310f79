/** The progress of loading: one line of text, the four phases, one bar. */
import { byId } from './dom.js';
import { megabytes } from './format.js';

const PHASES = ['download', 'upload', 'compile', 'warmup'];
/** About how much of the time each phase takes. */
const SHARE = { download: 0.6, upload: 0.1, compile: 0.2, warmup: 0.1 };

const bar = byId('load-progress');
const cancel = byId('cancel-load');
const chips = [...byId('phases').children];

export class Progress {
  /** What is announced. */
  phase = '';
  #reached = 0;
  #shown = 0;
  /** How far each phase is; weights may go to the device while they are still being downloaded. */
  #parts = PHASES.map(() => 0);

  constructor() {
    bar.hidden = cancel.hidden = false;
    bar.value = 0;
    for (const chip of chips) chip.dataset.at = 'future';
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
      const streaming = this.#reached <= PHASES.indexOf('upload');
      chips.forEach((chip, i) => {
        if (i < this.#reached && !(streaming && this.#parts[i] < 1)) {
          chip.dataset.at = 'past';
          this.#parts[i] = 1;
        } else chip.dataset.at = i <= this.#reached ? 'now' : 'future';
      });
      this.#shown = Math.max(this.#shown, this.#parts.reduce((sum, part, i) => sum + part * SHARE[PHASES[i]], 0));
      bar.value = this.#shown;
    }
    this.phase = `Loading: ${chips[this.#reached].textContent.toLowerCase()}`;
    return sentence(event, fraction);
  }

  done() {
    bar.hidden = cancel.hidden = true;
  }
}

/** @param {{ phase: string, loaded: number, total: number, file?: string }} event @param {number} fraction */
function sentence({ phase, loaded, total, file }, fraction) {
  const percent = total > 0 ? `, ${Math.round(fraction * 100)} %` : '';
  switch (phase) {
    case 'download': {
      const name = file?.split('/').pop() || 'the weights';
      return `Downloading ${name}: ${megabytes(loaded)}${total > 0 ? ` of ${megabytes(total)}${percent}` : ''}`;
    }
    case 'upload': return `Putting the weights on the device: ${megabytes(loaded)}${percent}`;
    case 'compile': return total > 0 ? `Compiling kernels: ${loaded} of ${total}` : 'Compiling kernels';
    case 'warmup': return 'Warming up';
    default: return 'Nearly there';
  }
}
