/** The package in Node: on the CPU, and on WebGPU through Dawn. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { checkpointFolder } from './support/checkpoint.mjs';
import { relativeError } from './support/compare.mjs';
import { command, freshProject } from './support/project.mjs';

const SWIFTSHADER = process.env.SWIFTSHADER_ICD ?? '/usr/lib/chromium/vk_swiftshader_icd.json';

const MAIN = `
import { readFile } from 'node:fs/promises';
import { ImageClassifier } from 'webmamba';

const [model, device] = process.argv.slice(2);
if (device === 'webgpu') {
  const { create, globals } = await import('webgpu');
  Object.assign(globalThis, globals);
  Object.defineProperty(globalThis, 'navigator', { value: { gpu: create([]) }, configurable: true });
}
const width = 64, height = 48;
const data = Uint8Array.from({ length: width * height * 4 }, (_, i) => (i % 4 === 3 ? 255 : (i * 37) % 251));
const source = model.startsWith('/') ? { weights: await readFile(model + '/model.safetensors'), config: JSON.parse(await readFile(model + '/config.json', 'utf8')) } : model;
const clf = await ImageClassifier.load(source, { device });
const { predictions } = await clf.classify({ data, width, height });
const { logits } = await clf.features({ data, width, height });
console.log(JSON.stringify({ predictions, logits: [...logits.data], info: clf.info }));
await clf.dispose();
// Dawn keeps a thread.
process.exit(0);
`;

async function run(t, model, device) {
  const folder = await freshProject(t, { 'main.js': MAIN }, device === 'webgpu' ? ['webgpu'] : []);
  const env = { ...process.env };
  if (device === 'webgpu') {
    assert.ok(existsSync(SWIFTSHADER), `there is no ${SWIFTSHADER}: install Debian's chromium, or name SwiftShader's file in SWIFTSHADER_ICD`);
    env.VK_DRIVER_FILES = SWIFTSHADER;
  }
  const { stdout } = await command('node', ['main.js', model, device], { cwd: folder, env });
  return JSON.parse(stdout.trim().split('\n').at(-1));
}

test('Node on the CPU runs a built-in model', async (t) => {
  const { predictions, info } = await run(t, 'mamba_vision_nano', 'auto');
  assert.equal(predictions.length, 5);
  assert.ok(predictions.every(({ score, label }) => Number.isFinite(score) && label), JSON.stringify(predictions));
  assert.equal(info.device.kind, 'cpu');
  assert.match(info.device.reason, /no WebGPU/);
});

test('Node on Dawn gives what the CPU gives', async (t) => {
  for (const model of ['mambavision_micro', 'mila_micro']) {
    const folder = checkpointFolder(model);
    const [cpu, gpu] = [await run(t, folder, 'cpu'), await run(t, folder, 'webgpu')];
    assert.equal(gpu.info.device.kind, 'webgpu');
    assert.equal(gpu.info.device.fallback, true);
    const error = relativeError(gpu.logits, cpu.logits);
    t.diagnostic(`${model} on ${gpu.info.device.adapter}: ${error.toExponential(1)} of std`);
    assert.ok(error <= 1e-4, `${error} of std`);
    assert.equal(gpu.predictions[0].index, cpu.predictions[0].index);
  }
});
