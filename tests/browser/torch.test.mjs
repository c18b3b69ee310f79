/** Files of `torch.save`, which a WebAssembly module of its own reads: it is fetched for them alone. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { launch, openPage, serve } from './support/browser.mjs';
import { tensors } from './support/checkpoint.mjs';
import { builtPackage, outFolder } from './support/paths.mjs';
import { command, freshProject } from './support/project.mjs';
import { writeSafetensors } from './support/safetensors.mjs';
import { legacyFile, zipFile } from './support/torch.mjs';

const { config, tensors: TENSORS } = tensors('mambavision_micro');
const ZIP = zipFile(TENSORS);
const MODULE = '/package/webmamba_torch.wasm';

/** A page, and a server that has the micro model in all containers, and files that are no models. */
async function setUp(t, options = {}) {
  const server = await serve(t);
  const files = {
    'model.safetensors': writeSafetensors(TENSORS), 'zip.pth': ZIP, 'legacy.pth': legacyFile(TENSORS), 'cut.pth': ZIP.subarray(0, ZIP.length / 2),
    'states.pth': zipFile(TENSORS, ['student', 'teacher']), 'empty.pth': zipFile([]), 'short.pth': ZIP.subarray(0, 5),
  };
  for (const [name, bytes] of Object.entries(files)) server.file(`/m/${name}`, bytes);
  server.file('/m/config.json', config);
  return { server, page: await openPage(t, await launch(t), server, { allowErrors: true, ...options }) };
}

/** What a model says of a photograph, or why it cannot be loaded, and how it was loaded. */
function load(page, file, options = {}) {
  return page.evaluate(async ([file, options]) => {
    const events = [];
    try {
      const onProgress = ({ phase, loaded, total }) => events.push([phase, loaded, total]);
      const clf = await webmamba.ImageClassifier.load({ weights: `/m/${file}`, config: '/m/config.json' }, { onProgress, ...options });
      const { predictions } = await clf.classify(await picture('coffee.png'));
      await clf.dispose();
      return { predictions, events };
    } catch ({ name, message }) {
      return { name, message };
    }
  }, [file, options]);
}

for (const device of ['webgpu', 'cpu']) {
  for (const worker of [false, true]) {
    test(`both containers on ${device}${worker ? ' in a worker' : ''} are what safetensors are, and alone ask for their reader`, async (t) => {
      const { server, page } = await setUp(t);
      const want = await load(page, 'model.safetensors', { device, worker });
      assert.ok(want.predictions, want.message);
      assert.equal(server.seen(MODULE).length, 0);
      for (const file of ['zip.pth', 'legacy.pth']) {
        const got = await load(page, file, { device, worker });
        assert.deepEqual(got.predictions, want.predictions, got.message);
        const phases = (events) => [...new Set(events.map(([phase]) => phase))];
        assert.deepEqual(phases(got.events), phases(want.events));
        assert.ok(server.seen(MODULE).length > 0);
      }
    });
  }
}

test('files that cannot be used say why, in the page and in a worker', async (t) => {
  const { page } = await setUp(t);
  const cases = {
    'cut.pth': /^cut\.pth: not a usable checkpoint: the zip archive is damaged/,
    'short.pth': /^short\.pth: not a usable checkpoint: the zip archive is damaged/,
    'states.pth': /^states\.pth: not a usable checkpoint: it holds several models, name one by .*: `student`, `teacher`$/,
    'empty.pth': /^empty\.pth: not a usable checkpoint: there are no tensors in it \(`state_dict` is an empty dictionary\); save `model\.state_dict\(\)`$/,
  };
  for (const worker of [false, true]) {
    for (const [file, message] of Object.entries(cases)) {
      const error = await load(page, file, { device: 'cpu', worker });
      assert.equal(error.name, 'UnsupportedCheckpointError');
      assert.match(error.message, message);
    }
    assert.ok((await load(page, 'states.pth', { device: 'cpu', worker, state: 'teacher' })).predictions);
  }
});

