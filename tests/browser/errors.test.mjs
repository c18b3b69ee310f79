/** Files that are no model, and pictures that are none: the right error, with a sentence that helps. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch, openPage, serve } from './support/browser.mjs';
import { checkpoint, tensors } from './support/checkpoint.mjs';
import { writeSafetensors } from './support/safetensors.mjs';

const { config, weights } = checkpoint('mambavision_micro');

/** A page that may report failed requests, and a server. */
async function setUp(t, { webgpu, secure } = {}) {
  const server = await serve(t);
  const page = await openPage(t, await launch(t, { webgpu }), server, { allowErrors: true, secure });
  return { server, page };
}

const loadError = (page, source, options = {}) =>
  page.evaluate(([source, options]) => thrown(() => webmamba.ImageClassifier.load(source, options)), [source, options]);

/** It is of this class, and a sentence: a capital or the name of a file first, a full stop at most at its end. */
function assertError(error, type, pattern, what) {
  assert.ok(error, `${what}: nothing was thrown`);
  assert.equal(error.type, type, `${what}: ${error.message}`);
  assert.equal(error.name, type, what);
  assert.match(error.message, pattern, what);
  assert.ok(error.message.length > 20 && !/undefined|\[object|NaN of/.test(error.message), `${what}: ${error.message}`);
}

function changed(change) {
  const { config: fresh, tensors: all } = tensors('mambavision_micro');
  return { config: fresh, weights: writeSafetensors(change(all)) };
}

function nan(all) {
  for (const tensor of all) {
    if (tensor.name === 'head.weight') new Float32Array(tensor.bytes.buffer).fill(NaN, 0, 5);
  }
  return all;
}

const bad = (bytes, at, value) => {
  const copy = bytes.slice();
  copy.fill(value, at, at + 8);
  return copy;
};

const BROKEN = {
  'a header that is no JSON': [{ config, weights: bad(weights, 8, 0x23) }, /header|safetensors/i],
  'a header that is longer than the file': [{ config, weights: bad(weights, 0, 0x7f) }, /header|safetensors|length|format/i],
  'half of the file': [{ config, weights: weights.subarray(0, weights.length / 2) }, /bytes|truncated|ends|missing/i],
  'nothing at all': [{ config, weights: new Uint8Array() }, /empty|bytes/i],
  'text instead of weights': [{ config, weights: Buffer.from('<!doctype html><title>Not found</title>'.repeat(9)) }, /web page/],
  'a tensor that is missing': [changed((all) => all.filter(({ name }) => name !== 'head.weight')), /head\.weight|head/],
  'a tensor of another shape': [changed((all) => all.map((one) => (one.name === 'head.bias' ? { ...one, shape: [5], bytes: one.bytes.slice(0, 20) } : one))), /head\.bias/],
  'a config of another depth': [{ config: { ...config, depths: [1, 1, 3, 2] }, weights }, /depth|levels|tensor/i],
  'a config without windows, which tensors do not tell': [{ config: { ...config, window_size: undefined }, weights }, /window/],
  'a config of another architecture': [{ config: { ...config, model_type: 'resnet' }, weights }, /resnet/],
  'a config that is no JSON': [{ config: '{ "dim": ', weights }, /config/i],
};

for (const device of ['cpu', 'webgpu']) {
  test(`checkpoints that cannot be run, on ${device}`, async (t) => {
    const { server, page } = await setUp(t);
    let i = 0;
    for (const [what, [model, pattern]] of Object.entries(BROKEN)) {
      const folder = `/broken/${i++}`;
      server.model(folder, model);
      const error = await loadError(page, `${folder}/`, { device, worker: i % 2 === 0 });
      assertError(error, 'UnsupportedCheckpointError', pattern, what);
      t.diagnostic(`${what}: ${error.message}`);
    }
    // The module and the device are as good as before.
    const { predictions } = await page.evaluate(async (device) => {
      const clf = await webmamba.ImageClassifier.load('mamba_vision_nano', { device });
      return clf.classify(await picture('coffee.png'));
    }, device);
    assert.equal(predictions[0].label, 'cup');
  });

  test(`weights that are not numbers, on ${device}`, async (t) => {
    const { server, page } = await setUp(t);
    server.model('/nan', changed(nan));
    const error = await page.evaluate((device) => thrown(async () => {
      const clf = await webmamba.ImageClassifier.load('/nan/', { device });
      await clf.classify(await picture('coffee.png'));
    }), device);
    assertError(error, 'UnsupportedCheckpointError', /NaN|not a number|finite|numbers/i, 'NaN');
    t.diagnostic(error.message);
  });
}

test('files that are not there, and servers that fail', async (t) => {
  const { server, page } = await setUp(t);
  assertError(await loadError(page, '/nowhere/'), 'DownloadError', /config\.json.*404/, 'no folder');
  server.file('/lonely/config.json', config);
  assertError(await loadError(page, '/lonely/'), 'DownloadError', /model\.safetensors.*404/, 'no weights');
  server.model('/broken', { config, weights });
  server.behave('/broken/model.safetensors', { status: 500 });
  assertError(await loadError(page, '/broken/', { worker: true }), 'DownloadError', /model\.safetensors.*500/, 'a server that fails');
  assertError(await loadError(page, 'nobody/nothing', { baseUrl: server.url('') }), 'DownloadError', /404/, 'an unknown hub id');
  assertError(await loadError(page, 'http://localhost:9/model/'), 'DownloadError', /no answer|CORS|network/i, 'no server');
});

test('a connection that always breaks is given up', async (t) => {
  const { server, page } = await setUp(t);
  server.model('/cut', { config, weights });
  server.behave('/cut/model.safetensors', { cutAfter: 0 });
  assertError(await loadError(page, '/cut/', { cache: false }), 'DownloadError', /connection broke|no answer/, 'cuts');
  t.diagnostic(`${server.seen('/cut/model.safetensors').length} attempts`);
  assert.ok(server.seen('/cut/model.safetensors').length <= 6);
});

test('sources that are none', async (t) => {
  const { page } = await setUp(t);
  const errors = await page.evaluate(async () => {
    const load = (source, options) => thrown(() => webmamba.ImageClassifier.load(source, options));
    return { null: await load(null), number: await load(3), object: await load({ model: 'x' }), arch: await load({ weights: '/x' , arch: 'vit_b' }) };
  });
  for (const what of ['null', 'number', 'object']) assertError(errors[what], 'UnsupportedCheckpointError', /built-in|hub id/, what);
});

test('pictures that are none', async (t) => {
  const { page } = await setUp(t);
  for (const [device, worker] of [['cpu', false], ['webgpu', false], ['webgpu', true]]) {
    const errors = await page.evaluate(async ([device, worker]) => {
      const clf = await webmamba.ImageClassifier.load('mamba_vision_nano', { device, worker });
      const closed = await createImageBitmap(await picture('coffee.png'));
      closed.close();
      const broken = new Image();
      broken.src = '/nowhere.png';
      const canvas = Object.assign(document.createElement('canvas'), { width: 0, height: 0 });
      const sources = {
        nothing: null, number: 3, text: new Blob(['not an image'], { type: 'image/png' }), missing: '/nowhere.png', broken, closed,
        canvas, video: document.createElement('video'), bytes: { data: new Uint8Array(12), width: 2, height: 2 },
        negative: { data: new Uint8Array(16), width: -2, height: -2 },
      };
      const errors = {};
      for (const [kind, source] of Object.entries(sources)) errors[kind] = await thrown(() => clf.classify(source));
      errors.features = await thrown(() => clf.features(new Blob([])));
      // It still works.
      const { predictions } = await clf.classify(await picture('coffee.png'));
      await clf.dispose();
      const disposed = await thrown(() => clf.classify(canvas));
      return { errors, top: predictions[0].label, disposed };
    }, [device, worker]);
    for (const [kind, error] of Object.entries(errors.errors)) assertError(error, 'InvalidImageError', /./, `${kind} on ${device}`);
    assert.equal(errors.top, 'cup');
    assertError(errors.disposed, 'DisposedError', /disposed/, 'after dispose');
  }
});

test('a picture of another site that does not allow reading', async (t) => {
  const { server, page } = await setUp(t);
  const error = await page.evaluate(async (address) => {
    const clf = await webmamba.ImageClassifier.load('mamba_vision_nano', { device: 'webgpu' });
    const image = new Image();
    image.src = address;
    return thrown(() => clf.classify(image));
  }, server.url('/images/coffee.png').replace('localhost', '127.0.0.1'));
  assertError(error, 'InvalidImageError', /crossorigin/, 'tainted');
});

for (const [what, options, there, reason] of [
  ['a page without navigator.gpu', { secure: false }, false, /no WebGPU/],
  ['a browser without a graphics adapter', { webgpu: false }, true, /no graphics adapter/],
]) {
  test(`${what}: WebGPU is refused, and \`auto\` takes the CPU`, async (t) => {
    const { page } = await setUp(t, options);
    assert.equal(await page.evaluate(() => Boolean(navigator.gpu)), there);
    for (const worker of [false, true]) {
      assertError(await loadError(page, 'mamba_vision_nano', { device: 'webgpu', worker }), 'WebGpuUnavailableError', /WebGPU.*cpu/, 'webgpu');
      const { top, device } = await page.evaluate(async (worker) => {
        const clf = await webmamba.ImageClassifier.load('mamba_vision_nano', { worker });
        const { predictions } = await clf.classify(await picture('coffee.png'));
        return { top: predictions[0].label, device: clf.info.device };
      }, worker);
      assert.equal(top, 'cup');
      assert.equal(device.kind, 'cpu');
      assert.match(device.reason, reason);
    }
  });
}

test('`auto` takes the CPU where the only adapter is a software one, and says so', async (t) => {
  const { page } = await setUp(t);
  const device = await page.evaluate(async () => (await webmamba.ImageClassifier.load()).info.device);
  assert.equal(device.kind, 'cpu');
  assert.match(device.reason, /software/);
});
