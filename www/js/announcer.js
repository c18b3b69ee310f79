/** Tells screen readers the top prediction: politely, only when it changes, and not more often than every three seconds. */
import { byId } from './dom.js';
import { percent } from './format.js';

const INTERVAL = 3000;
const region = byId('announcer');
let said = '';
let saidAt = -INTERVAL;
/** @type {{ label: string, score?: number } | undefined} */
let waiting;
let timer = 0;

/** @param {{ label: string, score?: number } | undefined} top without a score where it is no answer */
export function announce(top) {
  if (!top || top.label === said) {
    waiting = undefined;
    return;
  }
  waiting = top;
  if (timer) return;
  timer = setTimeout(speak, Math.max(0, saidAt + INTERVAL - performance.now()));
}

/** Forgets what was said, so that a new picture is announced even if its class is the same. */
export function forgetAnnouncement() {
  said = '';
}

function speak() {
  timer = 0;
  if (!waiting) return;
  said = waiting.label;
  saidAt = performance.now();
  region.textContent = waiting.score === undefined ? said : `${said}, ${percent(waiting.score)}`;
  waiting = undefined;
}
