/** WebKitGTK: what Chromium says, on the CPU, in the page and in a worker; it has no WebGPU. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch, serve } from './support/browser.mjs';
import { assertSame, scores } from './support/scores.mjs';
import { openWebkit } from './support/webkit.mjs';

test('WebKit gives what Chromium gives: the built-in model on the CPU, page and worker', async (t) => {
  const server = await serve(t);
  const chromium = await (await launch(t)).newPage();
  await chromium.goto(server.url('/'));
  const want = await chromium.evaluate(([source]) => (0, eval)(`(${source})`)('mamba_vision_nano', 'cpu', false), [String(scores)]);
  const page = await openWebkit(t);
  await page.goto(server.url('/'));
  for (const [device, worker] of [['auto', false], ['cpu', true]]) {
    const got = await page.evaluate(scores, 'mamba_vision_nano', device, worker);
    assert.equal(got.kind, 'cpu');
    assertSame(got.all, want.all, `worker ${worker}`);
  }
});

test('WebKit without WebGPU: an error that says so, where WebGPU is asked for', async (t) => {
  const server = await serve(t);
  const page = await openWebkit(t);
  await page.goto(server.url('/'));
  const error = await page.evaluate(async () => {
    const { ImageClassifier, WebGpuUnavailableError } = await import('/package/index.js');
    return ImageClassifier.load('mamba_vision_nano', { device: 'webgpu' }).then(() => '', (error) => [error instanceof WebGpuUnavailableError, error.message]);
  });
  assert.equal(error[0], true, String(error));
  assert.match(error[1], /no WebGPU/);
});

test('WebKit runs the one file of a CDN in a worker that is the same file', async (t) => {
  const [site, cdn] = [await serve(t), await serve(t)];
  const page = await openWebkit(t);
  await page.goto(site.url('/'));
  const label = await page.evaluate(async (address) => {
    const { ImageClassifier } = await import(address);
    const clf = await ImageClassifier.load('mamba_vision_nano', { device: 'cpu', worker: true });
    return (await clf.classify('/images/coffee.png')).predictions[0].label;
  }, cdn.url('/package/webmamba.min.js'));
  assert.equal(label, 'cup');
  assert.ok(!cdn.requests.some(({ path }) => path.endsWith('/worker-thread.js')));
});
