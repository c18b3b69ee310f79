/** What a model looked at: maps on WebGPU, on the CPU and in a worker are those of the native command. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { launch, openPage, PLAIN_CPU, prepareDevice, serve } from './support/browser.mjs';
import { checkpointFolder } from './support/checkpoint.mjs';
import { IMAGES, nativeBinary } from './support/paths.mjs';
import { command } from './support/project.mjs';

/** Models by how their tokens lie in the picture: as a map, around a class token, in windows. */
const MODELS = ['vmamba_micro', 'vim_micro', 'mambavision_micro', 'videomamba_micro_image'];
const PICTURE = 'coffee.png';
const KINDS = ['cam', 'delta', 'forget', 'contribution'];

async function setUp(t, models) {
  const server = await serve(t);
  for (const name of models) {
    server.folder(`/models/${name}/`, checkpointFolder(name));
    server.file(`/models/${name}/preprocessor_config.json`, {});
  }
  return openPage(t, await launch(t), server);
}

/** The maps of the native command: of all layers that are named, or of the last one. */
async function nativeMaps(t, name, layer) {
  const out = mkdtempSync(join(tmpdir(), 'webmamba-explain-'));
  t.after(() => rmSync(out, { recursive: true }));
  const args = ['explain', join(IMAGES, PICTURE), '--json', '--device', 'cpu', '--out', join(out, 'maps'), '--model', checkpointFolder(name)];
  const { stdout } = await command(nativeBinary(), [...args, ...(layer ? ['--layer', layer] : [])], { env: { ...process.env, NODEVICE_SELECT: '1' } });
  return JSON.parse(stdout).maps;
}

/** The maps of a model in the browser, of its last layer and of its first. */
function maps(page, ...args) {
  return page.evaluate(async ([name, device, worker, file, kinds]) => {
    const clf = await webmamba.ImageClassifier.load(`/models/${name}/`, { device, worker, cache: false });
    const { maps, layers, device: { kind } } = clf.info;
    const source = await picture(file);
    const plain = ({ values, ...map }) => ({ ...map, values: [...values] });
    const last = [];
    for (const kind of kinds) if (kind === 'cam' ? maps : layers.length) last.push(plain(await clf.explain(source, { kind })));
    const first = plain(await clf.explain(source, { kind: 'delta', layer: layers[0] }));
    const made = await clf.allocations();
    await clf.explain(source, { kind: 'forget', layer: layers[0] });
    const steady = String(made) === String(await clf.allocations());
    await clf.dispose();
    return { last, first, maps, layers, kind, steady };
  }, args);
}

/** Holds a map against the native one, whose `region` is a list. */
function same(got, want, title) {
  assert.deepEqual([got.kind, got.layer, [got.height, got.width]], [want.kind, want.layer, want.size], title);
  const region = [got.region.x, got.region.y, got.region.width, got.region.height];
  region.forEach((side, i) => assert.ok(Math.abs(side - want.region[i]) < 1e-3, `${title}: ${region}`));
  if (want.kind === 'cam') assert.equal(got.index, want.class, title);
  assert.equal(got.values.length, want.values.length, title);
  const scale = Math.max(...want.values.map(Math.abs));
  const worst = got.values.reduce((worst, value, i) => Math.max(worst, Math.abs(value - want.values[i])), 0) / scale;
  assert.ok(worst < 2e-4, `${title}: ${worst} of the largest value`);
}

for (const [device, worker] of [['webgpu', false], ['cpu', false], [PLAIN_CPU, false], ['webgpu', true]]) {
  test(`maps on ${device}${worker ? ' in a worker' : ''} are the command's`, async (t) => {
    const page = await setUp(t, MODELS);
    const kind = await prepareDevice(page, device);
    for (const name of MODELS) {
      const got = await maps(page, name, kind, worker, PICTURE, KINDS);
      assert.equal(got.kind, kind);
      const want = await nativeMaps(t, name);
      assert.deepEqual(got.last.map((map) => map.kind), want.map((map) => map.kind), name);
      assert.equal(got.layers.at(-1), want.at(-1).layer);
      got.last.forEach((map, i) => same(map, want[i], `${name}, ${map.kind}`));
      const [first] = (await nativeMaps(t, name, got.layers[0])).filter((map) => map.kind === 'delta');
      same(got.first, first, `${name}, ${got.layers[0]}`);
      assert.ok(got.steady, `${name}: a map of the same layer makes nothing new`);
    }
  });
}

