/** Lists of images, chosen classes, parts of images, turned images, heat maps of any class, vectors, cameras as sources, own classes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch, openPage, serve } from './support/browser.mjs';
import { checkpoint } from './support/checkpoint.mjs';

const MICRO = checkpoint('mambavision_micro');
const NAMES = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [i, `thing ${i}`]));
const WAYS = [['cpu', false], ['cpu', true], ['webgpu', false], ['webgpu', true]];
const where = (device, worker) => `${device}${worker ? ' in a worker' : ''}`;

/** A page with `load(device, worker)` of a small model with ten things. */
async function setUp(t) {
  const server = await serve(t);
  server.model('/models/micro', { ...MICRO, config: { ...MICRO.config, id2label: NAMES } });
  const page = await openPage(t, await launch(t), server);
  await page.evaluate(() => {
    globalThis.load = (device, worker) => webmamba.ImageClassifier.load('/models/micro/', { device, worker });
    globalThis.near = (a, b) => a.length === b.length && a.every((value, i) => Math.abs(value - b[i]) < 1e-4);
  });
  return { server, page };
}

test('a list is run in batches of eight on WebGPU, each with one answer from the device', async (t) => {
  const { page } = await setUp(t);
  const got = await page.evaluate(async () => {
    const clf = await load('webgpu', false);
    const bitmap = await createImageBitmap(await picture('coffee.png'));
    const list = Array.from({ length: 11 }, () => bitmap);
    await clf.classify(list);
    let answers = 0;
    const map = GPUBuffer.prototype.mapAsync;
    GPUBuffer.prototype.mapAsync = function (...args) {
      answers += 1;
      return map.apply(this, args);
    };
    const made = await clf.allocations();
    const results = await clf.classify(list, { topK: 10 });
    const ofClassify = answers;
    await clf.embed(list);
    const same = JSON.stringify(await clf.allocations()) === JSON.stringify(made);
    return { ofClassify, ofEmbed: answers - ofClassify, same, results: results.map(({ predictions, timing }) => [predictions.length, timing.total > 0]) };
  });
  // Eight together, and three that are no batch.
  assert.deepEqual([got.ofClassify, got.ofEmbed, got.same], [4, 4, true]);
  assert.deepEqual(got.results, Array(11).fill([10, true]));
});

