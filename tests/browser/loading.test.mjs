/** Downloads: progress, interruptions, the cache, and all places that a model can come from. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { launch, openPage, serve } from './support/browser.mjs';
import { checkpoint } from './support/checkpoint.mjs';
import { FIXTURES } from './support/paths.mjs';

const MICRO = checkpoint('mambavision_micro');
const SIZE = MICRO.weights.length;
const FILE = '/models/micro/model.safetensors';

/** A page, and a server that has the micro model in `/models/micro`. */
async function setUp(t, { allowErrors = false } = {}) {
  const server = await serve(t);
  server.model('/models/micro', MICRO);
  const page = await openPage(t, await launch(t), server, { allowErrors });
  return { server, page };
}

/** Loads, classifies a photograph, and gives back the predictions. */
function classify(page, source, options = {}) {
  return page.evaluate(async ([source, options]) => {
    const clf = await webmamba.ImageClassifier.load(source, options);
    const { predictions } = await clf.classify(await picture('coffee.png'));
    await clf.dispose();
    return predictions;
  }, [source, options]);
}

const bodies = (server) => server.seen(FILE).filter(({ method, status }) => method === 'GET' && status < 300);
const sent = (server) => bodies(server).reduce((sum, { sent }) => sum + sent, 0);

for (const device of ['webgpu', 'cpu']) {
  for (const worker of [false, true]) {
    test(`progress on ${device}${worker ? ' in a worker' : ''}: phases in order, numbers that only grow`, async (t) => {
      const { page } = await setUp(t);
      const events = await page.evaluate(async ([device, worker]) => {
        const events = [];
        const clf = await webmamba.ImageClassifier.load('/models/micro/', { device, worker, onProgress: (event) => events.push(event) });
        await clf.dispose();
        return events;
      }, [device, worker]);
      const order = ['download', 'upload', 'compile', 'warmup', 'ready'];
      const phases = [...new Set(events.map(({ phase }) => phase))];
      assert.deepEqual(phases, order.filter((phase) => phases.includes(phase)));
      // On the CPU nothing is uploaded, and compiling is nothing.
      const needed = device === 'webgpu' ? order : ['download', 'warmup', 'ready'];
      for (const phase of needed) assert.ok(phases.includes(phase), `no ${phase}`);
      for (const phase of phases) {
        const mine = events.filter((event) => event.phase === phase);
        mine.reduce((before, event) => {
          assert.ok(event.loaded >= before.loaded && event.total >= before.total && event.loaded <= event.total, JSON.stringify([before, event]));
          return event;
        });
        assert.equal(mine.at(-1).loaded, mine.at(-1).total, `${phase} does not end complete`);
      }
      assert.equal(events.at(-1).phase, 'ready');
      const downloads = events.filter(({ phase }) => phase === 'download');
      assert.equal(downloads.at(-1).total, SIZE);
      assert.ok(downloads.every(({ file }) => file === 'model.safetensors'));
      if (device === 'webgpu') assert.ok(events.filter(({ phase }) => phase === 'compile').at(-1).total > 10);
    });
  }
}

test('an abort in the middle of a download is an AbortError, and the next load goes on from there', async (t) => {
  const { server, page } = await setUp(t);
  const want = await classify(page, '/models/micro/', { device: 'cpu', cache: false });
  server.forget();
  server.behave(FILE, { stallAfter: SIZE / 2 });
  const error = await page.evaluate((half) => thrown(() => {
    const stop = new AbortController();
    const onProgress = ({ phase, loaded }) => phase === 'download' && loaded >= half && stop.abort();
    return webmamba.ImageClassifier.load('/models/micro/', { device: 'cpu', signal: stop.signal, onProgress });
  }), Math.floor(SIZE / 2));
  assert.equal(error?.name, 'AbortError');
  assert.equal(error.type, 'DOMException');
  assert.equal(bodies(server).length, 1);

  server.behave(FILE, {});
  server.forget();
  assert.deepEqual(await classify(page, '/models/micro/', { device: 'cpu' }), want);
  assert.equal(bodies(server).length, 1);
  const [{ range, status, sent: rest }] = bodies(server);
  assert.equal(status, 206);
  assert.match(range, /^bytes=\d+-$/);
  assert.ok(rest <= SIZE * 0.55, `${rest} of ${SIZE} bytes were sent again`);
  assert.equal(Number(/\d+/.exec(range)[0]) + rest, SIZE);
});