test('regions and turns are those of the picture', async (t) => {
  const page = await setUp(t, ['vim_micro']);
  const got = await page.evaluate(async () => {
    const clf = await webmamba.ImageClassifier.load('/models/vim_micro/', { device: 'cpu' });
    const bitmap = await createImageBitmap(await picture('coffee.png'), 40, 20, 300, 200);
    const context = new OffscreenCanvas(300, 200).getContext('2d');
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, 300, 200);
    const pixels = new Uint32Array(data.buffer);
    const upside = { data: new Uint8Array(pixels.slice().reverse().buffer), width: 300, height: 200 };
    // A quarter clockwise: what was at the bottom of a column begins a row.
    const turned = new Uint32Array(300 * 200);
    for (let y = 0; y < 200; y++) for (let x = 0; x < 300; x++) turned[x * 200 + 199 - y] = pixels[y * 300 + x];
    const aside = { data: new Uint8Array(turned.buffer), width: 200, height: 300 };
    const plain = ({ values, width, height, region }) => ({ values: [...values], width, height, region });
    const kind = 'contribution';
    const upright = plain(await clf.explain(bitmap, { kind }));
    const back = plain(await clf.explain(upside, { kind, rotation: 180 }));
    const quarter = plain(await clf.explain(aside, { kind, rotation: 270 }));
    const part = plain(await clf.explain(await picture('coffee.png'), { kind, region: { x: 40, y: 20, width: 300, height: 200 } }));
    await clf.dispose();
    return { upright, back, quarter, part };
  });
  const { x, y, width, height } = got.upright.region;
  assert.ok(x > 50 && y > 0 && Math.abs(width - height) < 2, JSON.stringify(got.upright.region));
  assert.deepEqual(got.part, { ...got.upright, region: { x: x + 40, y: y + 20, width, height } });
  assert.deepEqual(got.back.values, got.upright.values.slice().reverse());
  const { values } = got.upright;
  assert.deepEqual(got.quarter.values, values.map((_, i) => values[(3 - (i % 4)) * 4 + Math.floor(i / 4)]));
});

test('what there is not is refused in words', async (t) => {
  const page = await setUp(t, ['vim_micro', 'mila_micro', 'videomamba_micro']);
  const errors = await page.evaluate(async () => {
    const image = await picture('tiny_61x40.png');
    const errors = [];
    const refused = async (clf, options) => errors.push(await thrown(() => clf.explain(image, options)));
    const vim = await webmamba.ImageClassifier.load('/models/vim_micro/', { device: 'cpu' });
    await refused(vim, { kind: 'cam' });
    await refused(vim, { kind: 'attention' });
    await refused(vim, undefined);
    await refused(vim, { kind: 'delta', layer: 'layers.9.mixer' });
    await refused(vim, { kind: 'delta', layers: [] });
    await vim.dispose();
    const mila = await webmamba.ImageClassifier.load('/models/mila_micro/', { device: 'cpu' });
    errors.push({ type: 'layers', message: String(mila.info.layers.length) });
    await refused(mila, { kind: 'delta' });
    await mila.dispose();
    await refused(mila, { kind: 'cam' });
    const clips = await webmamba.ImageClassifier.load('/models/videomamba_micro/', { device: 'cpu' });
    await refused(clips, { kind: 'delta' });
    await clips.dispose();
    return errors;
  });
  const says = [
    ['InvalidOptionError', /no maps of the kind 'cam'; `info.maps`/],
    ['InvalidOptionError', /`kind` must be 'cam' or 'delta' or 'forget' or 'contribution'/],
    ['InvalidOptionError', /`kind` must be .*not null/],
    ['InvalidOptionError', /no layer `layers.9.mixer` with scans; there are `layers.0.mixer`, /],
    ['InvalidOptionError', /no option `layers`; `layer` is meant/],
    ['layers', /^0$/],
    ['InvalidOptionError', /no maps of the kind 'delta'/],
    ['DisposedError', /disposed/],
    ['InvalidOptionError', /takes clips of 4 frames/],
  ];
  says.forEach(([type, message], i) => {
    assert.equal(errors[i].type, type, JSON.stringify(errors[i]));
    assert.match(errors[i].message, message);
  });
});
