/** A program that bundlers pack: it runs the default model on the page and in a worker. */
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { launch, watchProblems } from './browser.mjs';
import { IMAGES } from './paths.mjs';
import { freshProject } from './project.mjs';
import { Server } from './server.mjs';

/** The program; `before` is run first. */
export const program = (before = '') => `
import { ImageClassifier, init } from 'webmamba';
${before}

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
export const page = (head) => `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>fresh</title>
<link rel="icon" href="data:,">${head}</head><body></body></html>`;

/** Opens the page, waits for its results, and looks at them. */
export async function check(t, url) {
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

/** A fresh project with a picture to classify. */
export async function project(t, files) {
  const folder = await freshProject(t, files);
  cpSync(join(IMAGES, 'coffee.png'), join(folder, 'public/coffee.png'), { recursive: true });
  return folder;
}

/** A built folder on a plain web server. */
export async function serveFolder(t, ...folders) {
  const server = await Server.start();
  t.after(() => server.stop());
  for (const folder of folders) server.folder('/', folder);
  return server.url('/');
}

/** The program as the files of a project. */
export const bundled = (before) => ({ 'index.html': page('<script type="module" src="./main.js"></script>'), 'main.js': program(before) });

/** What the program does first where a bundler follows no `new URL(.., import.meta.url)`, as the package's page says. */
export const WITH_BASE = "await init({ base: '/webmamba/' });";

/** The package's files and the page in the public folder of such a project. */
export function copyPackage(folder) {
  cpSync(join(folder, 'node_modules/webmamba/dist'), join(folder, 'public/webmamba'), { recursive: true });
  cpSync(join(folder, 'index.html'), join(folder, 'public/index.html'));
}
