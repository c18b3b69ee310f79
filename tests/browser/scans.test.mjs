/** Scans of short and long maps, in all four directions, with one state and with sixteen: WebGPU and the CPU agree in the browser. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch, openPage, serve } from './support/browser.mjs';
import { checkpointFolder } from './support/checkpoint.mjs';
import { relativeError } from './support/compare.mjs';

/** Inputs whose first maps have 64 to 19,880 tokens: one and several workgroups' worth. */
const SIZES = { vmamba_micro: [[32, 32], [64, 96], [128, 132], [560, 568]], vmamba_micro_v0: [[36, 32], [132, 128], [256, 260]] };

for (const [name, sizes] of Object.entries(SIZES)) {
  test(`${name} at ${sizes.length} sizes`, async (t) => {
    const server = await serve(t);
    server.folder('/model/', checkpointFolder(name));
    server.file('/model/preprocessor_config.json', {});
    const page = await openPage(t, await launch(t), server);
    for (const size of sizes) {
      const [cpu, webgpu] = await page.evaluate(async (size) => {
        const all = [];
        for (const device of ['cpu', 'webgpu']) {
          const clf = await webmamba.ImageClassifier.load('/model/', { device, size });
          // Pixels of its own size are not resized, so both see the same.
          const context = new OffscreenCanvas(size[1], size[0]).getContext('2d');
          context.drawImage(await createImageBitmap(await picture('coffee.png')), 0, 0, size[1], size[0]);
          const { logits, stages } = await clf.features(context.getImageData(0, 0, size[1], size[0]));
          all.push({ logits: [...logits.data], first: [...stages[0].data] });
          await clf.dispose();
        }
        return all;
      }, size);
      for (const output of ['first', 'logits']) {
        const error = relativeError(webgpu[output], cpu[output]);
        t.diagnostic(`${size.join(' x ')}, ${output}: ${error.toExponential(1)}`);
        assert.ok(error < 1e-4, `${size}: ${error}`);
      }
    }
  });
}
