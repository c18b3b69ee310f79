/** Every kernel compiles in the browser's own compiler, which is stricter than the one of the Rust tests. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { launch, openPage, serve } from './support/browser.mjs';
import { need, ROOT } from './support/paths.mjs';

test('every kernel compiles in Tint and makes a pipeline', async (t) => {
  const path = need(join(ROOT, 'target/tmp/kernels.json'), 'run `cargo test --profile checked --test shaders`, which writes it');
  const kernels = JSON.parse(readFileSync(path, 'utf8'));
  assert.ok(kernels.length > 50, `only ${kernels.length} kernels`);
  assert.ok(kernels.some(({ subgroups }) => subgroups), 'no kernel uses subgroups');
  const server = await serve(t);
  server.file('/kernels.json', kernels);
  const page = await openPage(t, await launch(t), server);
  const { failures, f16 } = await page.evaluate(async () => {
    const kernels = await (await fetch('/kernels.json')).json();
    const adapter = await navigator.gpu.requestAdapter();
    if (!adapter.features.has('subgroups')) throw new Error('the adapter has no subgroups, so half of the kernels cannot be compiled');
    const { maxStorageBuffersPerShaderStage } = adapter.limits;
    // SwiftShader has no f16.
    const f16 = adapter.features.has('shader-f16');
    const requiredFeatures = ['subgroups', ...(f16 ? ['shader-f16'] : [])];
    const device = await adapter.requestDevice({ requiredFeatures, requiredLimits: { maxStorageBuffersPerShaderStage } });
    const failures = [];
    const compile = async ({ name, source }) => {
      const module = device.createShaderModule({ code: source });
      const { messages } = await module.getCompilationInfo();
      const problems = messages.filter(({ type }) => type !== 'info').map(({ type, lineNum, message }) => `${type} in line ${lineNum}: ${message}`);
      await device.createComputePipelineAsync({ layout: 'auto', compute: { module } }).catch((error) => problems.push(error.message));
      if (problems.length) failures.push(`${name}:\n${problems.join('\n')}`);
    };
    await Promise.all(kernels.filter((kernel) => f16 || !kernel.f16).map(compile));
    return { failures, f16 };
  });
  t.diagnostic(`${kernels.length} kernels${f16 ? '' : ', of which those in f16 are left out'}`);
  assert.equal(failures.length, 0, `${failures.length} of ${kernels.length} kernels:\n${failures.slice(0, 5).join('\n\n')}`);
});
