/** Many calls at once: the page stays alive, aborts are heard, and `dispose` waits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch, openPage, serve } from './support/browser.mjs';
import { checkpoint } from './support/checkpoint.mjs';

const MICRO = checkpoint('mambavision_micro');

async function setUp(t, options = {}) {
  const server = await serve(t);
  server.model('/models/micro', MICRO);
  return { server, page: await openPage(t, await launch(t), server, options) };
}

test('twenty calls at once on the CPU: timers run in between, so that an abort can come', async (t) => {
  const { page } = await setUp(t);
  const got = await page.evaluate(async () => {
    const clf = await webmamba.ImageClassifier.load('mamba_vision_nano', { device: 'cpu' });
    const bitmap = await createImageBitmap(await picture('coffee.png'));
    await clf.classify(bitmap);
    let start = performance.now();
    await clf.classify(bitmap);
    const one = performance.now() - start;
    start = performance.now();
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const all = await Promise.all(Array.from({ length: 20 }, () => clf.classify(bitmap)));
    clearInterval(timer);
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 2 * one);
    const ends = await Promise.all(Array.from({ length: 20 }, () => clf.classify(bitmap, { signal: stop.signal }).then(() => 'done', ({ name }) => name)));
    const tops = new Set(all.map(({ predictions }) => JSON.stringify(predictions)));
    return { ticks, ends, different: tops.size };
  });
  assert.equal(got.different, 1);
  // Less than one a call: several calls may fit between two runs of a timer.
  assert.ok(got.ticks >= 5, `the timer ran ${got.ticks} times`);
  assert.ok(got.ends.filter((end) => end === 'AbortError').length >= 10, got.ends.join());
});

for (const [device, worker] of [['cpu', false], ['cpu', true], ['webgpu', false], ['webgpu', true]]) {
  test(`aborted calls end at once and never run, on ${device}${worker ? ' in a worker' : ''}`, async (t) => {
    const { page } = await setUp(t);
    const got = await page.evaluate(async ([device, worker]) => {
      const clf = await webmamba.ImageClassifier.load('/models/micro/', { device, worker });
      const bitmap = await createImageBitmap(await picture('coffee.png'));
      await clf.classify(bitmap);
      let start = performance.now();
      await clf.classify(bitmap);
      const one = performance.now() - start;
      const stop = new AbortController();
      start = performance.now();
      const calls = Array.from({ length: 40 }, () => clf.classify(bitmap, { signal: stop.signal }).catch((error) => error.name));
      setTimeout(() => stop.abort(), 5);
      const ends = await Promise.all(calls);
      const ended = performance.now() - start;
      await clf.classify(bitmap);
      const next = performance.now() - start;
      return { one, ended, next, aborted: ends.filter((end) => end === 'AbortError').length };
    }, [device, worker]);
    assert.ok(got.aborted >= 20, JSON.stringify(got));
    // Each of the forty would take as long as the one; some ran before the abort came.
    assert.ok(got.next < (42 - got.aborted) * got.one + 40 * got.one * 0.5 + 100, JSON.stringify(got));
  });
}

for (const worker of [false, true]) {
  test(`\`dispose\` waits for calls that have begun, also such as still decode${worker ? ', in a worker' : ''}`, async (t) => {
    const { page } = await setUp(t);
    const got = await page.evaluate(async (worker) => {
      const clf = await webmamba.ImageClassifier.load('/models/micro/', { device: 'cpu', worker });
      const calls = [clf.classify('/images/coffee.png'), clf.features('/images/chelsea.png'), clf.classify(await picture('astronaut.png')), clf.profile()];
      const order = [];
      const ends = Promise.all(calls.map((call) => call.then(() => 'done', ({ name }) => name))).then((ends) => (order.push('calls'), ends));
      const disposed = clf.dispose().then(() => order.push('dispose'));
      const late = await thrown(() => clf.classify('/images/coffee.png'));
      await disposed;
      await clf.dispose();
      return { ends: await ends, order, late: late?.type };
    }, worker);
    assert.deepEqual(got, { ends: ['done', 'done', 'done', 'done'], order: ['calls', 'dispose'], late: 'DisposedError' });
  });
}

test('a video ends with a DisposedError when the classifier is disposed, also while it waits and before it begins', async (t) => {
  const { page } = await setUp(t);
  const got = await page.evaluate(async () => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 64 });
    const context = canvas.getContext('2d');
    setInterval(() => {
      context.fillStyle = `hsl(${Math.random() * 360} 80% 50%)`;
      context.fillRect(0, 0, 64, 64);
    }, 30);
    const video = Object.assign(document.createElement('video'), { muted: true, srcObject: canvas.captureStream() });
    await video.play();
    const load = () => webmamba.ImageClassifier.load('/models/micro/', { device: 'cpu' });
    const watch = (clf) => thrown(async () => {
      for await (const { frame } of clf.classifyVideo(video)) if (frame === 3) void clf.dispose();
    });
    const running = await watch(await load());
    const gone = await load();
    await gone.dispose();
    const before = await watch(gone);
    video.pause();
    const waiting = await load();
    setTimeout(() => waiting.dispose(), 300);
    return [running, before, await watch(waiting)].map((error) => error?.type);
  });
  assert.deepEqual(got, ['DisposedError', 'DisposedError', 'DisposedError']);
});

for (const worker of [false, true]) {
  test(`an abort is heard at once in every phase of a load${worker ? ' in a worker' : ''}, and leaves nothing behind`, async (t) => {
    const { page } = await setUp(t);
    for (const phase of ['upload', 'compile', 'warmup', 'ready']) {
      const got = await page.evaluate(async ([phase, worker]) => {
        const stop = new AbortController();
        let aborted = 0;
        const late = [];
        const onProgress = (event) => {
          if (aborted) late.push(event.phase);
          if (event.phase === phase && !aborted) {
            aborted = performance.now();
            stop.abort();
          }
        };
        const error = await thrown(() => webmamba.ImageClassifier.load('mamba_vision_nano', { device: 'webgpu', worker, signal: stop.signal, onProgress }));
        return { name: error?.name, time: performance.now() - aborted, late };
      }, [phase, worker]);
      t.diagnostic(`${phase}: ${got.time.toFixed(0)} ms`);
      assert.equal(got.name, 'AbortError', phase);
      assert.deepEqual(got.late, [], phase);
      // One kernel at most; the whole phase takes seconds on this adapter.
      assert.ok(got.time < 1500, `${phase}: ${got.time} ms`);
    }
    const score = await page.evaluate(async () => {
      const clf = await webmamba.ImageClassifier.load('/models/micro/', { device: 'webgpu' });
      return (await clf.classify(await picture('coffee.png'))).predictions[0].score;
    });
    assert.ok(score > 0);
  });
}
