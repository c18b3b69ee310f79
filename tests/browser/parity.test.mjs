/** The numbers in a browser are those of the official implementation, on WebGPU and on the CPU. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { launch, openPage, PLAIN_CPU, prepareDevice, serve } from './support/browser.mjs';
import { checkpointFolder, expectedLogits } from './support/checkpoint.mjs';
import { centred, centredLogs, relativeError } from './support/compare.mjs';
import { IMAGES, nativeBinary } from './support/paths.mjs';
import { command } from './support/project.mjs';

/** As for the fixtures: it tells a correct f32 implementation from every plausible mistake. */
const LIMIT = 1e-4;
/** Logits that come out of scores, printed with a few digits. */
const LIMIT_OF_SCORES = 1e-3;
const DEVICES = ['webgpu', 'cpu', PLAIN_CPU];

/** Small models of every family. */
const MICRO = ['mambavision_micro', 'mila_micro', 'mambaout_micro', 'vim_micro', 'vmamba_micro', 'videomamba_micro_image'];

const folders = {};
before(() => {
  for (const name of [...MICRO, 'mambavision_t', 'mila_t', 'mambaout_femto']) folders[name] = checkpointFolder(name);
});

async function setUp(t, name) {
  const server = await serve(t);
  server.folder(`/models/${name}/`, folders[name]);
  // Asked for where the config says nothing of pixels, and browsers report files that are not there.
  server.file(`/models/${name}/preprocessor_config.json`, {});
  return openPage(t, await launch(t), server);
}

/** Outputs of the model for a photograph on one of the devices, and how long things took. */
async function features(page, name, device, image) {
  const kind = await prepareDevice(page, device);
  return page.evaluate(
    async ([url, device, image]) => {
      const times = [performance.now()];
      const clf = await webmamba.ImageClassifier.load(url, { device, cache: false });
      times.push(performance.now());
      const { logits, pooled, stages } = await clf.features(await picture(image));
      times.push(performance.now());
      const { classes, device: info, memory, size } = clf.info;
      const plain = ({ shape, data }) => ({ shape, data: [...data] });
      await clf.dispose();
      return {
        logits: plain(logits), pooled: plain(pooled), stages: stages.map(({ shape }) => shape),
        load: times[1] - times[0], run: times[2] - times[1], info: { classes, kind: info.kind, memory, size },
      };
    },
    [`/models/${name}/`, kind, image],
  );
}

for (const [name, image, id, stages] of [
  ['mambavision_t', 'coffee.png', 'photo_coffee', [[1, 160, 28, 28], [1, 320, 14, 14], [1, 640, 7, 7], [1, 640, 7, 7]]],
  ['mila_t', 'chelsea.png', 'photo_chelsea', undefined],
  ['mambaout_femto', 'chelsea.png', 'photo_chelsea', [[1, 56, 56, 48], [1, 28, 28, 96], [1, 14, 14, 192], [1, 7, 7, 288]]],
]) {
  for (const device of DEVICES) {
    test(`${name} on ${device}: logits of ${image} are the official ones`, async (t) => {
      const page = await setUp(t, name);
      const got = await features(page, name, device, image);
      assert.equal(got.info.kind, device === 'webgpu' ? 'webgpu' : 'cpu');
      assert.deepEqual(got.logits.shape, [1, 1000]);
      assert.equal(got.stages.length, 4);
      if (stages) assert.deepEqual(got.stages, stages);
      const error = relativeError(got.logits.data, expectedLogits(name, id));
      t.diagnostic(`error ${error.toExponential(1)} of std; load ${(got.load / 1000).toFixed(1)} s, features ${(got.run / 1000).toFixed(2)} s, ` +
        `weights ${(got.info.memory.weights / 1e6).toFixed(1)} MB, activations ${(got.info.memory.activations / 1e6).toFixed(1)} MB, ` +
        `wasm ${(got.info.memory.wasm / 1e6).toFixed(1)} MB`);
      assert.ok(error <= LIMIT, `error ${error} of std`);
    });
  }
}