test('an abort ends a load in every phase, and with the reason that was given', async (t) => {
  const { page } = await setUp(t);
  for (const worker of [false, true]) {
    for (const phase of ['download', 'upload', 'compile', 'warmup']) {
      const { error, reason } = await page.evaluate(async ([phase, worker]) => {
        const stop = new AbortController();
        const onProgress = (event) => event.phase === phase && stop.abort();
        const error = await thrown(() => webmamba.ImageClassifier.load('/models/micro/', { device: 'webgpu', worker, signal: stop.signal, onProgress }));
        const late = new AbortController();
        late.abort(new TypeError('no more'));
        return { error, reason: await thrown(() => webmamba.ImageClassifier.load('/models/micro/', { worker, signal: late.signal })) };
      }, [phase, worker]);
      assert.equal(error?.name, 'AbortError', `${phase}, ${worker}`);
      assert.equal(reason.message, 'no more');
    }
  }
});

test('a second load takes nothing from the network but headers', async (t) => {
  const { server, page } = await setUp(t);
  const want = await classify(page, '/models/micro/', { device: 'cpu' });
  assert.equal(sent(server), SIZE);
  server.forget();
  assert.deepEqual(await classify(page, '/models/micro/', { device: 'cpu' }), want);
  assert.equal(sent(server), 0);
  // Another page of the same origin, and one in a worker.
  assert.deepEqual(await classify(page, '/models/micro/', { device: 'cpu', worker: true }), want);
  assert.equal(sent(server), 0);
});

test('without a server the cache is enough', async (t) => {
  const { server, page } = await setUp(t, { allowErrors: true });
  const want = await classify(page, '/models/micro/', { device: 'cpu' });
  for (const file of [FILE, '/models/micro/config.json']) server.behave(file, { status: 503 });
  assert.deepEqual(await classify(page, '/models/micro/', { device: 'cpu' }), want);
});

test('a file that changed on the server is downloaded anew', async (t) => {
  const { server, page } = await setUp(t);
  await classify(page, '/models/micro/', { device: 'cpu' });
  server.forget();
  server.behave(FILE, { etag: 'another' });
  await classify(page, '/models/micro/', { device: 'cpu' });
  assert.equal(sent(server), SIZE);
  server.forget();
  await classify(page, '/models/micro/', { device: 'cpu' });
  assert.equal(sent(server), 0, 'the new version was not kept');
});

test('half a file of an old version is not continued with a new one', async (t) => {
  const { server, page } = await setUp(t);
  server.behave(FILE, { stallAfter: SIZE / 2 });
  const aborted = await page.evaluate((half) => thrown(() => {
    const stop = new AbortController();
    const onProgress = ({ phase, loaded }) => phase === 'download' && loaded >= half && stop.abort();
    return webmamba.ImageClassifier.load('/models/micro/', { device: 'cpu', signal: stop.signal, onProgress });
  }), Math.floor(SIZE / 2));
  assert.equal(aborted?.name, 'AbortError');
  const other = checkpoint('mila_micro');
  server.behave(FILE, {});
  server.model('/models/micro', other);
  server.forget();
  await classify(page, '/models/micro/', { device: 'cpu' });
  assert.equal(sent(server), other.weights.length);
});

test('`cache: false` keeps nothing', async (t) => {
  const { server, page } = await setUp(t);
  for (let i = 0; i < 2; i++) await classify(page, '/models/micro/', { device: 'cpu', cache: false });
  assert.equal(sent(server), 2 * SIZE);
  assert.deepEqual(await page.evaluate(async () => (await caches.keys()).length), 0);
});

test('a connection that breaks is taken up again', async (t) => {
  // The browser reports each broken answer in its console.
  const { server, page } = await setUp(t, { allowErrors: true });
  const want = await classify(page, '/models/micro/', { device: 'cpu', cache: false });
  server.forget();
  server.behave(FILE, { cutAfter: SIZE / 4, cuts: 2 });
  assert.deepEqual(await classify(page, '/models/micro/', { device: 'cpu', cache: false }), want);
  const ranges = bodies(server).map(({ range }) => range);
  assert.equal(ranges.length, 3);
  assert.equal(ranges[0], undefined);
  assert.ok(ranges.slice(1).every((range) => /^bytes=[1-9]\d*-$/.test(range)), ranges.join());
  assert.ok(sent(server) < SIZE * 1.2);
});

test('a server that is away for a moment is asked again', async (t) => {
  const { server, page } = await setUp(t, { allowErrors: true });
  const want = await classify(page, '/models/micro/', { device: 'cpu', cache: false });
  server.forget();
  server.behave(FILE, { cutAfter: SIZE / 2, cuts: 1, away: 1500 });
  assert.deepEqual(await classify(page, '/models/micro/', { device: 'cpu', cache: false }), want);
});

