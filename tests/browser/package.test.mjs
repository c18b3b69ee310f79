/** What is published: contents, size, entry points, types. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { need, PACKAGE, ROOT } from './support/paths.mjs';
import { command, freshProject, tarball } from './support/project.mjs';

const { build } = createRequire(join(ROOT, 'pkg/package.json'))('esbuild');

/** The modules that declarations are of. */
const DECLARED = ['index', 'worker', 'cache', 'classifier', 'embedding', 'errors', 'init', 'model', 'preload', 'segmenter', 'teach', 'types'];
const MODELS = ['mamba_vision_nano', 'mila_nano'];

test('the tarball has what it must have, and nothing else', async () => {
  const { files } = await tarball();
  const expected = [
    'package.json', 'README.md', 'LICENSE-MIT', 'LICENSE-APACHE',
    'dist/index.js', 'dist/chunk.js', 'dist/local.js', 'dist/webmamba.js', 'dist/worker.js', 'dist/worker-thread.js', 'dist/webmamba.min.js',
    'dist/webmamba_bg.wasm', 'dist/webmamba_relaxed_bg.wasm', 'dist/webmamba_torch.wasm', 'dist/webmamba_pictures.wasm', 'bin/webmamba.js',
    ...DECLARED.map((name) => `dist/${name}.d.ts`),
    'dist/labels/imagenet1k.js', 'dist/labels/imagenet1k.d.ts',
    ...MODELS.flatMap((name) => ['config.json', 'model.safetensors', 'README.md'].map((file) => `dist/models/${name}/${file}`)),
  ];
  assert.deepEqual([...files].sort(), expected.sort());
});

test('no file tells where it was built', async () => {
  const { files } = await tarball();
  for (const file of files) {
    const text = readFileSync(join(PACKAGE, file)).toString('latin1');
    const found = [ROOT, homedir()].filter((path) => text.includes(path));
    assert.deepEqual(found, [], file);
  }
});

/** As bundlers pack the package: what a page downloads at once, and what it downloads if its models do not run in workers. */
async function bundled() {
  const stdin = { contents: "export { ImageClassifier } from './index.js';", resolveDir: join(PACKAGE, 'dist'), sourcefile: 'page.js' };
  const options = { bundle: true, minify: true, splitting: true, format: 'esm', outdir: '/', write: false, metafile: true };
  const { outputFiles, metafile } = await build({ ...options, stdin, external: ['./labels/imagenet1k.js'] });
  const contents = new Map(outputFiles.map(({ path, contents }) => [basename(path), contents]));
  const imports = new Map(Object.entries(metafile.outputs).map(([path, output]) => [basename(path), output.imports]));
  const atOnce = new Set([[...contents.keys()].find((name) => !/^(chunk|local|webmamba)-/.test(name))]);
  for (const name of atOnce) for (const { kind, path } of imports.get(name)) if (kind === 'import-statement') atOnce.add(basename(path));
  const later = [...contents.keys()].filter((name) => !atOnce.has(name));
  return [[...atOnce], later].map((names) => names.map((name) => contents.get(name)));
}

test('what a page downloads without its model: at most 400 KB in gzip, 330 KB in brotli', async (t) => {
  const { size } = await tarball();
  t.diagnostic(`tarball with models ${size} bytes`);
  const sizes = (bytes) => ({ gzip: gzipSync(bytes, { level: 9 }).length, brotli: brotliCompressSync(bytes).length });
  const read = (file) => readFileSync(join(PACKAGE, 'dist', file));
  const whole = (file) => sizes(read(file));
  const [page, engine] = await bundled();
  const scripts = {
    'one file': [whole('webmamba.min.js')],
    'bundled, on the page': [...page, ...engine].map(sizes),
    'bundled, in a worker': [...page.map(sizes), whole('worker-thread.js')],
  };
  // A browser takes one of the two modules.
  for (const module of ['webmamba_bg.wasm', 'webmamba_relaxed_bg.wasm']) {
    const wasm = whole(module);
    for (const [way, parts] of Object.entries(scripts)) {
      for (const [coding, most] of [['gzip', 400_000], ['brotli', 330_000]]) {
        const all = [...parts, wasm].map((part) => part[coding]);
        const sum = all.reduce((a, b) => a + b, 0);
        t.diagnostic(`${way}, ${module}, ${coding}: ${all.join(' + ')} = ${sum} bytes`);
        assert.ok(sum <= most, `${way}: ${sum} bytes of ${coding}`);
      }
    }
  }
});

