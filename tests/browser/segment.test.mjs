/** The class of every pixel: on WebGPU, on the CPU and in a worker as in the native program. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { launch, openPage, PLAIN_CPU, prepareDevice, serve } from './support/browser.mjs';
import { checkpointFolder, expected, manifest, preparedInput, traceOf } from './support/checkpoint.mjs';
import { relativeError } from './support/compare.mjs';
import { IMAGES, nativeBinary } from './support/paths.mjs';
import { command } from './support/project.mjs';

async function setUp(t) {
  const server = await serve(t);
  server.folder('/models/dense/', checkpointFolder('upernet_micro'));
  server.file('/models/dense/preprocessor_config.json', {});
  return openPage(t, await launch(t), server);
}

/** Maps of two photographs of one size and of a third one, and what is known of the model. */
async function maps(page, device, worker = false) {
  const kind = await prepareDevice(page, device);
  return page.evaluate(async ([device, worker]) => {
    const segmenter = await webmamba.ImageSegmenter.load('/models/dense/', { device, worker, size: 96 });
    const plain = ({ classMap, shares, width, height, labels }) => ({ classMap: [...classMap], shares, width, height, labels });
    const image = await picture('tiny_61x40.png');
    const first = plain(await segmenter.segment(image));
    const made = await segmenter.allocations();
    const again = plain(await segmenter.segment(image));
    const steady = JSON.stringify(made) === JSON.stringify(await segmenter.allocations());
    const part = plain(await segmenter.segment(image, { region: { x: 10, y: 5, width: 30, height: 20 } }));
    const other = plain(await segmenter.segment(await picture('chelsea.png')));
    const { palette, classes, device: { kind } } = segmenter.info;
    await segmenter.dispose();
    return { first, again, steady, part, other, palette, classes, kind };
  }, [kind, worker]);
}

const differing = (a, b) => a.filter((one, i) => one !== b[i]).length;

test('class maps are the same on every device, in a worker, and in the native program', async (t) => {
  const page = await setUp(t);
  const cpu = await maps(page, 'cpu');
  assert.deepEqual([cpu.first.width, cpu.first.height, cpu.first.classMap.length], [61, 40, 61 * 40]);
  assert.deepEqual([cpu.part.width, cpu.part.height, cpu.classes, cpu.palette.length], [30, 20, 6, 6]);
  assert.deepEqual(cpu.first.labels, ['0', '1', '2', '3', '4', '5']);
  assert.ok(Math.abs(cpu.first.shares.reduce((sum, { share }) => sum + share, 0) - 1) < 1e-5);
  for (const [device, worker] of [['webgpu', false], ['webgpu', true], ['cpu', true], [PLAIN_CPU, false]]) {
    const got = await maps(await setUp(t), device, worker);
    assert.ok(got.steady, `${device}: an image of the same size makes nothing new`);
    assert.deepEqual(got.again.classMap, got.first.classMap);
    for (const which of ['first', 'part', 'other']) {
      const off = differing(got[which].classMap, cpu[which].classMap);
      t.diagnostic(`${device}${worker ? ' in a worker' : ''}, ${which}: ${off} of ${cpu[which].classMap.length} pixels differ`);
      assert.ok(off * 1000 <= cpu[which].classMap.length, `${device}: ${off} pixels`);
    }
  }
  const folder = checkpointFolder('upernet_micro');
  const args = ['segment', '--json', '--device', 'cpu', '--size', '96', '--model', folder, join(IMAGES, 'tiny_61x40.png')];
  const { stdout } = await command(nativeBinary(), args, { env: { ...process.env, NODEVICE_SELECT: '1' } });
  for (const { index, share } of JSON.parse(stdout).classes) {
    const own = cpu.first.shares.find((one) => one.index === index)?.share ?? 0;
    assert.ok(Math.abs(own - share) < 2e-3, `class ${index}: ${own} instead of ${share}`);
  }
});

/** What the model calls the modules that compute a traced tensor; those of maps that upstream puts side by side are several. */
function modules(traced) {
  const activate = (name) => `decode_head.${name}.activate`;
  const resized = (layer, first, count) => [first, ...Array.from({ length: count - 1 }, (_, i) => `decode_head.${layer}.conv.resized.${i + 1}`)];
  if (traced === 'bottleneck.input') return resized('bottleneck', 'outnorm3', 5);
  if (traced === 'fpn_bottleneck.input') return resized('fpn_bottleneck', activate('fpn_convs.0'), 4);
  const [stage] = /\d/.exec(traced) ?? [];
  const called = {
    [`backbone.out${stage}`]: `outnorm${stage}`,
    [`psp${stage}.pooled_conv`]: activate(`psp_modules.${stage}.1`),
    [`lateral${stage}.top_down`]: `decode_head.top_down.${stage}`,
    [`lateral${stage}`]: activate(`lateral_convs.${stage}`),
    [`fpn${stage}`]: activate(`fpn_convs.${stage}`),
  };
  return [called[traced] ?? activate(traced)];
}

/** The smallest difference between two logits that tells classes apart on every device. */
const TIE = 2e-5;

