/** Pictures from wherever pages have them, and one rule for transparency, profiles and orientation. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { launch, openPage, serve } from './support/browser.mjs';
import { checkpoint } from './support/checkpoint.mjs';
import { IMAGES } from './support/paths.mjs';

const MICRO = checkpoint('mambavision_micro');
const ROCKET = readFileSync(join(IMAGES, 'rocket.jpg'));

/** A page with `scores(source, options)`: what the micro model says, by class. */
async function setUp(t, { allowErrors = false, device = 'cpu', worker = false } = {}) {
  const server = await serve(t);
  server.model('/models/micro', MICRO);
  const page = await openPage(t, await launch(t), server, { allowErrors });
  await page.evaluate(async ([device, worker]) => {
    globalThis.clf = await webmamba.ImageClassifier.load('/models/micro/', { device, worker });
    globalThis.scores = async (source) => {
      const { predictions } = await clf.classify(source, { topK: 10 });
      return predictions.sort((a, b) => a.index - b.index).map(({ score }) => score);
    };
  }, [device, worker]);
  return { server, page };
}

function assertClose(got, want, limit, what) {
  const worst = Math.max(...got.map((value, i) => Math.abs(value - want[i])));
  assert.ok(worst <= limit, `${what}: ${worst} apart`);
}

/** Without its colour profile, and with an orientation. */
function jpeg({ profile = true, orientation }) {
  const parts = [ROCKET.subarray(0, 2)];
  if (orientation) {
    const exif = Buffer.from('457869660000' + '4d4d002a00000008' + '0001' + '0112000300000001' + `000${orientation}0000` + '00000000', 'hex');
    const head = Buffer.from([0xff, 0xe1, 0, 0]);
    head.writeUInt16BE(exif.length + 2, 2);
    parts.push(head, exif);
  }
  let at = 2;
  while (ROCKET[at + 1] !== 0xda) {
    const end = at + 2 + ROCKET.readUInt16BE(at + 2);
    const marker = ROCKET[at + 1];
    if (marker !== 0xe1 && (profile || marker !== 0xe2)) parts.push(ROCKET.subarray(at, end));
    at = end;
  }
  return Buffer.concat([...parts, ROCKET.subarray(at)]);
}

test('a picture of another site spoils no later picture of the same size', async (t) => {
  for (const worker of [false, true]) {
    const { server, page } = await setUp(t, { allowErrors: true, worker });
    const got = await page.evaluate(async (address) => {
      const want = await scores('/images/coffee.png');
      const image = Object.assign(new Image(), { src: address });
      const error = await thrown(() => clf.classify(image));
      return { want, error, again: await scores('/images/coffee.png') };
    }, server.url('/images/coffee.png').replace('localhost', '127.0.0.1'));
    assert.equal(got.error?.type, 'InvalidImageError', got.error?.message);
    assert.match(got.error.message, /crossorigin/);
    assert.deepEqual(got.again, got.want);
  }
});

