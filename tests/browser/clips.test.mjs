/** Models of clips: what `classifyClip` says is what the command line says, on WebGPU, on the CPU and in a worker. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { launch, openPage, PLAIN_CPU, prepareDevice, serve } from './support/browser.mjs';
import { checkpointFolder } from './support/checkpoint.mjs';
import { IMAGES, nativeBinary } from './support/paths.mjs';
import { command } from './support/project.mjs';

const MODEL = 'videomamba_micro';
/** A film of photographs, longer than the four frames that the model looks at; decoders agree on the bytes of PNG files. */
const FILM = ['coffee.png', 'chelsea.png', 'astronaut.png', 'coffee.png', 'tiny_61x40.png', 'chelsea.png', 'astronaut.png'];
let folder;

before(() => {
  folder = checkpointFolder(MODEL);
});

async function page(t) {
  const server = await serve(t);
  server.folder(`/models/${MODEL}/`, folder);
  server.file(`/models/${MODEL}/preprocessor_config.json`, {});
  return openPage(t, await launch(t), server);
}

/** What the native command line says of a film, of which it gets a folder of frames. */
async function native(t, film, ...args) {
  const clip = mkdtempSync(join(tmpdir(), 'webmamba-clip-'));
  t.after(() => rmSync(clip, { recursive: true }));
  film.forEach((name, i) => symlinkSync(join(IMAGES, name), join(clip, `frame${i + 1}.png`)));
  const { stdout } = await command(nativeBinary(), [...args, '--json', '--device', 'cpu', '--model', folder, clip], { env: { ...process.env, NODEVICE_SELECT: '1' } });
  return JSON.parse(stdout);
}

/** Scores of all classes, in the order of the classes. */
async function nativeScores(t, film) {
  const scores = [];
  for (const { index, score } of (await native(t, film, 'classify', '--top-k', '10')).predictions) scores[index] = score;
  return scores;
}

for (const [device, worker] of [['webgpu', false], ['cpu', false], [PLAIN_CPU, false], ['webgpu', true]]) {
  test(`a clip on ${device}${worker ? ' in a worker' : ''} is the command line's`, async (t) => {
    const tab = await page(t);
    const kind = await prepareDevice(tab, device);
    const got = await tab.evaluate(
      async ([url, device, worker, film]) => {
        const clf = await webmamba.ImageClassifier.load(url, { device, worker, cache: false });
        const frames = await Promise.all(film.map((name) => picture(name)));
        const { predictions, timing } = await clf.classifyClip(frames, { topK: 10 });
        const still = await clf.classifyClip(frames.slice(0, 1), { topK: 1 });
        const turned = frames.map(async (frame) => {
          const bitmap = await createImageBitmap(frame);
          const canvas = new OffscreenCanvas(bitmap.height, bitmap.width);
          const context = canvas.getContext('2d');
          context.rotate(Math.PI / 2);
          context.drawImage(bitmap, 0, -bitmap.height);
          return canvas;
        });
        const [onItsSide, wanted] = [await clf.classifyClip(frames, { topK: 10, rotation: 90 }), await clf.classifyClip(await Promise.all(turned), { topK: 10 })];
        const refused = await clf.classify(frames[0]).catch((error) => error.message);
        const empty = await clf.classifyClip([]).catch((error) => error.name);
        const { frames: looked, maps, device: info } = clf.info;
        await clf.dispose();
        return { predictions, onItsSide: onItsSide.predictions, turned: wanted.predictions, timing, still: still.predictions, refused, empty, looked, maps, kind: info.kind };
      },
      [`/models/${MODEL}/`, kind, worker, FILM],
    );
    assert.equal(got.kind, device === 'webgpu' ? 'webgpu' : 'cpu');
    assert.deepEqual([got.looked, got.maps], [4, false]);
    const native = await nativeScores(t, FILM);
    for (const { index, score } of got.predictions) assert.ok(Math.abs(score - native[index]) < 1e-5, `class ${index}: ${score}, not ${native[index]}`);
    assert.equal(got.predictions.length, 10);
    const scores = (predictions) => predictions.toSorted((a, b) => a.index - b.index).map(({ score }) => score);
    scores(got.onItsSide).forEach((score, i) => assert.ok(Math.abs(score - scores(got.turned)[i]) < 1e-4, `class ${i}, turned`));
    assert.notDeepEqual(scores(got.onItsSide), scores(got.predictions));
    const still = await nativeScores(t, FILM.slice(0, 1));
    assert.ok(Math.abs(got.still[0].score - Math.max(...still)) < 1e-5);
    assert.match(got.refused, /takes clips of 4 frames/);
    assert.equal(got.empty, 'InvalidOptionError');
    assert.ok(got.timing.total > 0 && got.timing.preprocess > 0);
  });
}

for (const [device, worker] of [['webgpu', false], ['cpu', false], ['cpu', true]]) {
  test(`what the scans do with a clip on ${device}${worker ? ' in a worker' : ''} is what the command line says`, async (t) => {
    const tab = await page(t);
    const kind = await prepareDevice(tab, device);
    const got = await tab.evaluate(
      async ([url, device, worker, film]) => {
        const clf = await webmamba.ImageClassifier.load(url, { device, worker, cache: false });
        const frames = await Promise.all(film.map((name) => picture(name)));
        const maps = {};
        for (const kind of ['delta', 'forget', 'contribution']) {
          maps[kind] = (await clf.explainClip(frames, { kind })).map((map) => ({ ...map, values: [...map.values] }));
        }
        const [still] = await clf.explainClip(frames.slice(4, 5), { kind: 'delta', layer: clf.info.layers[0] });
        const refused = [
          await thrown(() => clf.explainClip([], { kind: 'delta' })),
          await thrown(() => clf.explainClip(frames, { kind: 'cam' })),
          await thrown(() => clf.explainClip(frames, { kind: 'delta', layer: 'head' })),
        ];
        await clf.dispose();
        return { maps, still: { frame: still.frame, layer: still.layer, region: still.region }, refused };
      },
      [`/models/${MODEL}/`, kind, worker, FILM],
    );
    const out = mkdtempSync(join(tmpdir(), 'webmamba-explain-'));
    t.after(() => rmSync(out, { recursive: true }));
    const { maps } = await native(t, FILM, 'explain', '--out', join(out, 'maps'));
    assert.deepEqual(maps.map((map) => map.kind), Object.keys(got.maps));
    for (const { kind, layer, size: [height, width], frames, values } of maps) {
      const own = got.maps[kind];
      assert.deepEqual(own.map((map) => [map.kind, map.layer, map.height, map.width]), Array(frames).fill([kind, layer, height, width]));
      assert.deepEqual(own.map(({ frame }) => frame), [0, 2, 3, 4]);
      const largest = Math.max(...values.map(Math.abs));
      const all = own.flatMap((map) => map.values);
      assert.equal(all.length, values.length);
      all.forEach((value, i) => assert.ok(Math.abs(value - values[i]) < 2e-4 * largest, `${kind}, position ${i}: ${value}, not ${values[i]}`));
    }
    // The last of the frames that are looked at is small, and seen in its middle.
    const { region } = got.maps.delta[3];
    assert.ok(Math.abs(region.width - 40) < 1 && region.x >= 0, JSON.stringify(region));
    assert.deepEqual(got.still, { frame: 0, layer: 'layers.0.mixer', region });
    assert.deepEqual(got.refused.map(({ type }) => type), Array(3).fill('InvalidOptionError'));
  });
}
