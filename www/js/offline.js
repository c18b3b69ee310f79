/** Has the browser keep the page for visits without a network. Whoever saves data is not asked to download what is not used. */

/** @param {() => boolean} idle whether the page may be loaded again, as a newer one is there */
export async function keepPage(idle) {
  const { serviceWorker, connection } = /** @type {any} */ (navigator);
  if (!serviceWorker || connection?.saveData) return;
  const before = serviceWorker.controller;
  serviceWorker.addEventListener('controllerchange', () => before && idle() && location.reload());
  try {
    await serviceWorker.register('sw.js');
  } catch (error) {
    console.info('The page is not kept for visits without a network:', error);
  }
}
