/** The package as one file, which is its own worker's script as well: nothing is fetched twice. */
import { setWorker } from './assets.js';
import { serve } from './serve.js';

export * from './index.js';

/** What the worker's address ends with; servers and caches do not see it. */
const WORKER = '#webmamba-worker';

// In a bundle this would start all of the page once more.
if (/\/webmamba\.min\.js(\?[^#]*)?(#.*)?$/.test(import.meta.url)) {
  if (import.meta.url.endsWith(WORKER)) serve();
  else setWorker(import.meta.url + WORKER);
}
