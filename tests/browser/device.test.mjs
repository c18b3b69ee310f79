/** Devices: the page's own, lost ones, workers, and several models at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch, openPage, serve } from './support/browser.mjs';
import { checkpoint } from './support/checkpoint.mjs';
import { centred, relativeError } from './support/compare.mjs';

const MICRO = checkpoint('mambavision_micro');
const MILA = checkpoint('mila_micro');

async function setUp(t, { allowErrors = false, flags } = {}) {
  const server = await serve(t);
  server.model('/models/micro', MICRO);
  server.model('/models/mila', MILA);
  const browser = await launch(t, { flags });
  return { browser, page: await openPage(t, browser, server, { allowErrors }) };
}

test("the page's own device is used, and outlives the classifier", async (t) => {
  const { page } = await setUp(t);
  const got = await page.evaluate(async () => {
    const gpu = navigator.gpu;
    const adapter = await gpu.requestAdapter();
    const device = await adapter.requestDevice();
    let lost = false;
    void device.lost.then(() => (lost = true));
    const errors = [];
    device.addEventListener('uncapturederror', ({ error }) => errors.push(error.message));
    const results = [];
    for (const model of ['/models/micro/', '/models/mila/', '/models/micro/']) {
      const clf = await webmamba.ImageClassifier.load(model, { device });
      results.push((await clf.classify(await picture('coffee.png'))).predictions);
      if (results.length === 1) results.info = clf.info.device;
      await clf.dispose();
    }
    const own = await webmamba.ImageClassifier.load('/models/micro/', { device: 'webgpu' });
    const want = (await own.classify(await picture('coffee.png'))).predictions;
    await own.dispose();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const buffer = device.createBuffer({ size: 16, usage: GPUBufferUsage.COPY_DST });
    device.queue.writeBuffer(buffer, 0, new Uint8Array(16));
    await device.queue.onSubmittedWorkDone();
    return { results: [...results], info: results.info, want, lost, errors, restored: navigator.gpu === gpu && !Object.hasOwn(navigator, 'gpu') };
  });
  assert.equal(got.lost, false);
  assert.deepEqual(got.errors, []);
  assert.ok(got.restored, 'navigator.gpu was not put back');
  assert.equal(got.info.kind, 'webgpu');
  assert.equal(got.info.subgroups, false);
  assert.match(got.info.reason, /own/);
  assert.deepEqual(got.results[2], got.results[0]);
  // This one has no subgroups and so runs other kernels than the package's own device.
  for (const [i, { index, score }] of got.want.entries()) {
    assert.equal(got.results[0][i].index, index);
    assert.ok(Math.abs(got.results[0][i].score - score) < 1e-5);
  }
});

test("a page's device cannot go to a worker, and that is said", async (t) => {
  const { page } = await setUp(t);
  const error = await page.evaluate(() => thrown(async () => {
    const device = await (await navigator.gpu.requestAdapter()).requestDevice();
    await webmamba.ImageClassifier.load('/models/micro/', { device, worker: true });
  }));
  assert.match(error?.message ?? '', /worker/);
});

test("the package's own device is destroyed with the classifier, also after a failed load", async (t) => {
  const { page } = await setUp(t);
  const got = await page.evaluate(async () => {
    const devices = [];
    const { requestDevice } = GPUAdapter.prototype;
    GPUAdapter.prototype.requestDevice = async function (...options) {
      const device = await requestDevice.apply(this, options);
      devices.push(device);
      return device;
    };
    const clf = await webmamba.ImageClassifier.load('/models/micro/', { device: 'webgpu' });
    await clf.dispose();
    await clf.dispose();
    const failed = await thrown(() => webmamba.ImageClassifier.load({ weights: new Blob(['nothing of use']) }, { device: 'webgpu' }));
    const reasons = await Promise.all(devices.map((device) => Promise.race([device.lost.then(({ reason }) => reason), new Promise((resolve) => setTimeout(() => resolve('alive'), 1000))])));
    const quiet = await Promise.race([clf.lost.then(() => 'told'), new Promise((resolve) => setTimeout(() => resolve('quiet'), 300))]);
    return { reasons, failed: failed.type, quiet };
  });
  assert.deepEqual(got, { reasons: ['destroyed', 'destroyed'], failed: 'UnsupportedCheckpointError', quiet: 'quiet' });
});

test('a lost device: `lost` resolves, calls fail with DeviceLostError, and loading again works', async (t) => {
  const { page } = await setUp(t, { allowErrors: true });
  const got = await page.evaluate(async () => {
    const device = await (await navigator.gpu.requestAdapter()).requestDevice();
    const clf = await webmamba.ImageClassifier.load('/models/micro/', { device });
    const image = await picture('coffee.png');
    const want = (await clf.classify(image)).predictions;
    const pending = thrown(() => Promise.all(Array.from({ length: 5 }, () => clf.classify(image))));
    device.destroy();
    const lost = await clf.lost;
    const errors = { pending: await pending, classify: await thrown(() => clf.classify(image)), features: await thrown(() => clf.features(image)) };
    await clf.dispose();
    const again = await webmamba.ImageClassifier.load('/models/micro/', { device: 'webgpu' });
    const { predictions } = await again.classify(image);
    const dead = await thrown(() => webmamba.ImageClassifier.load('/models/micro/', { device }));
    return { lost: [lost instanceof webmamba.DeviceLostError, lost.message], errors, dead, want, predictions };
  });
  assert.equal(got.lost[0], true);
  assert.match(got.lost[1], /lost.*load the model again/);
  for (const [what, error] of Object.entries(got.errors)) assert.equal(error?.type, 'DeviceLostError', `${what}: ${error?.message}`);
  assert.equal(got.dead?.type, 'DeviceLostError', `loading on a dead device: ${got.dead?.message}`);
  assert.equal(got.predictions[0].index, got.want[0].index);
});

test('a crash of the GPU process, on the page and in a worker', async (t) => {
  const { browser, page } = await setUp(t, { allowErrors: true, flags: ['--disable-domain-blocking-for-3d-apis', '--disable-gpu-process-crash-limit'] });
  await page.evaluate(async () => {
    globalThis.image = await picture('coffee.png');
    globalThis.all = [];
    for (const worker of [false, true]) all.push(await webmamba.ImageClassifier.load('/models/micro/', { device: 'webgpu', worker }));
  });
  const session = await browser.newBrowserCDPSession();
  await session.send('Browser.crashGpuProcess').catch(() => undefined);
  const got = await page.evaluate(async () => {
    const lost = await Promise.all(all.map((clf) => clf.lost.then((error) => error.name)));
    const errors = [];
    for (const clf of all) errors.push(await thrown(() => clf.classify(image)));
    for (const clf of all) await clf.dispose();
    const tops = [];
    for (const worker of [false, true]) {
      const clf = await webmamba.ImageClassifier.load('/models/micro/', { device: 'webgpu', worker });
      tops.push((await clf.classify(image)).predictions[0].index);
      await clf.dispose();
    }
    return { lost, errors, tops };
  });
  assert.deepEqual(got.lost, ['DeviceLostError', 'DeviceLostError']);
  for (const error of got.errors) assert.equal(error?.type, 'DeviceLostError', error?.message);
  assert.equal(got.tops[0], got.tops[1]);
});

for (const device of ['webgpu', 'cpu']) {
  test(`a worker gives what the page gives, on ${device}`, async (t) => {
    const { page } = await setUp(t);
    const [want, ...rest] = await page.evaluate(async (device) => {
      const inWorker = await import('/package/worker.js');
      const image = await picture('astronaut.png');
      const all = [];
      for (const load of [
        () => webmamba.ImageClassifier.load('/models/micro/', { device }),
        () => webmamba.ImageClassifier.load('/models/micro/', { device, worker: true }),
        () => inWorker.ImageClassifier.load('/models/micro/', { device }),
      ]) {
        const clf = await load();
        const { predictions, heatmap, timing } = await clf.classify(image, { topK: 10, heatmap: true });
        const { logits, stages } = await clf.features(image);
        const info = { ...clf.info, memory: undefined, device: { ...clf.info.device } };
        const memory = { ...clf.info.memory };
        const profile = await clf.profile();
        const allocations = await clf.allocations();
        await clf.dispose();
        all.push({
          same: { predictions, heatmap: { ...heatmap, values: [...heatmap.values] }, logits: [...logits.data], stages: stages.map(({ shape }) => shape), info, ops: profile.map(({ op }) => op), allocations: allocations.length },
          timing, memory, ms: profile.reduce((sum, { ms }) => sum + ms, 0),
        });
      }
      return all;
    }, device);
    for (const got of rest) assert.deepEqual(got.same, want.same);
    for (const { timing, memory, ms } of [want, ...rest]) {
      for (const [step, time] of Object.entries(timing)) assert.ok(time >= 0 && time < 60_000, `${step}: ${time}`);
      assert.ok(timing.model > 0 && timing.total >= timing.model);
      assert.ok(memory.wasm > 1e6);
      assert.ok(ms > 0);
    }
    assert.equal(want.same.allocations, device === 'webgpu' ? 3 : 0);
  });
}

test('the heat map is exact: its mean is the logit of its class, on both devices', async (t) => {
  const { page } = await setUp(t);
  const maps = {};
  for (const device of ['webgpu', 'cpu']) {
    for (const model of ['micro', 'mila']) {
      const got = await page.evaluate(async ([device, model]) => {
        const clf = await webmamba.ImageClassifier.load(`/models/${model}/`, { device });
        const image = await picture('coffee.png');
        const { heatmap, predictions } = await clf.classify(image, { heatmap: true });
        const { logits } = await clf.features(image);
        const { width, height } = await createImageBitmap(image);
        await clf.dispose();
        return { ...heatmap, values: [...heatmap.values], best: predictions[0].index, logits: [...logits.data], image: [width, height] };
      }, [device, model]);
      assert.equal(got.index, got.best);
      assert.equal(got.values.length, got.width * got.height);
      const mean = got.values.reduce((a, b) => a + b, 0) / got.values.length;
      assert.ok(Math.abs(mean - got.logits[got.index]) < 1e-4, `${mean} instead of ${got.logits[got.index]}`);
      const { x, y, width, height } = got.region;
      assert.ok(x >= 0 && y >= 0 && x + width <= got.image[0] + 0.01 && y + height <= got.image[1] + 0.01, JSON.stringify([got.region, got.image]));
      assert.ok(Math.abs(width - height) < 0.01 * width && width > got.image[1] * 0.8, JSON.stringify(got.region));
      assert.ok(Math.abs(x + width / 2 - got.image[0] / 2) < 0.01 * got.image[0], 'the crop is not in the middle');
      if (maps[model]) assert.ok(relativeError(centred(got.values), centred(maps[model])) < 1e-4, model);
      maps[model] = got.values;
    }
  }
});

test('calls at the same time, and models at the same time', async (t) => {
  const { page } = await setUp(t);
  const got = await page.evaluate(async () => {
    const images = await Promise.all(['coffee.png', 'astronaut.png', 'chelsea.png', 'tiny_61x40.png'].map(picture));
    const alone = [];
    const together = await Promise.all(['/models/micro/', '/models/mila/'].map((model) => webmamba.ImageClassifier.load(model, { device: 'webgpu' })));
    for (const clf of together) for (const image of images) alone.push((await clf.classify(image)).predictions);
    const all = await Promise.all(together.flatMap((clf) => images.map(async (image) => (await clf.classify(image)).predictions)));
    const ended = Promise.all(images.map((image) => together[0].classify(image).then(({ predictions }) => predictions.length, ({ name }) => name)));
    await together[0].dispose();
    return { alone, all, ended: await ended };
  });
  assert.deepEqual(got.all, got.alone);
  for (const end of got.ended) assert.ok(end === 5 || end === 'DisposedError', String(end));
});

test('pictures larger than a texture, wide ones and tall ones', async (t) => {
  const { page } = await setUp(t);
  for (const device of ['webgpu', 'cpu']) {
    const all = await page.evaluate(async (device) => {
      const clf = await webmamba.ImageClassifier.load('/models/micro/', { device });
      const all = [];
      for (const [width, height] of [[9000, 300], [300, 9000], [1, 1], [5000, 5000]]) {
        const canvas = new OffscreenCanvas(width, height);
        const context = canvas.getContext('2d');
        context.fillStyle = '#808080';
        context.fillRect(0, 0, width, height);
        all.push((await clf.classify(canvas, { topK: 10, heatmap: true })).predictions.map(({ score }) => score));
      }
      await clf.dispose();
      return all;
    }, device);
    for (const scores of all) assert.ok(relativeError(scores, all[2]) < 1e-3, `${device}: ${scores}`);
  }
});
