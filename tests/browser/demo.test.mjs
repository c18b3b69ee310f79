/** The demo page with a fake camera. Screenshots of everything go to `target/browser/screenshots`: look at them. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkpoint } from './support/checkpoint.mjs';
import { CAMERA, openDemo, SCREENSHOTS, WAIT } from './support/demo.mjs';
import { IMAGES } from './support/paths.mjs';

const number = async (locator) => Number.parseFloat((await locator.textContent()).replace(',', '.'));

test('the camera: labels appear, frames are counted, stop gives it back', async (t) => {
  const { page, by, ready, topIs, tracks, shot } = await openDemo(t);
  await ready();
  await shot('ready');
  await by('start-camera').click();
  await topIs('cup');
  await shot('camera');
  const readings = new Set();
  for (let i = 0; i < 12; i++) {
    readings.add(await by('fps').textContent());
    await page.waitForTimeout(250);
  }
  assert.ok(readings.size > 1, `frames a second stand still: ${[...readings]}`);
  const fps = await number(by('fps'));
  const latency = await number(by('latency'));
  t.diagnostic(`${fps} frames a second, ${latency} ms a picture`);
  assert.ok(fps > 0.3 && fps <= 62, String(fps));
  assert.ok(latency > 0);
  // The film goes on to somebody at the camera.
  await topIs('person');
  await shot('person');
  assert.deepEqual(await tracks(), ['live']);
  await by('stop-camera').click();
  await page.waitForFunction(() => document.querySelector('#stage').dataset.source === 'none');
  assert.deepEqual(await tracks(), ['ended']);
  assert.equal(await page.evaluate(() => document.querySelector('video').srcObject), null);
  await by('start-camera').click();
  await topIs();
  assert.deepEqual(await tracks(), ['ended', 'live']);
});

test('the list of cameras, and front or back', async (t) => {
  const { page, by, ready, topIs, tracks } = await openDemo(t);
  await ready();
  await by('start-camera').click();
  await topIs();
  assert.ok((await by('camera-select').locator('option').count()) >= 1);
  await by('flip-camera').click();
  await page.waitForFunction(() => streams.length === 2);
  await topIs();
  const states = await tracks();
  assert.deepEqual(states, ['ended', 'live']);
});

test('sample pictures: the cat is a cat, the cup a cup and the astronaut a person, and each has an answer', async (t) => {
  const { page, by, ready, topIs, top, shot } = await openDemo(t);
  await ready();
  for (const name of ['chelsea', 'astronaut', 'coffee']) {
    await by(`sample-${name}`).click();
    await topIs({ chelsea: 'cat', coffee: 'cup', astronaut: 'person' }[name]);
    await page.waitForFunction(() => document.body.dataset.state === 'ready', undefined, WAIT);
    t.diagnostic(`${name}: ${await top()}`);
    assert.equal(await by(`sample-${name}`).getAttribute('aria-pressed'), 'true');
  }
  const scores = await by('predictions').locator('.score').allTextContents();
  assert.equal(scores.length, 5);
  await shot('coffee');
  // A screen reader is told, too.
  await page.waitForFunction(() => /cup/.test(document.querySelector('#announcer').textContent), undefined, WAIT);
});

test('the heat map covers the picture, and goes away', async (t) => {
  const { page, by, ready, topIs, shot } = await openDemo(t);
  await ready();
  await by('sample-coffee').click();
  await topIs('cup');
  await by('heatmap-toggle').check();
  const painted = () => page.evaluate(() => {
    const canvas = document.querySelector('#heatmap');
    if (canvas.hidden || !canvas.width) return 0;
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const alphas = new Set(data.filter((_, i) => i % 4 === 3));
    return alphas.size;
  });
  await page.waitForFunction(() => !document.querySelector('#heatmap').hidden, undefined, WAIT);
  await page.waitForTimeout(500);
  assert.ok((await painted()) > 10, 'the heat map is flat');
  await shot('heatmap');
  await by('heatmap-toggle').uncheck();
  await page.waitForFunction(() => document.querySelector('#heatmap').hidden, undefined, WAIT);
});

test('the profile lists the layers', async (t) => {
  const { page, by, ready, topIs, shot } = await openDemo(t, { drawer: true });
  await ready();
  await by('sample-coffee').click();
  await topIs('cup');
  await by('profile-toggle').check();
  await page.waitForFunction(() => document.querySelectorAll('#profile tbody tr').length >= 10, undefined, WAIT);
  assert.match(await by('profile').textContent(), /ms/);
  await by('profile').scrollIntoViewIfNeeded();
  await shot('profile');
});

test('another model, another device, and without the worker', async (t) => {
  const { page, by, ready, topIs, shot } = await openDemo(t, { drawer: true });
  await ready();
  await by('sample-coffee').click();
  await topIs();
  assert.equal(await by('adapter-badge').getAttribute('data-kind'), 'cpu');
  await by('model-select').selectOption('mila_nano');
  await page.waitForFunction(() => document.body.dataset.state === 'loading', undefined, WAIT).catch(() => undefined);
  await ready();
  await topIs();
  await by('device-select').selectOption('webgpu');
  await page.waitForFunction(() => document.querySelector('#adapter-badge').dataset.kind === 'software', undefined, WAIT);
  await topIs();
  await by('worker-toggle').uncheck();
  await ready();
  await topIs();
  await shot('webgpu');
  const { searchParams } = new URL(page.url());
  assert.deepEqual([searchParams.get('model'), searchParams.get('device'), searchParams.get('worker')], ['mila_nano', 'webgpu', '0']);
});

test('the camera on WebGPU in a worker', async (t) => {
  const { page, by, ready, topIs, shot } = await openDemo(t, { query: '?device=webgpu' });
  await ready();
  await by('heatmap-toggle').check();
  await by('start-camera').click();
  await topIs('cup');
  await page.waitForFunction(() => Number.parseFloat(document.querySelector('#fps').textContent) > 0, undefined, WAIT);
  t.diagnostic(`${await by('fps').textContent()} frames a second, ${await by('latency').textContent()} ms a picture`);
  await shot('camera-webgpu');
});

test('own files: a picture, weights with their config, and something else', async (t) => {
  const { page, by, ready, topIs, shot } = await openDemo(t, { allowErrors: true });
  await ready();
  await by('file-input').setInputFiles(join(IMAGES, 'coffee.png'));
  await topIs('cup');
  const { config, weights } = checkpoint('mambavision_micro');
  await by('file-input').setInputFiles([
    { name: 'own.safetensors', mimeType: 'application/octet-stream', buffer: Buffer.from(weights) },
    { name: 'config.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(config)) },
  ]);
  await page.waitForFunction(() => /^\d$/.test(document.querySelector('#predictions .label')?.textContent ?? ''), undefined, WAIT);
  await shot('own-weights');
  await by('file-input').setInputFiles({ name: 'notes.safetensors', mimeType: 'application/octet-stream', buffer: Buffer.from('nothing of use') });
  await by('error').waitFor({ state: 'visible', ...WAIT });
  assert.match(await by('error').textContent(), /cannot be read/);
  await shot('bad-weights');
  await by('error').locator('[data-action=builtin]').click();
  await topIs('cup');
  assert.equal(await by('error').isVisible(), false);
});

test('a phone: everything fits, the camera works', async (t) => {
  const { page, by, ready, topIs, shot } = await openDemo(t, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  await ready();
  const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  assert.ok(await fits(), 'the page scrolls sideways');
  await by('start-camera').tap();
  await topIs('cup');
  assert.ok(await fits(), 'the page scrolls sideways');
  await shot('phone');
  await page.screenshot({ path: join(SCREENSHOTS, 'phone-whole.png'), fullPage: true, animations: 'disabled' });
});

test('a dark screen, and by keyboard alone', async (t) => {
  const { page, by, ready, topIs, shot } = await openDemo(t, { colorScheme: 'dark' });
  await ready();
  for (let i = 0; i < 30; i++) {
    await page.keyboard.press('Tab');
    if (await page.evaluate(() => document.activeElement.dataset.testid === 'start-camera')) break;
  }
  await page.keyboard.press('Enter');
  await topIs('cup');
  await shot('dark');
  assert.equal(await page.evaluate(() => document.activeElement.dataset.testid), 'stop-camera');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('#stage').dataset.source === 'none');
});

test('a hidden tab pauses', async (t) => {
  const { page, by, ready, topIs } = await openDemo(t);
  await ready();
  await by('start-camera').click();
  await topIs();
  const hide = (hidden) => page.evaluate((hidden) => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);
  await hide(true);
  await page.waitForFunction(() => /paused/i.test(document.querySelector('#status').textContent));
  assert.equal(await page.evaluate(() => document.querySelector('video').paused), true);
  await hide(false);
  await page.waitForFunction(() => !document.querySelector('video').paused && /watching/.test(document.querySelector('#status').textContent), undefined, WAIT);
});

test('no camera where the browser says that none faces the right way, as WebKit does', async (t) => {
  const { page, by, ready } = await openDemo(t, { allowErrors: true });
  await ready();
  await page.evaluate(() => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('Invalid constraint', 'OverconstrainedError'));
    navigator.mediaDevices.enumerateDevices = () => Promise.resolve([]);
  });
  await by('start-camera').click();
  await page.waitForFunction(() => !document.querySelector('#error').hidden, undefined, WAIT);
  assert.match(await by('error').textContent(), /There is no camera/);
});

test('a camera that is denied', async (t) => {
  const { by, ready, topIs, shot } = await openDemo(t, { flags: [CAMERA, '--deny-permission-prompts'], allowErrors: true });
  await ready();
  await by('start-camera').click();
  await by('error').waitFor({ state: 'visible', ...WAIT });
  assert.match(await by('error').textContent(), /camera is not allowed/i);
  await shot('camera-denied');
  await by('sample-coffee').click();
  await topIs('cup');
});

test('no WebGPU: asked for, it is explained, and the CPU is one click away', async (t) => {
  const { by, ready, topIs, shot } = await openDemo(t, { query: '?device=webgpu', webgpu: false, allowErrors: true });
  await by('error').waitFor({ state: 'visible', ...WAIT });
  assert.match(await by('error').textContent(), /WebGPU is not available here/);
  await shot('no-webgpu');
  await by('error').locator('[data-action=cpu]').click();
  await ready();
  await by('sample-coffee').click();
  await topIs('cup');
  assert.equal(await by('adapter-badge').getAttribute('data-kind'), 'cpu');
});

test('a model that is not there, and one that is slow and cancelled', async (t) => {
  const { server, page, by, ready, topIs, shot } = await openDemo(t, { query: '?model=nobody/nothing&hub=/hub', drawer: true, allowErrors: true });
  await by('error').waitFor({ state: 'visible', ...WAIT });
  assert.match(await by('error').textContent(), /download failed.*404/is);
  await shot('download-failed');
  server.model('/hub/some/micro/resolve/main', checkpoint('mambavision_micro'));
  server.behave('/hub/some/micro/resolve/main/model.safetensors', { bytesPerSecond: 100_000 });
  await by('hub-id').fill('some/micro');
  await by('hub-id').press('Enter');
  await page.waitForFunction(() => /%/.test(document.querySelector('#status').textContent), undefined, WAIT);
  await shot('downloading');
  await by('cancel-load').click();
  await by('error').waitFor({ state: 'visible', ...WAIT });
  assert.match(await by('error').textContent(), /cancelled/);
  server.behave('/hub/some/micro/resolve/main/model.safetensors', {});
  await by('error').locator('[data-action=again]').click();
  await ready();
  await by('sample-coffee').click();
  await topIs();
});

test('while the camera shows 1,000 frames, nothing is left behind', async (t) => {
  const { page, by, ready, topIs } = await openDemo(t, { query: '?worker=0' });
  await ready();
  await by('heatmap-toggle').check();
  await by('start-camera').click();
  await topIs();
  const session = await page.context().newCDPSession(page);
  await page.evaluate(async () => {
    globalThis.shown = 0;
    new MutationObserver(() => shown++).observe(document.querySelector('#latency'), { childList: true, characterData: true, subtree: true });
  });
  const quality = () => page.evaluate(() => document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames);
  // With the camera stopped: while it runs, a frame of a megabyte may or may not be on its way.
  const stopAndMeasure = async () => {
    await by('stop-camera').click();
    await page.waitForFunction(() => document.querySelector('#stage').dataset.source === 'none');
    await page.waitForTimeout(500);
    await session.send('HeapProfiler.collectGarbage');
    const { usedSize, embedderHeapUsedSize = 0, backingStorageSize = 0 } = await session.send('Runtime.getHeapUsage');
    return { heap: usedSize + embedderHeapUsedSize, buffers: backingStorageSize, wasm: await page.evaluate(() => wasm.buffer.byteLength) };
  };
  await page.waitForTimeout(3000);
  const before = await stopAndMeasure();
  await by('start-camera').click();
  await topIs();
  const first = await quality();
  const until = Date.now() + 120_000;
  while ((await quality()) - first < 1000) {
    assert.ok(Date.now() < until, `the camera showed ${(await quality()) - first} frames in two minutes`);
    await page.waitForTimeout(500);
  }
  const after = await stopAndMeasure();
  t.diagnostic(`${JSON.stringify(before)}, then ${JSON.stringify(after)}; ${await page.evaluate(() => shown)} changes of the shown latency`);
  assert.ok((await page.evaluate(() => shown)) > 10);
  assert.equal(after.wasm, before.wasm);
  assert.ok(after.heap - before.heap < 1e6, 'the heap grew');
  assert.ok(after.buffers - before.buffers < 1e6, 'buffers grew');
});
