/** Programs outside of browsers: other versions of Node, Deno and Bun give what this Node gives. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { command, freshProject } from '../browser/support/project.mjs';
import { need, ROOT } from '../browser/support/paths.mjs';

const MAIN = `
import { ImageClassifier } from 'webmamba';
const [width, height] = [64, 48];
const data = Uint8Array.from({ length: width * height * 4 }, (_, i) => (i % 4 === 3 ? 255 : (i * 37) % 251));
const results = {};
for (const worker of [false, true]) {
  try {
    const clf = await ImageClassifier.load('mamba_vision_nano', { device: 'cpu', worker });
    results[worker] = (await clf.classify({ data, width, height })).predictions;
    await clf.dispose();
  } catch (error) {
    results[worker] = { name: error.name, code: error.code, message: error.message };
  }
}
const gpu = await ImageClassifier.load('mamba_vision_nano', { device: 'webgpu' }).then(() => '', ({ message }) => message);
console.log(JSON.stringify({ results, gpu }));
`;

const program = (name) => need(join(ROOT, 'tests/runtimes/node_modules/.bin', name), 'run `npm ci` in tests/runtimes');

/** The program, what it is called with, and whether it has workers. */
const PROGRAMS = {
  'Node 22': [() => program('node'), [], false],
  Bun: [() => program('bun'), ['run'], true],
  Deno: [() => program('deno'), ['run', '--allow-all', '--no-remote', '--node-modules-dir=manual'], true],
};

async function run(t, executable, args) {
  const folder = await freshProject(t, { 'main.mjs': MAIN });
  const { stdout } = await command(executable, [...args, 'main.mjs'], { cwd: folder });
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
    if (!workers) assert.equal(got.results.true.code, 'worker');
  });
}
