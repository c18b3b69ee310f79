/** The package in Node: on the CPU, and on WebGPU through Dawn; picture files; the command line. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkpointFolder } from './support/checkpoint.mjs';
import { relativeError } from './support/compare.mjs';
import { IMAGES, nativeBinary } from './support/paths.mjs';
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

const PICTURES = ['coffee.png', 'rocket.jpg', 'tiny_61x40.png'].map((name) => join(IMAGES, name));

test('picture files by path, address and bytes, and files that are none', async (t) => {
  const folder = await freshProject(t, {
    'main.js': `
      import { readFile } from 'node:fs/promises';
      import { pathToFileURL } from 'node:url';
      import { ImageClassifier } from 'webmamba';
      const [picture] = process.argv.slice(2);
      const clf = await ImageClassifier.load('mamba_vision_nano', { device: 'cpu' });
      const bytes = await readFile(picture);
      const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
      const results = await clf.classify([picture, pathToFileURL(picture), bytes, buffer, new Blob([bytes])], { topK: 3 });
      const turned = await clf.classify(picture, { topK: 3, rotation: 180, region: { x: 0, y: 0, width: 40, height: 30 } });
      const errors = [];
      for (const source of ['missing.jpg', 'main.js', Buffer.from('<svg></svg>'), bytes.subarray(0, 2000), new Uint8Array()]) {
        errors.push(await clf.classify(source).then(() => 'none', ({ name, message }) => name + ': ' + message));
      }
      console.log(JSON.stringify({ results: results.map(({ predictions }) => predictions), turned: turned.predictions, errors }));`,
  });
  for (const picture of PICTURES) {
    const { stdout } = await command('node', ['main.js', picture], { cwd: folder });
    const { results, turned, errors } = JSON.parse(stdout.trim().split('\n').at(-1));
    const native = await command(nativeBinary(), ['classify', '--device', 'cpu', '--top-k', '3', '--json', picture], {});
    const want = JSON.parse(native.stdout).predictions;
    for (const result of results) {
      assert.deepEqual(result.map(({ label }) => label), want.map(({ label }) => label));
      result.forEach(({ score }, i) => assert.ok(Math.abs(score - want[i].score) < 1e-5, `${picture}: ${score} instead of ${want[i].score}`));
    }
    assert.notDeepEqual(turned, results[0]);
    for (const error of errors) assert.match(error, /^InvalidImageError: /);
    const [missing, text, drawing, , empty] = errors;
    assert.match(missing, /missing\.jpg cannot be fetched/);
    assert.match(text, /main\.js cannot be decoded: its format is not one of JPEG/);
    assert.match(drawing, /it is an SVG drawing/);
    assert.match(empty, /the file is empty/);
  }
});

test('`npx webmamba classify` prints what the native command prints', async (t) => {
  const folder = await freshProject(t, {});
  const npx = (...args) => command('npx', ['--no-install', 'webmamba', ...args], { cwd: folder });
  const args = ['classify', '--device', 'cpu', '--top-k', '3', ...PICTURES];
  assert.equal((await npx(...args)).stdout, (await command(nativeBinary(), args, {})).stdout);
  const lines = (await npx(...args, '--json')).stdout.trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ image }) => image), PICTURES);
  assert.ok(lines.every(({ predictions, model, device }) => predictions.length === 3 && model === 'mamba_vision_nano' && device === 'cpu'));
  assert.match((await npx('--version')).stdout, /^webmamba \d+\.\d+\.\d+\n$/);
  const ended = async (...args) => npx(...args).then(() => 'it succeeded', ({ message, cause }) => `${cause.code}: ${message}`);
  assert.match(await ended('classify', 'missing.jpg', PICTURES[0]), /^1: [^]*error: The image .*missing\.jpg cannot be fetched[^]*1 of 2 images failed/);
  assert.match(await ended('classify'), /^2: [^]*error: name images/);
  assert.match(await ended('clasify', PICTURES[0]), /^2: [^]*there is no command `clasify`/);
  assert.match(await ended('classify', PICTURES[0], '--top-k', '0'), /^2: [^]*--top-k must be/);
  assert.match(await ended('classify', PICTURES[0], '--model', './nowhere'), /^2: [^]*error: .*nowhere/);
});