test('slow servers, and such as know neither length nor ranges', async (t) => {
  const { server, page } = await setUp(t);
  const want = await classify(page, '/models/micro/', { device: 'cpu', cache: false });
  server.behave(FILE, { bytesPerSecond: SIZE });
  assert.deepEqual(await classify(page, '/models/micro/', { device: 'cpu', cache: false }), want);
  server.behave(FILE, { length: false, ranges: false });
  for (let i = 0; i < 2; i++) assert.deepEqual(await classify(page, '/models/micro/', { device: 'cpu' }), want);
});

test('a hub id is resolved below `baseUrl`, with its revision', async (t) => {
  const { server, page } = await setUp(t);
  server.model('/hub/nvidia/MambaVision-Micro/resolve/main', MICRO);
  server.model('/hub/nvidia/MambaVision-Micro/resolve/v2', MICRO);
  const want = await classify(page, '/models/micro/', { device: 'cpu' });
  for (const [baseUrl, revision, part] of [['/hub', undefined, 'main'], [`${server.url('/hub/')}`, 'v2', 'v2']]) {
    server.forget();
    const base = new URL(baseUrl, server.url('/')).href;
    const options = { device: 'cpu', baseUrl: base, ...(revision && { revision }) };
    assert.deepEqual(await classify(page, 'nvidia/MambaVision-Micro', options), want);
    assert.ok(server.seen(`/hub/nvidia/MambaVision-Micro/resolve/${part}/model.safetensors`).length > 0);
  }
});

test('repositories without a usual file are known', async (t) => {
  const { server, page } = await setUp(t);
  const want = await classify(page, '/models/micro/', { device: 'cpu', cache: false });
  const file = '/hub/hustvl/Vim-tiny-midclstok/resolve/main/vim_t_midclstok_76p1acc.pth';
  server.file(file, MICRO.weights);
  server.file(file.replace(/[^/]*$/, 'config.json'), MICRO.config);
  assert.deepEqual(await classify(page, 'hustvl/Vim-tiny-midclstok', { device: 'cpu', baseUrl: server.url('/hub') }), want);
  assert.ok(server.seen(file).length > 0);
});

test('a hub on another site that redirects to a third one', async (t) => {
  const { page } = await setUp(t, { allowErrors: true });
  const [hub, store] = [await serve(t), await serve(t)];
  hub.model('/some/micro/resolve/main', MICRO);
  store.model('/blobs', MICRO);
  hub.behave('/some/micro/resolve/main/model.safetensors', { redirect: store.url('/blobs/model.safetensors') });
  store.behave('/blobs/model.safetensors', { cutAfter: SIZE / 3, cuts: 1 });
  const options = { device: 'cpu', baseUrl: hub.url('').replace('localhost', '127.0.0.1') };
  const want = await classify(page, '/models/micro/', { device: 'cpu' });
  const bodies = () => store.seen('/blobs/model.safetensors').filter(({ method }) => method === 'GET');
  assert.deepEqual(await classify(page, 'some/micro', options), want);
  assert.deepEqual(bodies().map(({ status }) => status), [200, 206]);
  assert.deepEqual(await classify(page, 'some/micro', options), want);
  assert.equal(bodies().length, 2, 'the second load did not take the file from the cache');
  const asked = [...hub.requests, ...store.requests].filter(({ method }) => method === 'OPTIONS');
  assert.deepEqual(asked, [], 'there are headers that other sites must allow');
});

test('compressed answers', async (t) => {
  const { server, page } = await setUp(t);
  const want = await classify(page, '/models/micro/', { device: 'cpu', cache: false });
  for (const file of [FILE, '/models/micro/config.json']) server.behave(file, { gzip: true });
  for (let i = 0; i < 2; i++) assert.deepEqual(await classify(page, '/models/micro/', { device: 'cpu' }), want);
});

