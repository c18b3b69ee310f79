/** The sample pictures. Their buttons show small copies; the pictures themselves are loaded when somebody wants them. */

const buttons = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('[data-sample]')]);

/** @param {HTMLElement} button */
const address = (button) => `samples/${button.dataset.sample}.png`;

/** @param {(address: string, name: string) => void} onChoice */
export function listenToSamples(onChoice) {
  for (const button of buttons) {
    button.addEventListener('click', () => {
      onChoice(address(button), `Sample picture: ${button.dataset.sample}`);
      button.setAttribute('aria-pressed', 'true');
    });
  }
}

/** None of them is shown. */
export function releaseSamples() {
  for (const button of buttons) button.setAttribute('aria-pressed', 'false');
}

/** @returns {Promise<File[]>} */
export function sampleFiles() {
  return Promise.all(buttons.map(async (button) => {
    const blob = await (await fetch(address(button))).blob();
    return new File([blob], button.dataset.sample ?? '', { type: blob.type });
  }));
}