for (const [device, worker] of WAYS) {
  test(`a list of images gives a list of results, in order, on ${where(device, worker)}`, async (t) => {
    const { page } = await setUp(t);
    const got = await page.evaluate(async ([device, worker]) => {
      const clf = await load(device, worker);
      const names = ['coffee.png', 'chelsea.png', 'tiny_61x40.png', 'astronaut.png', 'coffee.png'];
      const all = await clf.classify(names.map((name) => `/images/${name}`), { topK: 3 });
      const alone = [];
      for (const name of names) alone.push(await clf.classify(`/images/${name}`, { topK: 3 }));
      const vectors = await clf.embed(names.map((name) => `/images/${name}`));
      const vector = await clf.embed(`/images/${names[3]}`);
      const empty = await clf.classify([]);
      const broken = await thrown(() => clf.classify(['/images/coffee.png', new Blob(['no image']), '/images/coffee.png']));
      const stop = new AbortController();
      const aborted = thrown(() => clf.classify(names.map((name) => `/images/${name}`), { signal: stop.signal }));
      stop.abort();
      const after = (await clf.classify('/images/coffee.png')).predictions[0].index;
      return { all: all.map(({ predictions }) => predictions), alone: alone.map(({ predictions }) => predictions), likeness: vectors.map((one) => webmamba.similarity(one, vector)), empty, broken, aborted: (await aborted).name, after };
    }, [device, worker]);
    for (const [i, predictions] of got.all.entries()) {
      assert.deepEqual(predictions.map(({ label }) => label), got.alone[i].map(({ label }) => label));
      // Batches may be rounded in another order.
      for (const [k, { score }] of predictions.entries()) assert.ok(Math.abs(score - got.alone[i][k].score) < 1e-5);
    }
    assert.equal(new Set(got.all.map((one) => JSON.stringify(one))).size, 4);
    assert.equal(got.likeness.length, 5);
    got.likeness.forEach((likeness, i) => assert.equal(Math.abs(likeness - 1) < 1e-4, i === 3, `${i}: ${likeness}`));
    assert.deepEqual(got.empty, []);
    assert.equal(got.broken.type, 'InvalidImageError');
    assert.equal(got.aborted, 'AbortError');
    assert.equal(got.after, got.all[0][0].index);
  });

  test(`only some classes, all but some, and the heat map of any, on ${where(device, worker)}`, async (t) => {
    const { page } = await setUp(t);
    const got = await page.evaluate(async ([device, worker]) => {
      const clf = await load(device, worker);
      const image = await picture('coffee.png');
      const all = await clf.classify(image, { topK: 10, heatmap: true });
      const order = all.predictions.map(({ label }) => label);
      const logits = (await clf.features(image)).logits.data;
      const labels = (result) => result.predictions.map(({ label }) => label);
      const allowed = await clf.classify(image, { allow: [order[4], order[9], order[2]], heatmap: true });
      const denied = await clf.classify(image, { deny: [order[0], order[1]], topK: 2 });
      const both = await clf.classify(image, { allow: order.slice(0, 3), deny: [order[1]] });
      const maps = [];
      for (const heatmap of [order[0], order[9], all.predictions[5].index]) maps.push((await clf.classify(image, { heatmap })).heatmap);
      const means = maps.map(({ index, values }) => values.reduce((a, b) => a + b) / values.length - logits[index]);
      return {
        order, scores: all.predictions.map(({ score }) => score),
        allowed: labels(allowed), allowedScores: allowed.predictions.map(({ score }) => score), allowedMap: allowed.heatmap.index,
        denied: labels(denied), both: labels(both),
        indices: maps.map(({ index }) => index), wanted: [all.predictions[0].index, all.predictions[9].index, all.predictions[5].index],
        same: near([...maps[0].values], [...all.heatmap.values]) && JSON.stringify(maps[1].region) === JSON.stringify(all.heatmap.region), means,
        third: all.predictions[2].index,
      };
    }, [device, worker]);
    const { order } = got;
    assert.deepEqual(got.allowed, [order[2], order[4], order[9]]);
    got.allowedScores.forEach((score, i) => assert.ok(Math.abs(score - got.scores[[2, 4, 9][i]]) < 1e-6, 'scores stay those among all classes'));
    assert.equal(got.allowedMap, got.third);
    assert.deepEqual(got.denied, [order[2], order[3]]);
    assert.deepEqual(got.both, [order[0], order[2]]);
    assert.deepEqual(got.indices, got.wanted);
    assert.ok(got.same, 'the map of the best class by its name is that of the best class');
    // The mean of a map is the class's logit.
    for (const difference of got.means) assert.ok(Math.abs(difference) < 1e-3, String(got.means));
  });

  test(`a region is what a crop of the image would be, on ${where(device, worker)}`, async (t) => {
    const { page } = await setUp(t);
    const got = await page.evaluate(async ([device, worker]) => {
      const clf = await load(device, worker);
      const region = { x: 150, y: 40, width: 240, height: 200 };
      const bitmap = await createImageBitmap(await picture('coffee.png'));
      const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
      const context = canvas.getContext('2d');
      context.drawImage(bitmap, 0, 0);
      const cut = context.getImageData(region.x, region.y, region.width, region.height);
      const wanted = await clf.classify(cut, { topK: 10, heatmap: true });
      const whole = context.getImageData(0, 0, canvas.width, canvas.height);
      const scores = (result) => result.predictions.map(({ index, score }) => [index, score]).flat();
      const results = {};
      for (const [name, source] of Object.entries({ file: await picture('coffee.png'), bitmap, canvas, pixels: whole, address: '/images/coffee.png' })) {
        const result = await clf.classify(source, { topK: 10, region, heatmap: true });
        const { x, y, width, height } = result.heatmap.region;
        results[name] = near(scores(result), scores(wanted)) && near([x - region.x, y - region.y, width, height], Object.values(wanted.heatmap.region));
      }
      results.embed = near([...(await clf.embed(whole, { region }))], [...(await clf.embed(cut))]);
      results.differs = !near(scores(await clf.classify(whole, { topK: 10 })), scores(wanted));
      const outside = await thrown(() => clf.classify(bitmap, { region: { ...region, width: 5000 } }));
      return { results, outside };
    }, [device, worker]);
    for (const [name, right] of Object.entries(got.results)) assert.ok(right, name);
    assert.equal(got.outside.type, 'InvalidImageError');
    assert.match(got.outside.message, /5000 x 200 is no part of an image of 600 x 400/);
  });

  test(`a rotation is what a turned image would be, and its heat map lies on the image as it came, on ${where(device, worker)}`, async (t) => {
    const { page } = await setUp(t);
    const got = await page.evaluate(async ([device, worker]) => {
      const clf = await load(device, worker);
      const region = { x: 150, y: 40, width: 240, height: 200 };
      const bitmap = await createImageBitmap(await picture('coffee.png'));
      const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
      const context = canvas.getContext('2d');
      context.drawImage(bitmap, 0, 0);
      /** Turned a quarter clockwise: what was the lower left corner is the upper left one. */
      const quarter = ({ data, width, height }) => {
        const [from, to] = [new Uint32Array(data.buffer), new Uint32Array(width * height)];
        for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) to[x * height + (height - 1 - y)] = from[y * width + x];
        return new ImageData(new Uint8ClampedArray(to.buffer), height, width);
      };
      /** The same of a map. */
      const quarterMap = ({ values, width, height }) => {
        const to = new Float32Array(values.length);
        for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) to[x * height + (height - 1 - y)] = values[y * width + x];
        return { values: to, width: height, height: width };
      };
      const scores = (result) => result.predictions.map(({ index, score }) => [index, score]).flat();
      const results = {};
      for (const part of [undefined, region]) {
        const { x, y, width, height } = part ?? { x: 0, y: 0, width: canvas.width, height: canvas.height };
        let turned = context.getImageData(x, y, width, height);
        for (const rotation of [90, 180, 270]) {
          turned = quarter(turned);
          const wanted = await clf.classify(turned, { topK: 10, heatmap: true });
          const options = { topK: 10, heatmap: true, rotation, ...(part && { region: part }) };
          const frame = new VideoFrame(bitmap, { timestamp: 0 });
          const sources = { file: await picture('coffee.png'), bitmap, canvas, frame, pixels: context.getImageData(0, 0, canvas.width, canvas.height) };
          for (const [name, source] of Object.entries(sources)) {
            const result = await clf.classify(source, options);
            let map = result.heatmap;
            for (let i = 0; i < rotation / 90; i++) map = quarterMap(map);
            const maps = map.width === wanted.heatmap.width && near([...map.values], [...wanted.heatmap.values]);
            // The middle of the map is the middle of what was looked at, and its sides have changed their places.
            const place = result.heatmap.region;
            const sides = [wanted.heatmap.region.width, wanted.heatmap.region.height];
            const placed = near([place.x + place.width / 2, place.y + place.height / 2], [x + width / 2, y + height / 2])
              && near([place.width, place.height], rotation === 180 ? sides : sides.reverse());
            results[`${name}, ${rotation}, ${part ? 'region' : 'whole'}`] = [near(scores(result), scores(wanted)), maps, placed];
          }
          frame.close();
          const vectors = [await clf.embed(bitmap, { rotation, ...(part && { region: part }) }), await clf.embed(turned)];
          results[`embed, ${rotation}`] = [near([...vectors[0]], [...vectors[1]])];
        }
      }
      return results;
    }, [device, worker]);
    for (const [name, right] of Object.entries(got)) assert.ok(right.every(Boolean), `${name}: ${right}`);
  });

  test(`vectors have length 1, are those of the head, and are alike for like images, on ${where(device, worker)}`, async (t) => {
    const { page } = await setUp(t);
    const got = await page.evaluate(async ([device, worker]) => {
      const clf = await webmamba.ImageClassifier.load('mamba_vision_nano', { device, worker });
      const image = await picture('chelsea.png');
      const { pooled } = await clf.features(image);
      const vector = await clf.embed(image);
      const length = Math.hypot(...pooled.data);
      const [part, coffee] = [await clf.embed(image, { region: { x: 20, y: 10, width: 400, height: 280 } }), await clf.embed(await picture('coffee.png'))];
      const { similarity } = webmamba;
      return {
        kind: vector.constructor.name, length: Math.hypot(...vector), same: near([...vector], [...pooled.data].map((value) => value / length)),
        self: similarity(vector, vector), like: similarity(vector, part), unlike: similarity(vector, coffee),
        wrong: await thrown(() => similarity(vector, vector.slice(1))),
      };
    }, [device, worker]);
    assert.equal(got.kind, 'Float32Array');
    assert.ok(Math.abs(got.length - 1) < 1e-5 && got.same && Math.abs(got.self - 1) < 1e-5, JSON.stringify(got));
    assert.ok(got.like > got.unlike + 0.1, JSON.stringify(got));
    assert.equal(got.wrong.type, 'InvalidOptionError');
  });
}