test('files of the user: File, Blob, ArrayBuffer, bytes and addresses', async (t) => {
  const { page } = await setUp(t);
  const all = await page.evaluate(async (config) => {
    const weights = await (await fetch('/models/micro/model.safetensors')).blob();
    const bytes = await weights.arrayBuffer();
    const sources = {
      folder: '/models/micro', folderUrl: new URL('/models/micro/', location.href),
      file: { weights: new File([weights], 'own.safetensors'), config: new File([JSON.stringify(config)], 'config.json') },
      blob: { weights, config },
      buffer: { weights: bytes, config: JSON.stringify(config) },
      bytes: { weights: new Uint8Array(bytes), config: new TextEncoder().encode(JSON.stringify(config)) },
      addresses: { weights: '/models/micro/model.safetensors', config: new URL('/models/micro/config.json', location.href) },
    };
    const all = {};
    for (const [kind, source] of Object.entries(sources)) {
      for (const worker of [false, true]) {
        const clf = await webmamba.ImageClassifier.load(source, { device: 'cpu', worker, cache: false });
        all[`${kind}${worker ? ' in a worker' : ''}`] = (await clf.classify(await picture('coffee.png'))).predictions;
        await clf.dispose();
      }
    }
    return all;
  }, MICRO.config);
  const [want, ...rest] = Object.entries(all);
  for (const [kind, got] of rest) assert.deepEqual(got, want[1], kind);
  assert.equal(rest.length, 13);
});

test('a preprocessor config beside a config that does not say how pixels are scaled', async (t) => {
  const { server, page } = await setUp(t);
  const { mean, std, ...bare } = MICRO.config;
  server.model('/models/bare', { ...MICRO, config: bare });
  const path = '/models/bare/preprocessor_config.json';
  server.file(path, { image_mean: mean, image_std: std });
  assert.deepEqual(await classify(page, '/models/bare/'), await classify(page, '/models/micro/'));
  assert.equal(server.seen(path).length, 1);
  // Where the config says all, nobody asks for another file, which might not be there.
  assert.equal(server.seen('/models/micro/preprocessor_config.json').length, 0);
});

test('labels and size of the user', async (t) => {
  const { page } = await setUp(t);
  const { labels, size, predictions } = await page.evaluate(async () => {
    const labels = Array.from({ length: 10 }, (_, i) => `class ${i}`);
    const clf = await webmamba.ImageClassifier.load('/models/micro/', { device: 'cpu', labels, size: [96, 80] });
    const { predictions } = await clf.classify(await picture('coffee.png'), { topK: 3, threshold: 0.01 });
    const { labels: known, size } = clf.info;
    await clf.dispose();
    return { labels: known, size, predictions };
  });
  assert.equal(labels[9], 'class 9');
  assert.deepEqual(size, [96, 80]);
  assert.ok(predictions.length <= 3 && predictions.every(({ index, label, score }) => label === `class ${index}` && score >= 0.01));
});

test('info of a built-in model tells its name and the terms of its images', async (t) => {
  const { page } = await setUp(t);
  for (const model of ['mamba_vision_nano', 'mila_nano']) {
    const { name, licence } = await page.evaluate(async (model) => {
      const clf = await webmamba.ImageClassifier.load(model, { device: 'cpu' });
      const { name, licence } = clf.info;
      await clf.dispose();
      return { name, licence };
    }, model);
    assert.equal(name, model);
    assert.match(licence, /Tiny-ImageNet/);
  }
});

test('info says what is known of the model and its device', async (t) => {
  const { page } = await setUp(t);
  for (const device of ['webgpu', 'cpu']) {
    const info = await page.evaluate(async (device) => {
      const clf = await webmamba.ImageClassifier.load('/models/micro/', { device });
      const info = { ...clf.info, memory: { ...clf.info.memory } };
      await clf.dispose();
      return info;
    }, device);
    assert.equal(info.parameters, 677_402);
    assert.equal(info.classes, 10);
    assert.deepEqual(info.size, [64, 64]);
    assert.ok(info.macs > 1e6 && info.dispatches > 10);
    assert.ok(info.memory.weights > 2e6 && info.memory.activations > 1e4 && info.memory.wasm > 1e6, JSON.stringify(info.memory));
    assert.equal(typeof info.licence, 'string');
    assert.equal(info.device.kind, device);
    assert.equal(info.device.fallback, device === 'webgpu');
    assert.equal(info.device.subgroups, device === 'webgpu');
    if (device === 'webgpu') assert.match(info.device.adapter, /swiftshader/i);
  }
});

test('a genuine torch file of another network is told so, in a sentence', async (t) => {
  const { server, page } = await setUp(t);
  server.file('/state_dict.pth.tar', readFileSync(join(FIXTURES, 'pth/state_dict.pth.tar')));
  const error = await page.evaluate(() => thrown(() => webmamba.ImageClassifier.load('/state_dict.pth.tar')));
  assert.equal(error?.type, 'UnsupportedCheckpointError');
});