test('the colours below transparency count, from every source and on both devices', async (t) => {
  const all = {};
  for (const [device, worker] of [['cpu', false], ['cpu', true], ['webgpu', false]]) {
    const { page } = await setUp(t, { device, worker });
    const got = await page.evaluate(async () => {
      // The upper half is there and cannot be seen.
      const bitmap = await createImageBitmap(await picture('coffee.png'), { resizeWidth: 96, resizeHeight: 96 });
      const context = new OffscreenCanvas(96, 96).getContext('2d');
      context.drawImage(bitmap, 0, 0);
      const opaque = context.getImageData(0, 0, 96, 96);
      const hidden = new ImageData(opaque.data.slice(), 96, 96);
      for (let i = 0; i < 48 * 96; i++) hidden.data[4 * i + 3] = 0;
      // A PNG by hand, as canvases forget such colours.
      const rows = new Uint8Array(96 * (1 + 96 * 4));
      for (let y = 0; y < 96; y++) rows.set(hidden.data.subarray(y * 384, (y + 1) * 384), y * 385 + 1);
      const packed = new Uint8Array(await new Response(new Blob([rows]).stream().pipeThrough(new CompressionStream('deflate'))).arrayBuffer());
      const crcTable = Uint32Array.from({ length: 256 }, (_, n) => { for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1; return n; });
      const chunk = (type, data) => {
        const bytes = new Uint8Array(12 + data.length);
        const view = new DataView(bytes.buffer);
        view.setUint32(0, data.length);
        bytes.set([...type].map((c) => c.charCodeAt(0)), 4);
        bytes.set(data, 8);
        let crc = -1;
        for (const byte of bytes.subarray(4, 8 + data.length)) crc = crcTable[(crc ^ byte) & 255] ^ (crc >>> 8);
        view.setUint32(8 + data.length, ~crc);
        return bytes;
      };
      const header = new Uint8Array(13);
      new DataView(header.buffer).setUint32(0, 96);
      new DataView(header.buffer).setUint32(4, 96);
      header.set([8, 6, 0, 0, 0], 8);
      const signature = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
      const png = new Blob([signature, chunk('IHDR', header), chunk('IDAT', packed), chunk('IEND', new Uint8Array())], { type: 'image/png' });
      const image = Object.assign(new Image(), { src: URL.createObjectURL(png) });
      return {
        opaque: await scores(opaque), data: await scores(hidden), blob: await scores(png), image: await scores(image),
        bitmap: await scores(await createImageBitmap(hidden, { premultiplyAlpha: 'none' })),
      };
    });
    const where = `${device}${worker ? ' in a worker' : ''}`;
    for (const [kind, values] of Object.entries(got)) assertClose(values, got.opaque, 1e-5, `${kind} on ${where}`);
    all[where] = got.opaque;
  }
  for (const values of Object.values(all)) assertClose(values, all.cpu, 1e-4, 'devices');
});

test('colour profiles are ignored, and orientations applied', async (t) => {
  const { server, page } = await setUp(t);
  server.file('/plain.jpg', jpeg({ profile: false }), { type: 'image/jpeg' });
  server.file('/profile.jpg', jpeg({}), { type: 'image/jpeg' });
  server.file('/upside-down.jpg', jpeg({ profile: false, orientation: 3 }), { type: 'image/jpeg' });
  const got = await page.evaluate(async () => {
    const all = {};
    for (const name of ['plain', 'profile', 'upside-down']) {
      const url = `/${name}.jpg`;
      all[name] = {
        url: await scores(url), blob: await scores(await (await fetch(url)).blob()),
        image: await scores(Object.assign(new Image(), { src: url })),
      };
    }
    const bitmap = await createImageBitmap(await (await fetch('/plain.jpg')).blob());
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext('2d');
    context.rotate(Math.PI);
    context.drawImage(bitmap, -bitmap.width, -bitmap.height);
    return { all, turned: await scores(canvas) };
  });
  for (const name of ['plain', 'profile']) {
    for (const [how, values] of Object.entries(got.all[name])) assertClose(values, got.all.plain.url, 1e-6, `${name} as ${how}`);
  }
  for (const [how, values] of Object.entries(got.all['upside-down'])) assertClose(values, got.turned, 1e-6, `upside down as ${how}`);
  assert.ok(Math.abs(got.turned[0] - got.all.plain.url[0]) > 1e-6, 'the orientation changes nothing: the test tells nothing');
});

const SVG = (size) => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"${size}><rect width="100" height="100" fill="#c33"/><circle cx="50" cy="50" r="30" fill="#fff"/></svg>`;

test('vector images as blobs, addresses and elements, with and without a size', async (t) => {
  for (const device of ['cpu', 'webgpu']) {
    const { server, page } = await setUp(t, { device });
    server.file('/sized.svg', SVG(' width="100" height="100"'), { type: 'image/svg+xml' });
    server.file('/free.svg', SVG(''), { type: 'image/svg+xml' });
    server.file('/untold.svg', SVG(' width="100" height="100"'));
    const got = await page.evaluate(async () => {
      const all = {};
      for (const name of ['sized', 'free']) {
        const url = `/${name}.svg`;
        const element = Object.assign(new Image(), { src: url });
        all[name] = await Promise.all([url, await (await fetch(url)).blob(), element].map(scores));
      }
      all.untold = [await scores('/untold.svg')];
      return all;
    });
    for (const [name, all] of Object.entries(got)) for (const values of all) assertClose(values, got.sized[0], 2e-3, `${name} on ${device}`);
  }
});

