/** The picture as large as the screen; where browsers let only videos fill it, as large as the window. */
import { byId } from './dom.js';

const frame = byId('stage');
const button = byId('full-screen');

/** @param {boolean} full */
function reflect(full) {
  document.body.dataset.full = String(full);
  button.setAttribute('aria-pressed', String(full));
  button.title = full ? 'Back to the page' : 'Full screen';
}

const isFull = () => document.body.dataset.full === 'true';

button.addEventListener('click', async () => {
  const full = !isFull();
  if (document.fullscreenEnabled) {
    try {
      await (full ? frame.requestFullscreen() : document.exitFullscreen());
      return;
    } catch (error) {
      console.warn('The browser gives no full screen; the window has to do:', error);
    }
  }
  reflect(full);
});
document.addEventListener('fullscreenchange', () => reflect(document.fullscreenElement === frame));
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && isFull()) reflect(false);
});