test('importing it touches nothing of a browser', async (t) => {
  const script = `
    for (const name of ['navigator', 'window', 'document', 'self', 'Worker', 'caches', 'fetch', 'OffscreenCanvas']) {
      Object.defineProperty(globalThis, name, { configurable: true, get() { throw new Error('the import touches ' + name); } });
    }
    const main = await import('webmamba');
    const worker = await import('webmamba/worker');
    const { labels } = await import('webmamba/labels/imagenet1k');
    console.log(JSON.stringify({ main: Object.keys(main), worker: Object.keys(worker), labels: labels.length }));`;
  const folder = await freshProject(t, { 'import.mjs': script });
  const { stdout } = await command('node', ['import.mjs'], { cwd: folder });
  const names = [
    'DeviceLostError', 'DisposedError', 'DownloadError', 'ImageClassifier', 'ImageSegmenter', 'InvalidImageError', 'InvalidOptionError',
    'OutOfMemoryError', 'TeachableClassifier', 'UnsupportedCheckpointError', 'WebGpuUnavailableError', 'WebmambaError', 'WorkerError', 'cache',
    'init', 'preload', 'similarity',
  ];
  assert.deepEqual(JSON.parse(stdout), { main: names, worker: names, labels: 1000 });
});

test('every entry of the exports map resolves, and nothing else does', async (t) => {
  const entries = [
    'webmamba', 'webmamba/worker', 'webmamba/labels/imagenet1k', 'webmamba/webmamba.min.js', 'webmamba/worker-thread.js',
    'webmamba/webmamba_bg.wasm', 'webmamba/webmamba_relaxed_bg.wasm', 'webmamba/webmamba_torch.wasm', 'webmamba/webmamba_pictures.wasm',
    'webmamba/package.json',
    ...MODELS.flatMap((name) => [`webmamba/models/${name}/config.json`, `webmamba/models/${name}/model.safetensors`]),
  ];
  const script = `
    import { existsSync } from 'node:fs';
    const missing = ${JSON.stringify(entries)}.filter((name) => !existsSync(new URL(import.meta.resolve(name))));
    let closed = false;
    try { import.meta.resolve('webmamba/dist/engine.js'); } catch (error) { closed = error.code === 'ERR_PACKAGE_PATH_NOT_EXPORTED'; }
    console.log(JSON.stringify({ missing, closed }));`;
  const folder = await freshProject(t, { 'resolve.mjs': script });
  const { stdout } = await command('node', ['resolve.mjs'], { cwd: folder });
  assert.deepEqual(JSON.parse(stdout), { missing: [], closed: true });
});

