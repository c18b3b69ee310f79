/** onnxruntime-web and webmamba in WebAssembly on one thread of one Chromium, in turns: node benches/peers/wasm.mjs ONNX_FOLDER [ROUNDS] */
import { join, resolve } from 'node:path';
import { launch, openPage, serve } from '../../tests/browser/support/browser.mjs';
import { checkpointFolder } from '../../tests/browser/support/checkpoint.mjs';
import { PACKAGE } from '../../tests/browser/support/paths.mjs';

const [folder, rounds = '9'] = process.argv.slice(2);
if (!folder) throw new Error('which folder has the ONNX files? `python -m benches.peers.cpu --export FOLDER` makes them');

const here = import.meta.dirname;
const ends = [];
const scope = { after: (end) => ends.push(end) };
const server = await serve(scope);
server.folder('/ort/', join(here, 'node_modules/onnxruntime-web/dist'));
server.folder('/onnx/', resolve(folder));
for (const relaxed of [true, false]) server.folder(`/relaxed/${relaxed}/`, join(PACKAGE, 'dist'));
const browser = await launch(scope);

/** Milliseconds of each round: [theirs, ours, ours without relaxed vectors]. */
async function measure([name, ours, rounds]) {
  const ort = await import('/ort/ort.wasm.min.mjs');
  Object.assign(ort.env.wasm, { numThreads: 1, wasmPaths: '/ort/' });
  const data = `${name}_1.onnx.data`;
  const session = await ort.InferenceSession.create(`/onnx/${name}_1.onnx`, {
    executionProviders: ['wasm'], externalData: [{ path: data, data: `/onnx/${data}` }],
  });
  const x = new ort.Tensor('float32', Float32Array.from({ length: 3 * 224 * 224 }, (_, i) => ((i * 37) % 255) / 64 - 2), [1, 3, 224, 224]);
  const classifiers = [];
  for (const relaxed of [true, false]) {
    // Two copies of the package, as a page compiles one module.
    const { ImageClassifier } = await import(`/relaxed/${relaxed}/index.js`);
    const { validate } = WebAssembly;
    if (!relaxed) WebAssembly.validate = () => false;
    classifiers.push(await ImageClassifier.load(ours, { device: 'cpu', cache: false }));
    WebAssembly.validate = validate;
  }
  const image = new ImageData(224, 224);
  image.data.set(Uint8Array.from({ length: image.data.length }, (_, i) => i * 31));
  const contestants = [() => session.run({ x }), ...classifiers.map((one) => () => one.classify(image))];
  for (const run of contestants) await run();
  const times = [];
  for (let round = 0; round < rounds; round++) {
    const row = [];
    for (const run of contestants) {
      const each = [];
      for (let i = 0; i < 3; i++) {
        const start = performance.now();
        await run();
        each.push(performance.now() - start);
      }
      row.push(each.sort((a, b) => a - b)[1]);
    }
    times.push(row);
  }
  return times;
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
console.log('| model | onnxruntime-web, ms | relaxed vectors, ms | times as fast | plain vectors, ms | times as fast |');
console.log('|---|---:|---:|---:|---:|---:|');
try {
  for (const [name, ours] of [['mamba_vision_t', 'mambavision_t'], ['mila_t', 'mila_t']]) {
    server.folder(`/models/${ours}/`, checkpointFolder(ours));
    const page = await openPage(scope, browser, server);
    const times = await page.evaluate(measure, [name, `/models/${ours}/`, Number(rounds)]);
    const column = (i) => median(times.map((row) => row[i])).toFixed(0);
    const ratio = (i) => median(times.map((row) => row[0] / row[i])).toFixed(2);
    console.log(`| ${name} | ${column(0)} | ${column(1)} | ${ratio(1)} | ${column(2)} | ${ratio(2)} |`);
    await page.close();
  }
} finally {
  for (const end of ends.reverse()) await end();
}
