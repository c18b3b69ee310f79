/** What the browser keeps: listed, cleared, filled ahead of time, and all there is without a network; own headers and fetch. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch, openPage, serve } from './support/browser.mjs';
import { checkpoint } from './support/checkpoint.mjs';

const MICRO = checkpoint('mambavision_micro');

async function setUp(t, options = {}) {
  const server = await serve(t);
  server.model('/models/micro', MICRO);
  server.model('/hub/some/micro/resolve/main', MICRO);
  return { server, page: await openPage(t, await launch(t), server, options) };
}

test('the cache is listed by file, measured, and cleared by model or whole', async (t) => {
  const { server, page } = await setUp(t);
  const got = await page.evaluate(async () => {
    const { cache, ImageClassifier } = webmamba;
    const none = [await cache.list(), await cache.size(), await cache.clear()];
    for (const model of ['/models/micro/', 'some/micro', 'mamba_vision_nano']) {
      await (await ImageClassifier.load(model, { device: 'cpu', baseUrl: '/hub' })).dispose();
    }
    const list = await cache.list();
    const size = await cache.size();
    const gone = [await cache.clear('some/micro', { baseUrl: '/hub' }), await cache.clear('some/micro', { baseUrl: '/hub' }), await cache.clear('mamba_vision_nano')];
    const left = (await cache.list()).map(({ url }) => new URL(url).pathname);
    const wrong = await thrown(() => cache.clear('/models/micro/', { baseurl: '/' }));
    const all = await cache.clear();
    return { none, list, size, gone, left, wrong, all, after: await cache.size() };
  });
  assert.deepEqual(got.none, [[], 0, 0]);
  assert.equal(got.list.length, 5);
  for (const { url, bytes, total } of got.list) assert.ok(url.startsWith(server.url('/')) && bytes === total && total > 0 && !url.includes('offset'), url);
  assert.equal(got.list.find(({ url }) => url.endsWith('/models/micro/model.safetensors')).bytes, MICRO.weights.length);
  assert.equal(got.size, got.list.reduce((sum, { bytes }) => sum + bytes, 0));
  assert.deepEqual(got.gone, [2, 0, 1]);
  assert.deepEqual(got.left.sort(), ['/models/micro/config.json', '/models/micro/model.safetensors']);
  assert.equal(got.wrong.type, 'InvalidOptionError');
  assert.match(got.wrong.message, /`baseUrl` is meant/);
  assert.deepEqual([got.all, got.after], [2, 0]);
});

for (const worker of [false, true]) {
  test(`preloaded, a model loads offline without a request${worker ? ', in a worker' : ''}`, async (t) => {
    const { server, page } = await setUp(t);
    const events = await page.evaluate(async () => {
      const events = [];
      await webmamba.preload('/models/micro/', { onProgress: (event) => events.push(event) });
      return events;
    });
    assert.ok(events.length && events.every(({ phase }) => phase === 'download'));
    assert.deepEqual([events.at(-1).loaded, events.at(-1).total], [MICRO.weights.length, MICRO.weights.length]);
    server.forget();
    for (const name of ['config.json', 'model.safetensors', 'preprocessor_config.json']) server.behave(`/models/micro/${name}`, { status: 500 });
    const got = await page.evaluate(async (worker) => {
      const clf = await webmamba.ImageClassifier.load('/models/micro/', { device: 'cpu', offline: true, worker });
      const { predictions } = await clf.classify(await picture('coffee.png'));
      const missing = await thrown(() => webmamba.ImageClassifier.load('mila_nano', { device: 'cpu', offline: true, worker }));
      const both = await thrown(() => webmamba.ImageClassifier.load('/models/micro/', { offline: true, cache: false }));
      return { count: predictions.length, missing, both };
    }, worker);
    assert.equal(got.count, 5);
    assert.deepEqual(server.requests.filter(({ path }) => path.startsWith('/models/') || path.endsWith('.safetensors')), []);
    assert.equal(got.missing.type, 'DownloadError');
    assert.match(got.missing.message, /mila_nano\/model\.safetensors is not in the cache.*offline/);
    assert.equal(got.both.type, 'InvalidOptionError');
  });
}

test('an interrupted file is not whole: offline it is an error, and a preload finishes it', async (t) => {
  const { server, page } = await setUp(t);
  const path = '/models/micro/model.safetensors';
  server.behave(path, { bytesPerSecond: 200_000 });
  const first = await page.evaluate(async () => {
    const stop = new AbortController();
    const onProgress = ({ loaded }) => loaded > 50_000 && stop.abort();
    const aborted = await thrown(() => webmamba.preload('/models/micro/', { signal: stop.signal, onProgress }));
    const file = (await webmamba.cache.list()).find(({ url }) => url.endsWith('safetensors'));
    return { aborted: aborted.name, file, offline: await thrown(() => webmamba.ImageClassifier.load('/models/micro/', { device: 'cpu', offline: true })) };
  });
  assert.equal(first.aborted, 'AbortError');
  assert.ok(first.file.bytes >= 50_000 && first.file.bytes < first.file.total, JSON.stringify(first.file));
  assert.equal(first.offline.type, 'DownloadError');
  server.behave(path, {});
  server.forget();
  await page.evaluate(() => webmamba.preload('/models/micro/'));
  assert.match(server.seen(path).find(({ method }) => method === 'GET').range, /^bytes=\d{5,}-$/);
  assert.ok(await page.evaluate(async () => (await webmamba.ImageClassifier.load('/models/micro/', { device: 'cpu', offline: true })).info.parameters > 0));
});

test('where there is no cache: nothing is listed, and a preload says so', async (t) => {
  const { page } = await setUp(t, { secure: false, allowErrors: true });
  const got = await page.evaluate(async () => [await webmamba.cache.list(), await webmamba.cache.size(), await webmamba.cache.clear(), await thrown(() => webmamba.preload())]);
  assert.deepEqual(got.slice(0, 3), [[], 0, 0]);
  assert.equal(got[3].type, 'DownloadError');
  assert.match(got[3].message, /no cache/);
});

for (const worker of [false, true]) {
  test(`own headers go with every request for the model, and with no other${worker ? ', from a worker' : ''}`, async (t) => {
    const { server, page } = await setUp(t);
    await page.evaluate(async (worker) => {
      const clf = await webmamba.ImageClassifier.load('some/micro', { device: 'cpu', worker, baseUrl: '/hub', headers: { authorization: 'Bearer secret' } });
      await clf.classify('/images/coffee.png');
      await (await webmamba.ImageClassifier.load('some/micro', { device: 'cpu', worker, baseUrl: '/hub', headers: { authorization: 'Bearer secret' } })).dispose();
    }, worker);
    const told = (path) => server.seen(path).map(({ method, headers }) => `${method} ${headers.authorization}`);
    for (const name of ['config.json', 'model.safetensors']) {
      assert.deepEqual(told(`/hub/some/micro/resolve/main/${name}`), ['GET Bearer secret', 'HEAD Bearer secret'], name);
    }
    assert.deepEqual(server.requests.filter(({ path, headers }) => !path.startsWith('/hub/') && headers.authorization), []);
  });
}

test('a fetch of one\'s own brings the files of the model; it cannot go to a worker', async (t) => {
  const { page } = await setUp(t);
  const got = await page.evaluate(async () => {
    const asked = [];
    const own = (url, options) => {
      asked.push([options.method ?? 'GET', new URL(url).pathname, options.signal === null || options.signal instanceof AbortSignal]);
      return fetch(String(url).replace('/secret/', '/models/micro/'), options);
    };
    const clf = await webmamba.ImageClassifier.load('/secret/', { device: 'cpu', fetch: own });
    const { predictions } = await clf.classify(await picture('coffee.png'));
    return { asked, count: predictions.length, worker: await thrown(() => webmamba.ImageClassifier.load('/secret/', { fetch: own, worker: true })) };
  });
  assert.ok(got.asked.some(([, path]) => path === '/secret/model.safetensors') && got.asked.every(([, , signal]) => signal), JSON.stringify(got.asked));
  assert.equal(got.count, 5);
  assert.equal(got.worker.type, 'InvalidOptionError');
  assert.match(got.worker.message, /headers/);
});

test('a file that changed is fetched again, and those that differ in their parameters stay', async (t) => {
  const { server, page } = await setUp(t);
  const load = (version) => page.evaluate(async (version) => {
    const weights = `/models/micro/model.safetensors?version=${version}`;
    const clf = await webmamba.ImageClassifier.load({ weights, config: '/models/micro/config.json' }, { device: 'cpu' });
    await clf.dispose();
    return (await webmamba.cache.list()).map(({ url, bytes, total }) => [new URL(url).search, bytes === total]).filter(([search]) => search);
  }, version);
  await load(1);
  const both = [['?version=1', true], ['?version=2', true]];
  assert.deepEqual((await load(2)).sort(), both);
  const changed = Uint8Array.from(MICRO.weights);
  changed[changed.length - 1] ^= 1;
  server.file('/models/micro/model.safetensors', changed);
  server.forget();
  assert.deepEqual((await load(1)).sort(), both);
  const sent = server.seen('/models/micro/model.safetensors').reduce((sum, request) => sum + request.sent, 0);
  assert.equal(sent, changed.length);
});