test('labels that the model does not have, and lists that are none, are errors that help', async (t) => {
  const { page } = await setUp(t);
  const errors = await page.evaluate(async () => {
    const clf = await load('cpu', false);
    const image = await picture('coffee.png');
    const all = {};
    for (const [name, options] of Object.entries({
      near: { allow: ['thing 33'] }, far: { deny: ['elephant'] }, map: { heatmap: 'think 3' }, index: { heatmap: 10 }, half: { heatmap: 1.5 },
      text: { allow: 'thing 1' }, region: { region: { x: 0, y: 0, width: 0, height: 5 } }, rotation: { rotation: 45 }, empty: { region: {} },
    })) all[name] = await thrown(() => clf.classify(image, options));
    all.none = (await clf.classify(image, { allow: [] })).predictions.length;
    return all;
  });
  const { none, ...rest } = errors;
  assert.equal(none, 0);
  for (const [name, error] of Object.entries(rest)) assert.equal(error?.type, 'InvalidOptionError', name);
  assert.match(errors.near.message, /`thing 33`.*`thing 3` is meant/);
  assert.match(errors.far.message, /elephant.*info\.labels/);
  assert.match(errors.map.message, /`thing 3` is meant/);
  assert.match(errors.index.message, /0 to 9/);
});

for (const worker of [false, true]) {
  test(`cameras and streams of frames, one frame and all${worker ? ', in a worker' : ''}`, async (t) => {
    const { page } = await setUp(t);
    const got = await page.evaluate(async (worker) => {
      const canvas = Object.assign(document.createElement('canvas'), { width: 160, height: 120 });
      const context = canvas.getContext('2d');
      setInterval(() => {
        context.fillStyle = `hsl(${Math.random() * 360} 80% 50%)`;
        context.fillRect(0, 0, 160, 120);
      }, 30);
      const clf = await load('cpu', worker);
      const stream = canvas.captureStream(30);
      const [track] = stream.getVideoTracks();
      const counts = {};
      const watch = async (name, source) => {
        counts[name] = 0;
        for await (const { frame, predictions } of clf.classifyVideo(source, { maxFps: 20 })) {
          if (predictions.length === 5) counts[name] = frame;
          if (frame === 4) break;
        }
      };
      const one = await clf.classify(track);
      await watch('track', track);
      await watch('stream', stream);
      await watch('frames', new MediaStreamTrackProcessor({ track: track.clone() }).readable);
      const live = track.readyState;
      // The end of a camera is the end of its frames.
      let last = 0;
      for await (const { frame } of clf.classifyVideo(track)) if ((last = frame) === 2) track.stop();
      const stopped = await thrown(() => clf.classify(track));
      const none = await thrown(async () => { for await (const _ of clf.classifyVideo('/images/coffee.png')); });
      const stop = new AbortController();
      const silent = new ReadableStream();
      setTimeout(() => stop.abort(), 100);
      const aborted = await thrown(async () => { for await (const _ of clf.classifyVideo(silent, { signal: stop.signal })); });
      return { one: one.predictions.length, counts, live, last, stopped, none, aborted: aborted.name };
    }, worker);
    assert.equal(got.one, 5);
    assert.deepEqual(got.counts, { track: 4, stream: 4, frames: 4 });
    assert.equal(got.live, 'live');
    assert.ok(got.last >= 2 && got.last < 6, String(got.last));
    assert.equal(got.stopped.type, 'InvalidImageError');
    assert.equal(got.none.type, 'InvalidImageError');
    assert.equal(got.aborted, 'AbortError');
  });
}

