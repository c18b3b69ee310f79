/** The drawer with the model's settings and the instruments. */
import { byId } from './dom.js';

const drawer = byId('drawer');
const toggle = byId('drawer-toggle');
const close = byId('drawer-close');
/** Where the drawer lies over the picture. */
const narrow = matchMedia('(max-width: 860px)');

/** @param {boolean} open */
function set(open) {
  document.body.dataset.drawer = open ? 'open' : 'closed';
  drawer.inert = !open;
  toggle.setAttribute('aria-expanded', String(open));
}

const isOpen = () => document.body.dataset.drawer === 'open';

/** Out of the way of the picture, where it lies over it. */
export function yieldToPicture() {
  if (narrow.matches) set(false);
}

toggle.addEventListener('click', () => {
  set(!isOpen());
  if (isOpen()) close.focus();
});
close.addEventListener('click', () => {
  set(false);
  toggle.focus();
});
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || !isOpen() || document.fullscreenElement) return;
  const inside = drawer.contains(document.activeElement);
  set(false);
  if (inside) toggle.focus();
});
