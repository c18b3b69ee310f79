/** What the page is used for: one picture, and beside it one panel of several. The address says which, so links and "back" work. */
const links = /** @type {HTMLAnchorElement[]} */ ([...document.querySelectorAll('[data-tab]')]);
const panels = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('[data-panel]')]);
const names = links.map((link) => link.dataset.tab ?? '');

/** @returns {string} such as `look`, the first one */
export function tab() {
  return document.body.dataset.tab ?? names[0];
}

/** @param {(name: string) => void} onChange */
export function listenToTabs(onChange) {
  addEventListener('hashchange', () => {
    const before = tab();
    reflect();
    if (tab() !== before) onChange(tab());
  });
}

/** Opens a tab, also one that was not there before. @param {string} name */
export function openTab(name) {
  const link = links.find((one) => one.dataset.tab === name);
  if (link) link.hidden = false;
  location.hash = name;
}

/** Other fragments are places in the page, such as the picture. */
function reflect() {
  const wanted = location.hash.slice(1) || names[0];
  if (!links.some((link) => link.dataset.tab === wanted && !link.hidden)) return;
  document.body.dataset.tab = wanted;
  for (const link of links) {
    if (link.dataset.tab === wanted) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  for (const panel of panels) panel.hidden = panel.dataset.panel !== wanted;
}

reflect();
