/** Firefox: what Chromium says, on the CPU and on WebGPU, in the page and in a worker. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch, serve } from './support/browser.mjs';
import { checkpoint } from './support/checkpoint.mjs';
import { openFirefox } from './support/firefox.mjs';
import { assertSame, scores } from './support/scores.mjs';

const MICRO = checkpoint('mambavision_micro');

test('Firefox gives what Chromium gives: the built-in model on the CPU, a small one on WebGPU, page and worker', async (t) => {
  const server = await serve(t);
  server.model('/models/micro', MICRO);
  const chromium = await (await launch(t)).newPage();
  await chromium.goto(server.url('/'));
  const evaluate = ([model, device, worker, source]) => (0, eval)(`(${source})`)(model, device, worker);
  const page = await openFirefox(t);
  await page.goto(server.url('/'));
  for (const [model, devices] of [['mamba_vision_nano', ['cpu']], ['/models/micro/', ['cpu', 'webgpu']]]) {
    const want = await chromium.evaluate(evaluate, [model, 'cpu', false, String(scores)]);
    for (const device of devices) {
      for (const worker of [false, true]) {
        const got = await page.evaluate(evaluate, [model, device, worker, String(scores)]);
        assert.equal(got.kind, device);
        assertSame(got.all, want.all, `${model} on ${device} ${got.adapter}, ${worker}`);
      }
    }
  }
});

test('a device that is waited for is asked in between, as Firefox looks only every 100 ms by itself', async (t) => {
  const server = await serve(t);
  server.model('/models/micro', MICRO);
  const page = await openFirefox(t);
  await page.goto(server.url('/'));
  const got = await page.evaluate(async () => {
    let empty = 0;
    const { submit } = GPUQueue.prototype;
    GPUQueue.prototype.submit = function (buffers) {
      if (![...buffers].length) empty++;
      return submit.call(this, buffers);
    };
    const { ImageClassifier } = await import('/package/index.js');
    const clf = await ImageClassifier.load('/models/micro/', { device: 'webgpu' });
    const bitmap = await createImageBitmap(await (await fetch('/images/coffee.png')).blob());
    const times = [];
    empty = 0;
    for (let i = 0; i < 20; i++) {
      const start = performance.now();
      await clf.classify(bitmap);
      times.push(performance.now() - start);
      // Out of step with the browser's own clock.
      await new Promise((resolve) => setTimeout(resolve, 13));
    }
    const during = empty;
    await new Promise((resolve) => setTimeout(resolve, 100));
    return { times: times.sort((a, b) => a - b), during, after: empty - during };
  });
  t.diagnostic(`median ${got.times[10].toFixed(0)} ms, best ${got.times[0].toFixed(0)} ms`);
  assert.ok(got.during >= 20, `${got.during} nudges in 20 calls`);
  assert.equal(got.after, 0, 'it goes on after the call');
});
