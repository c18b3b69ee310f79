/** Programs outside of browsers: other versions of Node, Deno and Bun give what this Node gives. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { command, freshProject } from '../browser/support/project.mjs';
import { IMAGES, ROOT } from '../browser/support/paths.mjs';
import { program } from './support.mjs';

const MAIN = `
import { ImageClassifier } from 'webmamba';
const [width, height] = [64, 48];
const data = Uint8Array.from({ length: width * height * 4 }, (_, i) => (i % 4 === 3 ? 255 : (i * 37) % 251));
const results = {};
const files = process.argv.slice(2);
for (const worker of [false, true]) {
  try {
    const clf = await ImageClassifier.load('mamba_vision_nano', { device: 'cpu', worker });
    results[worker] = (await clf.classify({ data, width, height })).predictions;
    if (!worker) results.files = (await clf.classify(files)).map(({ predictions: [best] }) => best);
    await clf.dispose();
  } catch (error) {
    results[worker] = { name: error.name, code: error.code, message: error.message };
  }
}
const gpu = await ImageClassifier.load('mamba_vision_nano', { device: 'webgpu' }).then(() => '', ({ message }) => message);
console.log(JSON.stringify({ results, gpu }));
`;

/** The program, what it is called with, and whether it has workers. */
const PROGRAMS = {
  'Node 22': [() => program('node'), [], false],
  Bun: [() => program('bun'), ['run'], true],
  Deno: [() => program('deno'), ['run', '--allow-all', '--no-remote', '--node-modules-dir=manual'], true],
};

const FILES = ['coffee.png', 'rocket.jpg'].map((name) => join(IMAGES, name));

async function run(t, executable, args) {
  const folder = await freshProject(t, { 'main.mjs': MAIN });
  const { stdout } = await command(executable, [...args, 'main.mjs', ...FILES], { cwd: folder });
  return JSON.parse(stdout.trim().split('\n').at(-1));
}

for (const [name, [executable, args, workers]] of Object.entries(PROGRAMS)) {
  test(`${name} gives what this Node gives`, async (t) => {
    const want = await run(t, process.execPath, []);
    assert.equal(want.results.false.length, 5);
    assert.equal(want.results.true.code, 'worker');
    assert.match(want.gpu, /Node\.js has no WebGPU/);
    const got = await run(t, executable(), args);
    for (const where of ['false', ...(workers ? ['true'] : [])]) {
      assert.deepEqual(got.results[where]?.map?.(({ label }) => label), want.results.false.map(({ label }) => label), JSON.stringify(got));
      got.results[where].forEach(({ score }, i) => assert.ok(Math.abs(score - want.results.false[i].score) < 1e-6));
    }
    got.results.files.forEach(({ label, score }, i) => {
      assert.equal(label, want.results.files[i].label);
      assert.ok(Math.abs(score - want.results.files[i].score) < 1e-6);
    });
    if (!workers) assert.equal(got.results.true.code, 'worker');
  });
}

test('the recipe for Deno names picture files', async (t) => {
  const folder = await freshProject(t, { 'classify.ts': readFileSync(join(ROOT, 'examples/web/deno/classify.ts'), 'utf8') });
  const args = ['run', '--allow-read', '--allow-env', '--no-remote', '--node-modules-dir=manual', 'classify.ts', FILES[0]];
  const { stdout } = await command(program('deno'), args, { cwd: folder });
  assert.match(stdout, /coffee\.png: cup \(\d+ %\)/);
});