for (const [device, worker] of [['webgpu', false], ['cpu', false], [PLAIN_CPU, false], ['cpu', true]]) {
  test(`logits and class maps are those of mmsegmentation: ${device}${worker ? ' in a worker' : ''}`, async (t) => {
    const page = await setUp(t);
    const kind = await prepareDevice(page, device);
    for (const { id, ori_shape: [height, width], expect } of manifest('upernet_micro').cases) {
      const traced = (expect.trace ?? []).map((name) => [name.slice(`${id}.trace.`.length), modules(name.slice(`${id}.trace.`.length))]);
      const input = preparedInput('upernet_micro', id);
      const got = await page.evaluate(async ([device, worker, { data, ...size }, image, traced]) => {
        const segmenter = await webmamba.ImageSegmenter.load('/models/dense/', { device, worker });
        const shape = [1, size.height, size.width, 3];
        const options = { ...image, tensors: traced.flatMap(([, modules]) => modules) };
        const { logits, classMap, width, height, tensors } = await segmenter.run({ shape, data: Float32Array.from(data) }, options);
        await segmenter.dispose();
        // What upstream puts side by side, channel after channel.
        const trace = traced.map(([, modules]) => modules.flatMap((module) => [...tensors[module].data]));
        return { logits: [...logits.data], shape: logits.shape, classMap: [...classMap], width, height, trace };
      }, [kind, worker, { ...input, data: [...input.data] }, { width, height }, traced]);
      const want = expected('upernet_micro', id);
      assert.deepEqual(got.shape, [1, 6, Math.ceil(input.height / 4), Math.ceil(input.width / 4)]);
      assert.deepEqual([got.width, got.height], [width, height]);
      const error = relativeError(got.logits, want.logits);
      t.diagnostic(`${id}: logits off by ${error.toExponential(1)} of std`);
      assert.ok(error <= 1e-4, `${id}: ${error} of std`);
      const errors = traced.map(([name], i) => [relativeError(got.trace[i], traceOf('upernet_micro', id, name)), name]);
      if (errors.length) t.diagnostic(`${id}: ${errors.length} traced modules off by ${Math.max(...errors.map(([off]) => off)).toExponential(1)} of std`);
      assert.deepEqual(errors.filter(([off]) => off > 1e-4), []);
      const logit = (pixel, index) => want.logits_original[index * width * height + pixel];
      const wrong = got.classMap.filter((index, pixel) => Math.abs(logit(pixel, index) - logit(pixel, want.class_map[pixel])) > TIE);
      assert.equal(wrong.length, 0, `${id}: ${wrong.length} pixels`);
    }
  });
}

test('videos are segmented frame by frame', async (t) => {
  const page = await setUp(t);
  const got = await page.evaluate(async () => {
    const segmenter = await webmamba.ImageSegmenter.load('/models/dense/', { device: 'cpu', size: 64 });
    const bitmap = await createImageBitmap(await picture('tiny_61x40.png'));
    const frames = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 3; i++) controller.enqueue(new VideoFrame(bitmap, { timestamp: i }));
        controller.close();
      },
    });
    const seen = [];
    for await (const { frame, width, height, classMap } of segmenter.segmentVideo(frames)) seen.push([frame, width, height, classMap.length]);
    await segmenter.dispose();
    return seen;
  });
  assert.deepEqual(got, [1, 2, 3].map((frame) => [frame, 61, 40, 61 * 40]));
});

test('a model for another task and options that do not exist are errors', async (t) => {
  const page = await setUp(t);
  const got = await page.evaluate(async () => {
    const segmenter = await webmamba.ImageSegmenter.load('/models/dense/', { device: 'cpu', size: 64 });
    const errors = [
      await thrown(() => webmamba.ImageClassifier.load('/models/dense/', { device: 'cpu' })),
      await thrown(() => webmamba.ImageSegmenter.load('mila_nano', { device: 'cpu' })),
      await thrown(() => segmenter.segment('/images/coffee.png', { topK: 3 })),
      await thrown(() => segmenter.segment(new Blob(['no image']))),
      await thrown(() => segmenter.run({ shape: [1, 8, 8, 3], data: [0] }, { width: 8, height: 8 })),
      await thrown(() => segmenter.run({ shape: [1, 8, 8, 3], data: new Float32Array(7) }, { width: 8, height: 8 })),
      await thrown(() => segmenter.run({ shape: [2, 8, 8, 3], data: new Float32Array(384) }, { width: 8, height: 8 })),
      await thrown(() => segmenter.run({ shape: [1, 8, 8, 3], data: new Float32Array(192) }, { width: 8 })),
      await thrown(() => segmenter.run({ shape: [1, 64, 96, 3], data: new Float32Array(18432) }, { width: 8, height: 8, tensors: 'logits' })),
      await thrown(() => segmenter.run({ shape: [1, 64, 96, 3], data: new Float32Array(18432) }, { width: 8, height: 8, tensors: ['decode_head.fpn'] })),
    ];
    await segmenter.dispose();
    return [...errors, await thrown(() => segmenter.segment('/images/coffee.png'))];
  });
  assert.deepEqual(got.map(({ type }) => type), [
    'UnsupportedCheckpointError', 'UnsupportedCheckpointError', 'InvalidOptionError', 'InvalidImageError', 'InvalidOptionError',
    'InvalidOptionError', 'InvalidOptionError', 'InvalidOptionError', 'InvalidOptionError', 'InvalidOptionError', 'DisposedError',
  ]);
  assert.match(got[0].message, /pixels: load it with ImageSegmenter/);
  assert.match(got[1].message, /whole images: load it with ImageClassifier/);
  assert.match(got[9].message, /no operator `decode_head\.fpn`/);
});
