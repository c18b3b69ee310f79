/** Fresh projects that have installed the tarball: plain HTML, Vite, webpack. Each runs the default model in Chromium. */
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { launch, watchProblems } from './support/browser.mjs';
import { IMAGES } from './support/paths.mjs';
import { command, filesBelow, freePort, freshProject, startServer, tool } from './support/project.mjs';
import { Server } from './support/server.mjs';

const MAIN = `
import { ImageClassifier } from 'webmamba';

const results = {};
for (const worker of [false, true]) {
  try {
    const clf = await ImageClassifier.load('mamba_vision_nano', { worker });
    const { predictions } = await clf.classify(new URL('/coffee.png', location.href), { topK: 5 });
    results[worker ? 'worker' : 'page'] = { predictions, device: clf.info.device.kind };
    await clf.dispose();
  } catch (error) {
    results[worker ? 'worker' : 'page'] = { error: error.name + ': ' + error.message };
  }
}
globalThis.results = results;
`;
const page = (head) => `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>fresh</title>
<link rel="icon" href="data:,">${head}</head><body></body></html>`;

/** Opens the page, waits for its results, and looks at them. */
async function check(t, url) {
  const browser = await launch(t);
  const tab = await browser.newPage();
  const problems = watchProblems(tab);
  const missing = [];
  tab.on('response', (answer) => answer.status() >= 400 && missing.push(`${answer.status()} ${answer.url()}`));
  await tab.goto(url);
  await tab.waitForFunction(() => globalThis.results, undefined, { timeout: 60_000 }).catch((error) => {
    throw new Error([error.message, ...problems, ...missing].join('\n'));
  });
  const results = await tab.evaluate(() => globalThis.results);
  assert.deepEqual(problems.concat(missing), []);
  for (const [where, { predictions, device, error }] of Object.entries(results)) {
    assert.equal(error, undefined, where);
    assert.equal(predictions.length, 5);
    for (const { index, label, score } of predictions) {
      assert.ok(Number.isInteger(index) && label.length > 0 && label !== String(index), JSON.stringify(predictions));
      assert.ok(Number.isFinite(score) && score > 0 && score <= 1, JSON.stringify(predictions));
    }
    const scores = predictions.map(({ score }) => score);
    assert.deepEqual(scores, [...scores].sort((a, b) => b - a));
    t.diagnostic(`${where} (${device}): ${predictions[0].label} ${predictions[0].score.toFixed(3)}`);
  }
  assert.deepEqual(results.worker.predictions, results.page.predictions);
}

async function project(t, files) {
  const folder = await freshProject(t, files);
  cpSync(join(IMAGES, 'coffee.png'), join(folder, 'public/coffee.png'), { recursive: true });
  return folder;
}

/** A built folder on a plain web server. */
async function serveFolder(t, ...folders) {
  const server = await Server.start();
  t.after(() => server.stop());
  for (const folder of folders) server.folder('/', folder);
  return server.url('/');
}

test('plain HTML with an import map', async (t) => {
  const imports = { webmamba: '/node_modules/webmamba/dist/index.js' };
  const map = `<script type="importmap">${JSON.stringify({ imports })}</script>`;
  const folder = await project(t, { 'index.html': page(`${map}<script type="module" src="/main.js"></script>`), 'main.js': MAIN });
  await check(t, await serveFolder(t, join(folder, 'public'), folder));
});

const BUNDLED = { 'index.html': page('<script type="module" src="/main.js"></script>'), 'main.js': MAIN };

test('Vite, dev server, without any configuration', async (t) => {
  const folder = await project(t, BUNDLED);
  const port = await freePort();
  const url = `http://localhost:${port}/`;
  await startServer(t, tool('vite'), ['--port', port, '--strictPort', '--host', 'localhost'], { cwd: folder, url });
  await check(t, url);
});

test('Vite, built and previewed, without any configuration', async (t) => {
  const folder = await project(t, BUNDLED);
  await command(tool('vite'), ['build'], { cwd: folder });
  const built = filesBelow(join(folder, 'dist'));
  assert.ok(built.some((name) => name.endsWith('.wasm')), built.join());
  const port = await freePort();
  const url = `http://localhost:${port}/`;
  await startServer(t, tool('vite'), ['preview', '--port', port, '--strictPort', '--host', 'localhost'], { cwd: folder, url });
  await check(t, url);
});

test('webpack, for production, without any configuration', async (t) => {
  const folder = await project(t, {
    'src/index.js': MAIN,
    'public/index.html': page('<script defer src="main.js"></script>'),
  });
  await command(tool('webpack'), ['--mode', 'production'], { cwd: folder });
  const built = filesBelow(join(folder, 'dist'));
  assert.ok(built.some((name) => name.endsWith('.wasm')), built.join());
  await check(t, await serveFolder(t, join(folder, 'public'), join(folder, 'dist')));
});
