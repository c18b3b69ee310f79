/** What is compiled and warmed up inside of `load` costs the first picture nothing. Prints times. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch, openPage, serve } from './support/browser.mjs';
import { checkpointFolder } from './support/checkpoint.mjs';

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

for (const [model, device, runs] of [
  ['mamba_vision_nano', 'cpu', 15], ['mamba_vision_nano', 'webgpu', 15], ['mila_nano', 'cpu', 15], ['mila_nano', 'webgpu', 15],
  ['mambavision_t', 'cpu', 4], ['mambavision_t', 'webgpu', 2], ['mila_t', 'cpu', 4], ['mila_t', 'webgpu', 2],
]) {
  test(`${model} on ${device}: the first picture takes at most three times as long as a later one`, async (t) => {
    const server = await serve(t);
    if (model.endsWith('_t')) server.folder(`/models/${model}/`, checkpointFolder(model));
    const page = await openPage(t, await launch(t), server);
    const { load, times, info } = await page.evaluate(async ([model, device, runs]) => {
      const image = await createImageBitmap(await picture('coffee.png'));
      const start = performance.now();
      const clf = await webmamba.ImageClassifier.load(model.endsWith('_t') ? `/models/${model}/` : model, { device });
      const load = performance.now() - start;
      const times = [];
      for (let i = 0; i <= runs; i++) times.push((await clf.classify(image)).timing.total);
      const info = { macs: clf.info.macs, dispatches: clf.info.dispatches, parameters: clf.info.parameters };
      await clf.dispose();
      return { load, times, info };
    }, [model, device, runs]);
    const [first, ...later] = times;
    const warm = median(later);
    t.diagnostic(`load ${(load / 1000).toFixed(2)} s, first ${first.toFixed(0)} ms, warm ${warm.toFixed(0)} ms (best ${Math.min(...later).toFixed(0)}); ` +
      `${(info.parameters / 1e6).toFixed(2)} M parameters, ${(info.macs / 1e6).toFixed(0)} M multiply-adds, ${info.dispatches} launches`);
    // Below some milliseconds other things count.
    assert.ok(first <= Math.max(3 * warm, warm + 20), `first ${first} ms, warm ${warm} ms`);
  });
}
