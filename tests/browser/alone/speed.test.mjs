/** What is compiled and warmed up inside of `load` costs the first picture nothing; the kernels of the CPU are built for speed. Prints times. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch, openPage, PLAIN_CPU, prepareDevice, serve } from '../support/browser.mjs';
import { checkpointFolder } from '../support/checkpoint.mjs';

// What any machine stays below, in milliseconds, and what a build without vectors or without inlining does not.
const ON_CPU = { mamba_vision_nano: 120, mila_nano: 140, mambavision_t: 2500, mila_t: 2500 };

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

for (const [model, device, runs, loads] of [
  ['mamba_vision_nano', 'cpu', 15, 3], ['mamba_vision_nano', PLAIN_CPU, 15, 3], ['mamba_vision_nano', 'webgpu', 15, 3], ['mila_nano', 'cpu', 15, 3], ['mila_nano', 'webgpu', 15, 3],
  ['mambavision_t', 'cpu', 4, 1], ['mambavision_t', 'webgpu', 2, 1], ['mila_t', 'cpu', 4, 1], ['mila_t', 'webgpu', 2, 1],
]) {
  test(`${model} on ${device}: the first picture takes at most three times as long as a later one, and none is slow`, async (t) => {
    const server = await serve(t);
    if (model.endsWith('_t')) server.folder(`/models/${model}/`, checkpointFolder(model));
    const page = await openPage(t, await launch(t), server);
    const kind = await prepareDevice(page, device);
    const measured = await page.evaluate(async ([model, device, runs, loads]) => {
      const image = await createImageBitmap(await picture('coffee.png'));
      const measured = [];
      for (let n = 0; n < loads; n++) {
        const start = performance.now();
        const clf = await webmamba.ImageClassifier.load(model.endsWith('_t') ? `/models/${model}/` : model, { device });
        const load = performance.now() - start;
        const times = [];
        for (let i = 0; i <= runs; i++) times.push((await clf.classify(image)).timing.total);
        const { macs, dispatches, parameters } = clf.info;
        measured.push({ load, times, info: { macs, dispatches, parameters } });
        await clf.dispose();
      }
      return measured;
    }, [model, kind, runs, loads]);
    const [{ load, info }] = measured;
    // Of short times the best of some loads: others use the machine, too.
    const first = Math.min(...measured.map(({ times }) => times[0]));
    const later = measured.flatMap(({ times }) => times.slice(1));
    const warm = median(later);
    const best = Math.min(...later);
    t.diagnostic(`load ${(load / 1000).toFixed(2)} s, first ${first.toFixed(0)} ms, warm ${warm.toFixed(0)} ms (best ${best.toFixed(0)}); ` +
      `${(info.parameters / 1e6).toFixed(2)} M parameters, ${(info.macs / 1e6).toFixed(0)} M multiply-adds, ${info.dispatches} launches`);
    if (kind === 'cpu') assert.ok(best <= ON_CPU[model], `${best} ms`);
    // Below some milliseconds other things count.
    assert.ok(first <= Math.max(3 * warm, warm + 20), `first ${first} ms, warm ${warm} ms`);
  });
}