const CONSUMER = `
import {
  ImageClassifier, TeachableClassifier, UnsupportedCheckpointError, cache, init, preload, similarity,
  type CachedFile, type Classification, type Explanation, type Lesson, type LoadOptions, type ProgressEvent,
} from 'webmamba';
import { ImageClassifier as InWorker } from 'webmamba/worker';
import { labels } from 'webmamba/labels/imagenet1k';

export async function main(video: HTMLVideoElement, file: File, device: GPUDevice): Promise<string> {
  await init({ wasm: new URL('https://example.com/webmamba_bg.wasm') });
  const signal = AbortSignal.timeout(1000);
  const options: LoadOptions = { device, size: [96, 64], labels, signal, onProgress: (event: ProgressEvent) => console.log(event.phase, event.loaded / event.total) };
  const clf: ImageClassifier = await ImageClassifier.load('mila_nano', options);
  const { predictions, timing, heatmap }: Classification = await clf.classify(file, { topK: 3, threshold: 0.1, heatmap: true });
  for await (const { fps, predictions: [best] } of clf.classifyVideo(video, { maxFps: 10, smoothing: 0.5, signal })) console.log(fps, best?.label);
  const many: Classification[] = await clf.classify([file, video], { allow: ['cat'], deny: [], region: { x: 0, y: 0, width: 9, height: 9 }, heatmap: 'cat' });
  const [a, b]: Float32Array[] = await clf.embed([file, video]);
  if (a && b) console.log(many.length, similarity(a, b), (await clf.embed(file)).length);
  const { readable } = new TransformStream<VideoFrame, VideoFrame>();
  for await (const { frame } of clf.classifyVideo(readable)) console.log(frame);
  for await (const { frame } of clf.classifyVideo(new MediaStream())) console.log(frame);
  const own = new TeachableClassifier(clf);
  await own.addExample('mine', video);
  const lesson: Lesson = own.export();
  own.import(lesson);
  await preload('owner/name', { headers: { authorization: 'Bearer' }, fetch, baseUrl: 'https://example.com' });
  const files: CachedFile[] = await cache.list();
  console.log(files.length, await cache.size(), await cache.clear('owner/name'));
  const { values, layer }: Explanation = await clf.explain(file, { kind: 'forget', layer: 'layers.0.mixer', rotation: 90 });
  console.log(values.length, layer, clf.info.layers.length);
  const { pooled, stages, logits } = await clf.features(video);
  const numbers: number[] = [timing.total, pooled.shape.length, stages.length, logits.data.length, heatmap?.region.width ?? 0];
  void clf.lost.then((error: Error) => error instanceof UnsupportedCheckpointError);
  await clf.dispose();
  await using other = await InWorker.load({ weights: file, config: { depths: [1] } });
  // @ts-expect-error there is no such device
  await ImageClassifier.load('mila_nano', { device: 'tpu' });
  // @ts-expect-error a number is no image
  await other.classify(3);
  return (predictions[0]?.label ?? '') + numbers.join() + other.info.device.adapter;
}
`;

test('the types hold for a strict consumer', async (t) => {
  const tsc = need(join(ROOT, 'pkg/node_modules/typescript/bin/tsc'), 'run `npm ci` in pkg');
  const folder = await freshProject(t, { 'consumer.ts': CONSUMER });
  for (const [module, moduleResolution] of [['esnext', 'bundler'], ['nodenext', 'nodenext']]) {
    const compilerOptions = {
      strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noEmit: true, target: 'es2022', module,
      moduleResolution, lib: ['es2022', 'esnext.disposable', 'dom', 'dom.iterable'], types: [], skipLibCheck: false,
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }));
    await command('node', [tsc, '-p', '.'], { cwd: folder });
  }
});

test('declarations name nothing internal, and nothing of other packages', () => {
  for (const name of DECLARED) {
    const text = readFileSync(join(PACKAGE, `dist/${name}.d.ts`), 'utf8').replace(/\/\*.*?\*\//gs, '');
    assert.doesNotMatch(text, /\bGPU[A-Z]\w*/, name);
    for (const [, from] of text.matchAll(/from '([^']+)'/g)) assert.ok(DECLARED.some((other) => from === `./${other}.js`), `${name}: ${from}`);
  }
});

test('the minified file: names and codes of errors, short messages, and the name that a model is given', async (t) => {
  const script = `
    import { readFile } from 'node:fs/promises';
    const { ImageClassifier, DownloadError, UnsupportedCheckpointError, WebmambaError } = await import('webmamba/webmamba.min.js');
    const error = await ImageClassifier.load('/nowhere/').catch((error) => error);
    const long = new UnsupportedCheckpointError(Array.from({ length: 350 }, (_, i) => 'line ' + i).join('\\n'));
    const folder = new URL('./models/mila_nano/', import.meta.resolve('webmamba/webmamba.min.js'));
    const read = (name) => readFile(new URL(name, folder));
    const clf = await ImageClassifier.load({ weights: await read('model.safetensors'), config: await read('config.json'), name: 'my model' });
    console.log(JSON.stringify({
      name: error.name, code: error.code, own: error instanceof DownloadError && error instanceof WebmambaError,
      lines: long.message.split('\\n').length, last: long.message.split('\\n').at(-1), details: long.details.length, model: clf.info.name,
    }));`;
  const folder = await freshProject(t, { 'main.js': script });
  const { stdout } = await command('node', ['main.js'], { cwd: folder });
  assert.deepEqual(JSON.parse(stdout), {
    name: 'DownloadError', code: 'download', own: true, lines: 11, last: 'and 340 lines more, in `details`', details: 350, model: 'my model',
  });
});