test('a vector image that is none is told so', async (t) => {
  const { page } = await setUp(t, { allowErrors: true });
  const error = await page.evaluate(() => thrown(() => clf.classify(new File(['<svg'], 'x.svg', { type: 'image/svg+xml' }))));
  assert.equal(error?.type, 'InvalidImageError');
  assert.match(error.message, /x\.svg/);
});

test('images, canvases, blobs and files of other windows', async (t) => {
  const { page } = await setUp(t);
  const got = await page.evaluate(async () => {
    const frame = document.createElement('iframe');
    frame.srcdoc = '<!doctype html>';
    document.body.append(frame);
    await new Promise((resolve) => frame.addEventListener('load', resolve));
    const { contentWindow: other } = frame;
    const bytes = await (await picture('coffee.png')).arrayBuffer();
    const blob = new other.Blob([bytes], { type: 'image/png' });
    const image = new other.Image();
    image.src = new URL('/images/coffee.png', location.href).href;
    await image.decode();
    const canvas = other.document.createElement('canvas');
    Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight }).getContext('2d').drawImage(image, 0, 0);
    const sources = {
      here: await picture('coffee.png'), blob, file: new other.File([blob], 'x.png'), url: new other.URL('/images/coffee.png', location.href), image, canvas,
      bitmap: await other.createImageBitmap(blob), data: canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height),
    };
    const all = {};
    for (const [kind, source] of Object.entries(sources)) all[kind] = await scores(source);
    const weights = new other.Blob([await (await fetch('/models/micro/model.safetensors')).arrayBuffer()]);
    const config = new other.URL('/models/micro/config.json', location.href);
    globalThis.clf = await webmamba.ImageClassifier.load({ weights, config }, { device: 'cpu' });
    all.model = await scores(sources.here);
    return all;
  });
  for (const [kind, values] of Object.entries(got)) assertClose(values, got.here, 1e-6, kind);
});

test('a lazy image outside of the document, one that is still loading, and one that is given up', async (t) => {
  const { server, page } = await setUp(t);
  server.behave('/images/astronaut.png', { bytesPerSecond: 2_000_000 });
  const got = await page.evaluate(async () => {
    const lazy = Object.assign(new Image(), { loading: 'lazy', src: '/images/coffee.png' });
    const slow = Object.assign(new Image(), { src: '/images/astronaut.png?a' });
    const stopped = Object.assign(new Image(), { src: '/images/astronaut.png?b' });
    const signal = AbortSignal.timeout(50);
    const start = performance.now();
    const given = await thrown(() => clf.classify(stopped, { signal }));
    const time = performance.now() - start;
    return { given, time, lazy: await scores(lazy), url: await scores('/images/coffee.png'), slow: await scores(slow) };
  });
  assert.equal(got.given?.name, 'TimeoutError');
  assertClose(got.lazy, got.url, 1e-6, 'lazy');
  assert.equal(got.slow.length, 10);
});

test('a hundred megapixels are made fewer before they reach the module', async (t) => {
  for (const device of ['cpu', 'webgpu']) {
    const { page } = await setUp(t, { device });
    const got = await page.evaluate(async () => {
      const canvas = new OffscreenCanvas(12000, 9000);
      const context = canvas.getContext('2d');
      context.drawImage(await createImageBitmap(await picture('coffee.png')), 0, 0, 12000, 9000);
      const jpeg = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.9 });
      canvas.width = canvas.height = 1;
      const { heatmap, predictions } = await clf.classify(jpeg, { heatmap: true });
      const small = new OffscreenCanvas(1200, 900);
      small.getContext('2d').drawImage(await createImageBitmap(await picture('coffee.png')), 0, 0, 1200, 900);
      return { wasm: clf.info.memory.wasm, region: heatmap.region, top: predictions[0], want: (await clf.classify(small)).predictions[0] };
    });
    assert.ok(got.wasm < 250e6, `${got.wasm} bytes of WebAssembly memory on ${device}`);
    assert.equal(got.top.index, got.want.index);
    assert.ok(Math.abs(got.top.score - got.want.score) < 0.02, JSON.stringify(got));
    // In pixels of the picture as it came: the crop of its middle, to a pixel of the input.
    assert.ok(Math.abs(got.region.x + got.region.width / 2 - 6000) < 150 && got.region.height > 7000, JSON.stringify(got.region));
  }
});
