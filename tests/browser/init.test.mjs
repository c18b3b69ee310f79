/** `init`: the WebAssembly module from wherever the page has it, also for workers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch, openPage, serve, withoutRelaxedVectors } from './support/browser.mjs';
import { builtPackage } from './support/paths.mjs';

const MODULES = ['webmamba_bg.wasm', 'webmamba_relaxed_bg.wasm'];
const OWN = '/elsewhere/webmamba_bg.wasm';

/** A server whose package lacks its module, which is elsewhere. */
async function setUp(t) {
  const server = await serve(t);
  server.folder('/elsewhere/', `${builtPackage()}/dist`);
  for (const file of MODULES) server.behave(`/package/${file}`, { status: 404 });
  return { server, page: await openPage(t, await launch(t), server, { allowErrors: true }) };
}

for (const kind of ['path', 'address', 'URL', 'bytes', 'module']) {
  test(`the module as ${kind}`, async (t) => {
    const { page } = await setUp(t);
    const tops = await page.evaluate(async ([kind, address]) => {
      const url = new URL(address, location.href);
      const bytes = await (await fetch(url)).arrayBuffer();
      const wasm = { path: address, address: url.href, URL: url, bytes, module: await WebAssembly.compile(bytes) }[kind];
      await webmamba.init({ wasm });
      const tops = [];
      for (const worker of [false, true]) {
        const clf = await webmamba.ImageClassifier.load('mamba_vision_nano', { worker });
        tops.push((await clf.classify(await picture('coffee.png'))).predictions[0].label);
        await clf.dispose();
      }
      return tops;
    }, [kind, OWN]);
    assert.deepEqual(tops, ['cup', 'cup']);
  });
}

test('a module that is not there fails, and may be found the next time', async (t) => {
  const { server, page } = await setUp(t);
  const error = await page.evaluate(() => thrown(() => webmamba.ImageClassifier.load()));
  assert.equal(error?.type, 'DownloadError', error?.message);
  assert.match(error.message, /webmamba_relaxed_bg\.wasm.*404/);
  for (const file of MODULES) server.behave(`/package/${file}`, {});
  const top = await page.evaluate(async () => {
    const clf = await webmamba.ImageClassifier.load();
    return (await clf.classify(await picture('coffee.png'))).predictions[0].label;
  });
  assert.equal(top, 'cup');
});

for (const [knows, file] of [[true, 'webmamba_relaxed_bg.wasm'], [false, 'webmamba_bg.wasm']]) {
  test(`a browser ${knows ? 'with' : 'without'} relaxed vectors takes ${file}, and no other`, async (t) => {
    const server = await serve(t);
    const page = await openPage(t, await launch(t), server);
    if (!knows) await withoutRelaxedVectors(page);
    await page.evaluate(() => webmamba.init());
    assert.deepEqual(server.requests.map(({ path }) => path).filter((path) => path.endsWith('.wasm')), [`/package/${file}`]);
  });
}
