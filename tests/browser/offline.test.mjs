/** The demo without a network, after one visit. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDemo, WAIT } from './support/demo.mjs';
import { OUT, ROOT } from './support/paths.mjs';

test('after one visit the page works without its server: both built-in models, the camera, every tab', async (t) => {
  const folder = join(OUT, 'offline-demo');
  execFileSync(join(ROOT, 'scripts/demo.sh'), [folder]);
  const demo = await openDemo(t, { folder, serviceWorkers: 'allow', allowErrors: true });
  const { server, page, by, ready, topIs } = demo;
  await ready();
  await page.evaluate(async () => {
    const { active } = await navigator.serviceWorker.ready;
    if (active.state !== 'activated') await new Promise((resolve) => active.addEventListener('statechange', resolve, { once: true }));
  });
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
  const folder = join(OUT, 'offline-demo');
  const { version, files } = JSON.parse(/= (.*);/.exec(readFileSync(join(folder, 'offline-files.js'), 'utf8'))[1]);
  assert.match(version, /^[0-9a-f]{12}$/);
  for (const file of ['index.html', 'js/main.js', 'webmamba/index.js', 'webmamba/worker-thread.js', 'samples/coffee.png']) assert.ok(files.includes(file), file);
  for (const file of files) assert.doesNotMatch(file, /\.d\.ts$|\.md$|sw\.js/);
  const bytes = files.reduce((sum, file) => sum + readFileSync(join(folder, file)).length, 0);
  assert.ok(bytes < 12e6, `${bytes} bytes`);
});