test('a stream of frames inside of a worker of the page', async (t) => {
  const { server, page } = await setUp(t);
  server.file('/watch.js', `
    import { ImageClassifier } from '/package/index.js';
    onmessage = async ({ data }) => {
      try {
        const clf = await ImageClassifier.load('/models/micro/', { device: 'cpu' });
        for await (const { frame } of clf.classifyVideo(data)) if (frame === 3) break;
        postMessage('three');
      } catch (error) { postMessage(String(error)); }
    };`, { type: 'text/javascript' });
  const said = await page.evaluate(async () => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 64 });
    setInterval(() => canvas.getContext('2d').fillRect(0, 0, Math.random() * 64, 64), 30);
    const { readable } = new MediaStreamTrackProcessor({ track: canvas.captureStream(30).getVideoTracks()[0] });
    const worker = new Worker('/watch.js', { type: 'module' });
    worker.postMessage(readable, [readable]);
    return new Promise((resolve) => { worker.onmessage = ({ data }) => resolve(data); });
  });
  assert.equal(said, 'three');
});

for (const worker of [false, true]) {
  test(`own classes from a picture or two each, forgotten, saved and taken up again${worker ? ', in a worker' : ''}`, async (t) => {
    const { page } = await setUp(t);
    const got = await page.evaluate(async (worker) => {
      const { ImageClassifier, TeachableClassifier } = webmamba;
      const clf = await ImageClassifier.load('mamba_vision_nano', { device: 'cpu', worker });
      const own = new TeachableClassifier(clf);
      const part = (x, y, width, height) => ({ region: { x, y, width, height } });
      const early = await thrown(() => own.classify('/images/coffee.png'));
      await own.addExample('Chelsea', '/images/chelsea.png', part(0, 0, 300, 300));
      await own.addExample('Chelsea', '/images/chelsea.png', part(100, 0, 300, 300));
      await own.addExample('my cup', '/images/coffee.png', part(0, 0, 400, 400));
      await own.addExample('Eileen', '/images/astronaut.png', part(0, 0, 400, 400));
      const names = { 'Chelsea': ['chelsea', part(140, 0, 300, 300)], 'my cup': ['coffee', part(150, 0, 400, 400)], 'Eileen': ['astronaut', part(60, 60, 400, 400)] };
      const say = async (own) => {
        const said = {};
        for (const [label, [name, options]] of Object.entries(names)) said[label] = (await own.classify(`/images/${name}.png`, options)).predictions;
        return said;
      };
      const said = await say(own);
      const json = JSON.stringify(own.export());
      const again = new TeachableClassifier(clf);
      again.import(JSON.parse(json));
      const resaid = await say(again);
      const classes = own.classes;
      const forgot = [own.forget('my cup'), own.forget('my cup'), own.classes.map(({ label }) => label), own.forget(), own.classes.length];
      const other = await ImageClassifier.load('mila_nano', { device: 'cpu' });
      const wrongs = [await thrown(() => new TeachableClassifier(other).import(JSON.parse(json))), await thrown(() => own.import({ classes: [] })), await thrown(() => own.addExample('', '/images/coffee.png'))];
      return { early, said, resaid, classes, forgot, wrongs: wrongs.map((error) => error?.type), bytes: json.length };
    }, worker);
    assert.equal(got.early.type, 'InvalidOptionError');
    for (const [label, predictions] of Object.entries(got.said)) {
      assert.equal(predictions[0].label, label, JSON.stringify(predictions));
      assert.ok(predictions[0].score > 0.5 && predictions[0].similarity > predictions[1].similarity, JSON.stringify(predictions));
      assert.ok(Math.abs(predictions.reduce((sum, { score }) => sum + score, 0) - 1) < 1e-6);
    }
    assert.deepEqual(got.resaid, got.said);
    assert.deepEqual(got.classes, [{ label: 'Chelsea', count: 2 }, { label: 'my cup', count: 1 }, { label: 'Eileen', count: 1 }]);
    assert.deepEqual(got.forgot, [true, false, ['Chelsea', 'Eileen'], true, 0]);
    assert.deepEqual(got.wrongs, ['InvalidOptionError', 'InvalidOptionError', 'InvalidOptionError']);
    t.diagnostic(`three classes are ${got.bytes} bytes of JSON`);
  });
}
