/** The service worker: keeps the page, the package and the built-in models, so that they work without a network after one visit. */
importScripts('offline-files.js');

const { version, files } = self.OFFLINE;
const PREFIX = 'webmamba-page-';
const NAME = PREFIX + version;
const kept = new Set(files);

self.addEventListener('install', (event) => {
  // Asked anew, so that what is kept is of one version.
  const all = files.map((file) => new Request(file, { cache: 'no-cache' }));
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(all)).then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => {
  const old = (name) => name.startsWith(PREFIX) && name !== NAME;
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name)))));
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const file = path(request.url);
  // Whoever goes on with half a file asks the server, and so does everything that is not of the page.
  if (!kept.has(file) || !['GET', 'HEAD'].includes(request.method) || request.headers.has('range')) return;
  event.respondWith(answer(request, file));
});

/** @param {Request} request @param {string} file */
async function answer(request, file) {
  const cache = await caches.open(NAME);
  const found = await cache.match(file);
  if (!found) return fetch(request);
  return request.method === 'HEAD' ? new Response(null, found) : found;
}

/** The file of an address, relative to the page's folder. @param {string} address */
function path(address) {
  const { origin, pathname } = new URL(address);
  const scope = new URL(self.registration.scope);
  if (origin !== scope.origin || !pathname.startsWith(scope.pathname)) return '';
  return decodeURIComponent(pathname.slice(scope.pathname.length)) || 'index.html';
}
