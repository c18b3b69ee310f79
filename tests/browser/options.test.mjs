/** Options that do not exist and values that make no sense are errors that name the option. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { command, freshProject } from './support/project.mjs';

/** No browser is needed: what is given, and what the message must say. */
const WRONG = {
  load: {
    "{ size: '224' }": /`size`.*'224'/, '{ size: [224] }': /`size`.*\[224\]/, '{ size: 0 }': /`size`/, '{ size: 2.5 }': /`size`/, '{ size: [1, 2, 3] }': /`size`/,
    "{ device: 'gpu' }": /`device`.*'auto'.*'gpu'/, "{ device: 'wasm' }": /`device`/, '{ device: {} }': /`device`/, '{ device: null }': /`device`/,
    "{ dtype: 'f16' }": /`dtype`/, "{ powerPreference: 'max' }": /`powerPreference`/, "{ worker: 'yes' }": /`worker`/, '{ cache: 1 }': /`cache`/,
    '{ labels: "a,b" }': /`labels`/, '{ labels: [1, 2] }': /`labels`/, '{ labels: [] }': /`labels`/, '{ baseUrl: 3 }': /`baseUrl`/, "{ revision: '' }": /`revision`/,
    '{ onProgress: true }': /`onProgress`/, '{ signal: {} }': /`signal`/, "{ devcie: 'cpu' }": /`devcie`.*`device` is meant/, '{ onprogress() {} }': /`onProgress` is meant/,
    '{ quality: 3 }': /`quality`.*there are .*`device`/, '{ constructor: 1 }': /`constructor`/, "'cpu'": /options must be an object/, null: /options must be an object/,
  },
  model: {
    '{ weights: undefined }': /`weights`/, '{ weights: 3 }': /`weights`/, '{ weights: "/x", config: 3 }': /`config`/, '{ weights: "/x", arch: 5 }': /`arch`/,
    '{ weights: "/x", confg: {} }': /`config` is meant/,
  },
  classify: {
    '{ topK: -1 }': /`topK`.*-1/, '{ topK: 0 }': /`topK`/, '{ topK: NaN }': /`topK`.*NaN/, '{ topK: 2.5 }': /`topK`/, "{ topK: '5' }": /`topK`/, '{ threshold: 2 }': /`threshold`/,
    '{ threshold: NaN }': /`threshold`/, '{ heatmap: "yes" }': /`heatmap`/, '{ heatMap: true }': /`heatmap` is meant/, '{ topk: 3 }': /`topK` is meant/, '{ signal: 5 }': /`signal`/,
    '{ maxFps: 5 }': /`maxFps`/,
  },
  features: { '{ topK: 5 }': /`topK`/ },
  classifyVideo: { '{ maxFps: 0 }': /`maxFps`/, '{ maxFps: "30" }': /`maxFps`/, '{ smoothing: 1 }': /`smoothing`/, '{ smoothing: -0.1 }': /`smoothing`/, '{ fps: 3 }': /`fps`/ },
  init: { '{ wasm: 3 }': /`wasm`/, '{ path: "/x" }': /`path`.*`base`/, '{ base: 5 }': /`base`/ },
};

test('options that are wrong, each with an error that names it', async (t) => {
  const script = `
    import { ImageClassifier, init, InvalidOptionError } from 'webmamba';
    const clf = await ImageClassifier.load();
    const image = { data: new Uint8Array(16), width: 2, height: 2 };
    const calls = {
      load: (options) => ImageClassifier.load('mamba_vision_nano', options),
      model: (model) => ImageClassifier.load(model),
      classify: (options) => clf.classify(image, options),
      features: (options) => clf.features(image, options),
      classifyVideo: (options) => clf.classifyVideo({}, options).next(),
      init: (options) => init(options),
    };
    const results = {};
    for (const [call, all] of Object.entries(${JSON.stringify(Object.fromEntries(Object.entries(WRONG).map(([call, all]) => [call, Object.keys(all)])))})) {
      for (const text of all) {
        const options = (0, eval)('(' + text + ')');
        results[call + ' ' + text] = await calls[call](options).then(
          () => ({ message: 'nothing was thrown' }), (error) => ({ own: error instanceof InvalidOptionError, code: error.code, message: error.message }));
      }
    }
    // What is left undefined is not given; all that is right is taken.
    await clf.classify(image, { topK: undefined, threshold: 0, heatmap: false, signal: undefined });
    const { predictions } = await clf.classify(image, { topK: Infinity });
    results.all = { classes: predictions.length, of: clf.info.classes };
    console.log(JSON.stringify(results));`;
  const folder = await freshProject(t, { 'main.js': script });
  const { stdout } = await command('node', ['main.js'], { cwd: folder });
  const { all, ...results } = JSON.parse(stdout);
  for (const [call, cases] of Object.entries(WRONG)) {
    for (const [text, pattern] of Object.entries(cases)) {
      const got = results[`${call} ${text}`];
      assert.match(got.message, pattern, `${call} ${text}`);
      assert.equal(got.own, true, `${call} ${text}`);
      assert.equal(got.code, 'invalid-option');
    }
  }
  assert.equal(all.classes, all.of);
});

test('names of models that only look like such, and classifiers made by `new`', async (t) => {
  const script = `
    import { ImageClassifier } from 'webmamba';
    const results = Object.create(null);
    for (const name of ['constructor', 'toString', '__proto__', 'mambavision_nano', './nowhere/', '/nowhere/', 'http://[']) {
      results[name] = await ImageClassifier.load(name).then(() => 'loaded', (error) => error.name + ': ' + error.message);
    }
    try { new ImageClassifier(); } catch (error) { results.new = error.name + ': ' + error.message; }
    console.log(JSON.stringify(Object.entries(results)));`;
  const folder = await freshProject(t, { 'main.js': script });
  const { stdout } = await command('node', ['main.js'], { cwd: folder });
  const all = new Map(JSON.parse(stdout));
  const made = all.get('new');
  all.delete('new');
  for (const [name, message] of all) assert.match(message, /^DownloadError: /, name);
  for (const name of ['constructor', 'toString', '__proto__', 'mambavision_nano']) assert.match(all.get(name), /built-in.*mamba_vision_nano and mila_nano/, name);
  assert.match(all.get('./nowhere/'), new RegExp(`^DownloadError: file://.*${folder.split('/').at(-1)}/nowhere/config\\.json cannot be read`));
  assert.match(all.get('/nowhere/'), /file:\/\/\/nowhere\/config\.json/);
  assert.match(made, /^WebmambaError: .*ImageClassifier\.load/);
});
