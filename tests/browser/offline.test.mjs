/** The demo without a network, after one visit. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDemo, WAIT } from './support/demo.mjs';
import { OUT, outFolder, ROOT } from './support/paths.mjs';

const folder = join(OUT, 'offline-demo');

/** The demo as it is deployed, after the first visit. */
async function visited(t) {
  execFileSync(join(ROOT, 'scripts/demo.sh'), [folder]);
  const demo = await openDemo(t, { folder, serviceWorkers: 'allow', allowErrors: true });
  await demo.ready();
  await demo.page.evaluate(async () => {
    const { active } = await navigator.serviceWorker.ready;
    if (active.state !== 'activated') await new Promise((resolve) => active.addEventListener('statechange', resolve, { once: true }));
  });
  return demo;
}

test('after one visit the page works without its server: both built-in models, the camera, every tab', async (t) => {
  const { server, page, by, ready, topIs } = await visited(t);
  await server.stop();
  await page.reload();
  await ready();
  await by('sample-chelsea').click();
  await topIs('cat');
  await by('start-camera').click();
  await topIs('cup');
  await by('tab-compare').click();
  await page.waitForFunction(() => /agree/.test(document.querySelector('#compare-agreement').textContent), undefined, WAIT);
  assert.match(await by('second-answer').textContent(), /MILA nano/);
  assert.equal(await by('error').isVisible(), false);
});

test('what is kept is what the page needs, in less than 12 MB, and its version is of its contents', () => {
  const { version, files } = JSON.parse(/= (.*);/.exec(readFileSync(join(folder, 'offline-files.js'), 'utf8'))[1]);
  assert.match(version, /^[0-9a-f]{12}$/);
  for (const file of ['index.html', 'js/main.js', 'webmamba/index.js', 'webmamba/webmamba.js', 'webmamba/worker-thread.js', 'samples/coffee.png']) assert.ok(files.includes(file), file);
  for (const file of files) assert.doesNotMatch(file, /\.d\.ts$|\.md$|sw\.js|pictures/);
  const bytes = files.reduce((sum, file) => sum + readFileSync(join(folder, file)).length, 0);
  assert.ok(bytes < 12e6, `${bytes} bytes`);
});

test('addresses that the manifest of the package has come into the page, and none that it has not', () => {
  const place = outFolder('addresses');
  const source = readFileSync(join(ROOT, 'www/index.html'), 'utf8');
  const page = (manifest) => {
    writeFileSync(join(place, 'index.html'), source);
    writeFileSync(join(place, 'package.json'), JSON.stringify(manifest));
    execFileSync('node', [join(ROOT, 'scripts/addresses.mjs'), place, join(place, 'package.json')]);
    return readFileSync(join(place, 'index.html'), 'utf8');
  };
  assert.equal(page({}), source);
  const known = page({ homepage: 'https://example.org/demo/', repository: { url: 'git+https://example.org/source.git' } });
  assert.match(known, /og:url" content="https:\/\/example\.org\/demo\/"/);
  assert.match(known, /og:image" content="https:\/\/example\.org\/demo\/preview\.jpg"/);
  assert.match(known, /<a href="https:\/\/example\.org\/source">/);
});

test('a newer page takes the place of the one that is kept, at the next visit', async (t) => {
  const { page } = await visited(t);
  await page.reload();
  const newer = readFileSync(join(folder, 'index.html'), 'utf8').replace(/<title>.*?</, '<title>newer<');
  writeFileSync(join(folder, 'index.html'), newer);
  execFileSync('node', [join(ROOT, 'scripts/offline.mjs'), folder]);
  await page.reload();
  await page.waitForFunction(() => document.title === 'newer', undefined, WAIT);
  const kept = await page.evaluate(() => caches.keys());
  assert.equal(kept.filter((name) => name.startsWith('webmamba-page-')).length, 1);
});