/** Logits without their mean, from the native command line's scores of all classes. */
async function nativeLogits(folder, image) {
  const args = ['classify', '--json', '--device', 'cpu', '--top-k', '10', '--model', folder, join(IMAGES, image)];
  const { stdout } = await command(nativeBinary(), args, { env: { ...process.env, NODEVICE_SELECT: '1' } });
  const { predictions } = JSON.parse(stdout);
  const scores = Array.from({ length: 10 }, (_, i) => predictions.find(({ index }) => index === i).score);
  return centredLogs(scores);
}

for (const name of MICRO) {
  test(`${name}: WebGPU, the CPU in wasm and the native program agree`, async (t) => {
    const page = await setUp(t, name);
    // Not of JPEGs: browsers decode those in their own ways.
    for (const image of ['coffee.png', 'astronaut.png', 'tiny_61x40.png']) {
      const [gpu, cpu] = [await features(page, name, 'webgpu', image), await features(page, name, 'cpu', image)];
      const native = await nativeLogits(folders[name], image);
      const between = relativeError(gpu.logits.data, cpu.logits.data);
      const toNative = relativeError(centred(cpu.logits.data), native);
      t.diagnostic(`${image}: GPU to CPU ${between.toExponential(1)}, CPU to native ${toNative.toExponential(1)} of std`);
      assert.ok(between <= LIMIT, `${image}: GPU and CPU are ${between} of std apart`);
      assert.ok(relativeError(gpu.pooled.data, cpu.pooled.data) <= LIMIT, image);
      // As many stages as there are, none of them empty.
      assert.ok(gpu.stages.length > 1 && gpu.stages.every((shape) => shape.length >= 3 && !shape.includes(0)), JSON.stringify(gpu.stages));
      assert.ok(toNative <= LIMIT_OF_SCORES, `${image}: CPU and native are ${toNative} of std apart`);
    }
  });
}

test('every kind of image source gives the same predictions, on both devices and in a worker', async (t) => {
  const page = await openPage(t, await launch(t), await serve(t));
  for (const [device, worker] of [['webgpu', false], ['cpu', false], ['cpu', true]]) {
    const all = await page.evaluate(async ([device, worker]) => {
      const clf = await webmamba.ImageClassifier.load('mamba_vision_nano', { device, worker });
      const blob = await picture('coffee.png');
      const bitmap = await createImageBitmap(blob);
      const { width, height } = bitmap;
      const image = new Image();
      image.src = '/images/coffee.png';
      const canvas = Object.assign(document.createElement('canvas'), { width, height });
      canvas.getContext('2d').drawImage(bitmap, 0, 0);
      const offscreen = new OffscreenCanvas(width, height);
      offscreen.getContext('2d').drawImage(bitmap, 0, 0);
      const frame = new VideoFrame(canvas, { timestamp: 0 });
      const pixels = canvas.getContext('2d').getImageData(0, 0, width, height);
      const sources = {
        image, canvas, offscreen, bitmap, frame, pixels, blob,
        bytes: { data: new Uint8Array(pixels.data), width, height },
        file: new File([blob], 'coffee.png', { type: 'image/png' }),
        address: '/images/coffee.png',
        url: new URL('/images/coffee.png', location.href),
      };
      const all = {};
      for (const [kind, source] of Object.entries(sources)) all[kind] = (await clf.classify(source, { topK: 20 })).predictions;
      // What was handed in is still the page's own.
      if (bitmap.width === 0 || frame.format === null || pixels.data.length === 0) throw new Error('a source was taken away');
      frame.close();
      await clf.dispose();
      return all;
    }, [device, worker]);
    const { pixels: want, ...rest } = all;
    assert.equal(want[0].label, 'cup');
    assert.equal(want.length, 20);
    for (const [kind, got] of Object.entries(rest)) {
      // A video frame may be stored with fewer bits of colour.
      const limit = kind === 'frame' ? 0.02 : 1e-4;
      assert.equal(got[0].label, want[0].label, `${kind} on ${device}`);
      assert.ok(Math.abs(got[0].score - want[0].score) < limit, `${kind} on ${device}: ${got[0].score} instead of ${want[0].score}`);
    }
  }
});
