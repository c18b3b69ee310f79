/** Memory: nothing grows over loads and frames, and loading takes hardly more than the file. */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { test } from 'node:test';
import { launch, openPage, serve } from '../support/browser.mjs';
import { checkpoint, checkpointFolder } from '../support/checkpoint.mjs';

const MB = 1e6;
const MICRO = checkpoint('mambavision_micro');

async function setUp(t) {
  const server = await serve(t);
  server.model('/models/micro', MICRO);
  const page = await openPage(t, await launch(t), server);
  const session = await page.context().newCDPSession(page);
  await page.evaluate(async () => {
    // The package keeps its module's memory to itself; whoever makes the module sees it.
    const { instantiateStreaming } = WebAssembly;
    WebAssembly.instantiateStreaming = async (...options) => {
      const made = await instantiateStreaming.apply(WebAssembly, options);
      globalThis.memory = made.instance.exports.memory;
      return made;
    };
    await webmamba.init();
  });
  return { server, page, session };
}

/** Bytes of JavaScript objects, of buffers outside of its heap, and of the WebAssembly memory. */
async function usage({ page, session }, { collect = true } = {}) {
  if (collect) await session.send('HeapProfiler.collectGarbage');
  const { usedSize, embedderHeapUsedSize = 0, backingStorageSize = 0 } = await session.send('Runtime.getHeapUsage');
  return { heap: usedSize + embedderHeapUsedSize, buffers: backingStorageSize, wasm: await page.evaluate(() => memory.buffer.byteLength) };
}

const shown = ({ heap, buffers, wasm }) => [heap, buffers, wasm].map((bytes) => (bytes / MB).toFixed(2)).join(' / ');

for (const [device, settle] of [['webgpu', 5], ['cpu', 20]]) {
  test(`20 loads on ${device} leave nothing behind`, async (t) => {
    const all = await setUp(t);
    const cycle = (times) => all.page.evaluate(async ([device, times]) => {
      const image = await picture('coffee.png');
      for (let i = 0; i < times; i++) {
        const clf = await webmamba.ImageClassifier.load('/models/micro/', { device });
        await clf.classify(image);
        await clf.dispose();
      }
    }, [device, times]);
    await cycle(settle);
    const before = await usage(all);
    await cycle(20 - (settle % 20));
    const after = await usage(all);
    t.diagnostic(`heap / buffers / wasm in MB: ${shown(before)}, then ${shown(after)}`);
    // A model has 2.7 MB: if each load lost it, that would be 40 MB or more. Memory grows in steps, and they come late.
    assert.ok(after.wasm - before.wasm < 8 * MB, `wasm memory grew by ${after.wasm - before.wasm} bytes`);
    assert.ok(after.heap - before.heap < MB, `the heap grew by ${after.heap - before.heap} bytes`);
    assert.ok(after.buffers - before.buffers < MB, `buffers grew by ${after.buffers - before.buffers} bytes`);
  });

  test(`1,000 frames on ${device} allocate nothing that stays`, async (t) => {
    const all = await setUp(t);
    await all.page.evaluate(async (device) => {
      // Objects of the page on the device, beside those that the module counts itself.
      globalThis.made = { createBuffer: 0, createTexture: 0, createBindGroup: 0, createComputePipeline: 0, createQuerySet: 0 };
      for (const name of Object.keys(made)) {
        const original = GPUDevice.prototype[name];
        GPUDevice.prototype[name] = function (...options) {
          made[name]++;
          return original.apply(this, options);
        };
      }
      globalThis.clf = await webmamba.ImageClassifier.load('/models/micro/', { device });
      const canvas = new OffscreenCanvas(160, 120);
      const context = canvas.getContext('2d');
      globalThis.frames = async (count) => {
        for (let i = 0; i < count; i++) {
          context.fillStyle = `hsl(${i % 360} 80% 50%)`;
          context.fillRect(0, 0, 160, 120);
          const { predictions } = await clf.classify(canvas, { heatmap: i % 2 === 0, topK: i % 3 === 0 ? 10 : 5 });
          if (!(predictions[0]?.score > 0)) throw new Error(`frame ${i} has no result`);
        }
      };
      await frames(20);
    }, device);
    const allocations = () => all.page.evaluate(async () => ({ module: await clf.allocations(), page: { ...made } }));
    const [before, counted] = [await usage(all), await allocations()];
    const start = performance.now();
    await all.page.evaluate(() => frames(1000));
    const time = performance.now() - start;
    const [after, then] = [await usage(all), await allocations()];
    t.diagnostic(`${(time / 1000).toFixed(1)} ms a frame; heap / buffers / wasm in MB: ${shown(before)}, then ${shown(after)}; on the device ${JSON.stringify(then)}`);
    assert.deepEqual(then, counted);
    assert.equal(after.wasm, before.wasm);
    assert.ok(after.heap - before.heap < MB / 2, `the heap grew by ${after.heap - before.heap} bytes`);
    assert.ok(after.buffers - before.buffers < MB / 2, `buffers grew by ${after.buffers - before.buffers} bytes`);
  });
}

for (const device of ['webgpu', 'cpu']) {
  test(`loading MambaVision-T on ${device} takes at most 1.3 times its file`, async (t) => {
    const folder = checkpointFolder('mambavision_t');
    const file = statSync(`${folder}/model.safetensors`).size;
    const all = await setUp(t);
    all.server.folder('/models/t/', folder);
    const before = await usage(all);
    let loading = true;
    const load = all.page.evaluate(async (device) => {
      globalThis.clf = await webmamba.ImageClassifier.load('/models/t/', { device });
    }, device).finally(() => (loading = false));
    const peak = { sum: 0 };
    while (loading) {
      const now = await usage(all, { collect: false });
      // The backing storage may or may not have the WebAssembly memory in it.
      const outside = now.buffers >= now.wasm ? now.buffers : now.buffers + now.wasm;
      const sum = now.heap + outside;
      if (sum > peak.sum) Object.assign(peak, { sum, ...now });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await load;
    const after = await usage(all);
    await all.page.evaluate(() => clf.dispose());
    t.diagnostic(`file ${(file / MB).toFixed(1)} MB, peak ${(peak.sum / MB).toFixed(1)} MB = ${(peak.sum / file).toFixed(2)} files; heap / buffers / wasm in MB: ` +
      `before ${shown(before)}, at the peak ${shown(peak)}, after ${shown(after)}`);
    assert.ok(peak.sum > 0.1 * file, 'nothing was measured');
    assert.ok(peak.sum <= 1.3 * file, `${peak.sum} of ${file} bytes`);
  });
}