test('a reader that cannot be fetched is named, and may be found the next time', async (t) => {
  const { server, page } = await setUp(t);
  server.behave(MODULE, { status: 404 });
  for (const worker of [false, true]) {
    const error = await load(page, 'zip.pth', { device: 'cpu', worker });
    assert.equal(error.name, 'DownloadError');
    assert.match(error.message, /webmamba_torch\.wasm.*404.*init\(\{ base \}\)/);
  }
  server.behave(MODULE, {});
  assert.ok((await load(page, 'zip.pth', { device: 'cpu' })).predictions);
});

test('`init({ base })` says where the reader is too', async (t) => {
  const { server, page } = await setUp(t);
  server.behave(MODULE, { status: 404 });
  server.folder('/elsewhere/', `${builtPackage()}/dist`);
  await page.evaluate(() => webmamba.init({ base: '/elsewhere' }));
  for (const worker of [false, true]) assert.ok((await load(page, 'legacy.pth', { device: 'cpu', worker })).predictions);
  assert.equal(server.seen(MODULE).length, 0);
});

test('an abort while such a file is downloaded is an AbortError', async (t) => {
  const { server, page } = await setUp(t);
  server.behave('/m/zip.pth', { stallAfter: ZIP.length / 2 });
  for (const worker of [false, true]) {
    const error = await page.evaluate(([half, worker]) => thrown(() => {
      const stop = new AbortController();
      const onProgress = ({ phase, loaded }) => phase === 'download' && loaded >= half && stop.abort();
      return webmamba.ImageClassifier.load({ weights: '/m/zip.pth', config: '/m/config.json' }, { device: 'cpu', worker, cache: false, signal: stop.signal, onProgress });
    }), [Math.floor(ZIP.length / 2), worker]);
    assert.equal(error?.name, 'AbortError');
  }
});

test('`preload` fetches the reader of a file that needs it', async (t) => {
  const { server, page } = await setUp(t);
  const preload = (file) => page.evaluate((file) => webmamba.preload({ weights: file, config: '/m/config.json' }), `/m/${file}`);
  await preload('model.safetensors');
  assert.equal(server.seen(MODULE).length, 0);
  await preload('zip.pth');
  assert.equal(server.seen(MODULE).length, 1);
});

test('files of any pieces, and servers that do not tell their length', async (t) => {
  const { server, page } = await setUp(t);
  const want = await load(page, 'model.safetensors', { device: 'cpu' });
  server.behave('/m/zip.pth', { length: false, ranges: false });
  assert.deepEqual((await load(page, 'zip.pth', { device: 'cpu' })).predictions, want.predictions);
});

test('both containers in Node', async (t) => {
  const place = outFolder('torch');
  const files = { 'model.safetensors': writeSafetensors(TENSORS), 'zip.pth': ZIP, 'legacy.pth': legacyFile(TENSORS) };
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(place, name), bytes);
  const script = `
    import { ImageClassifier } from 'webmamba';
    const data = Uint8Array.from({ length: 64 * 48 * 4 }, (_, i) => (i % 4 === 3 ? 255 : (i * 37) % 251));
    for (const file of ${JSON.stringify(Object.keys(files).map((name) => join(place, name)))}) {
      const clf = await ImageClassifier.load({ weights: file, config: ${JSON.stringify(JSON.stringify(config))} });
      console.log(JSON.stringify((await clf.classify({ data, width: 64, height: 48 })).predictions));
    }`;
  const folder = await freshProject(t, { 'main.js': script });
  const { stdout } = await command('node', ['main.js'], { cwd: folder });
  const lines = stdout.trim().split('\n');
  assert.equal(lines.length, 3);
  assert.deepEqual(new Set(lines).size, 1);
});

for (const worker of [false, true]) {
  test(`the one file for CDNs reads them too${worker ? ', in a worker' : ''}`, async (t) => {
    const { server, page } = await setUp(t);
    const got = await page.evaluate(async (worker) => {
      const { ImageClassifier } = await import('/package/webmamba.min.js');
      const all = [];
      for (const file of ['model.safetensors', 'zip.pth']) {
        const clf = await ImageClassifier.load({ weights: `/m/${file}`, config: '/m/config.json' }, { device: 'cpu', worker });
        all.push((await clf.classify(await picture('coffee.png'))).predictions);
        await clf.dispose();
      }
      return all;
    }, worker);
    assert.deepEqual(got[1], got[0]);
    assert.equal(server.seen(MODULE).length, 1);
  });
}
