/** Where pages put the package and run it: other sites, workers of all kinds, frames without an origin, strict policies. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { launch, serve, watchProblems } from './support/browser.mjs';
import { builtPackage, ROOT } from './support/paths.mjs';

const { build } = createRequire(join(ROOT, 'pkg/package.json'))('esbuild');

const html = (script, head = '') => `<!doctype html><meta charset="utf-8"><title>t</title><link rel="icon" href="data:,">${head}<script type="module">${script}</script>`;

/** Loads on the page and in a worker, and tells the best class or the error. */
const program = (base, { picture = '/images/coffee.png', before = '', file = `${base}/index.js` } = {}) => `
import { ImageClassifier, init } from '${file}';
${before}
const results = {};
for (const worker of [false, true]) {
  try {
    const clf = await ImageClassifier.load('mamba_vision_nano', { worker, device: 'cpu' });
    results[worker ? 'worker' : 'page'] = (await clf.classify('${picture}', { topK: 1 })).predictions[0];
    await clf.dispose();
  } catch (error) {
    results[worker ? 'worker' : 'page'] = error.name + ': ' + error.message;
  }
}
globalThis.results = results;
`;

/** What the page at `address` puts into `results`. */
async function results(t, browser, address) {
  const page = await browser.newPage();
  t.after(() => page.close());
  const problems = watchProblems(page);
  await page.goto(address);
  await page.waitForFunction(() => globalThis.results, undefined, { timeout: 60_000 }).catch((error) => {
    throw new Error([error.message, ...problems].join('\n'));
  });
  return page.evaluate(() => globalThis.results);
}

/** Both ways gave a prediction, and the same one. */
function assertBoth(got) {
  assert.ok(got.page?.score > 0, JSON.stringify(got));
  assert.deepEqual(got.worker, got.page);
}

test('a package on another site, as CDNs have it: page and worker', async (t) => {
  const [page, cdn] = [await serve(t), await serve(t)];
  page.file('/cdn', html(program(cdn.url('/package'))), { type: 'text/html' });
  assertBoth(await results(t, await launch(t), page.url('/cdn')));
});

test('a package on a site that does not share: an error of the package, not of the browser', async (t) => {
  const page = await serve(t);
  const script = `
    const { ImageClassifier, WorkerError, init } = await import('/package/index.js');
    await init({ base: 'http://localhost:9/webmamba', wasm: '/package/webmamba_bg.wasm' });
    globalThis.results = await ImageClassifier.load('mamba_vision_nano', { worker: true }).then(() => ({}), (error) => ({
      own: error instanceof WorkerError, name: error.name, code: error.code, message: error.message }));`;
  page.file('/p', html(script), { type: 'text/html' });
  const got = await results(t, await launch(t), page.url('/p'));
  assert.equal(got.own, true, JSON.stringify(got));
  assert.equal(got.code, 'worker');
  assert.match(got.message, /localhost:9\/webmamba\/worker-thread\.js/);
});

for (const kind of ['module', 'classic', 'shared', 'service', 'blob']) {
  test(`relative addresses in a ${kind} worker, also of a model and in workers of its own`, async (t) => {
    const server = await serve(t);
    const nested = kind === 'module';
    const body = `async () => {
      const { ImageClassifier } = await import('${server.url('/package/index.js')}');
      const all = {};
      for (const worker of [false${nested ? ', true' : ''}]) {
        const clf = await ImageClassifier.load('/package/models/mila_nano/', { device: 'cpu', worker });
        all[worker] = (await clf.classify('/images/coffee.png', { topK: 1 })).predictions[0];
      }
      return all;
    }`;
    // Service workers have no dynamic imports, of which the one file has none.
    const answer = kind === 'service'
      ? `import { ImageClassifier } from '/package/webmamba.min.js';
         onmessage = (event) => event.waitUntil((async () => {
           const clf = await ImageClassifier.load('/package/models/mila_nano/', { device: 'cpu' });
           return { false: (await clf.classify('/images/coffee.png', { topK: 1 })).predictions[0] };
         })().catch(String).then((value) => event.source.postMessage(value)));`
      : kind === 'shared'
        ? `onconnect = ({ ports: [port] }) => (${body})().catch(String).then((value) => port.postMessage(value));`
        : `(${body})().catch(String).then((value) => postMessage(value));`;
    server.file('/worker.js', answer, { type: 'text/javascript' });
    const start = {
      module: `const w = new Worker('/worker.js', { type: 'module' }); w.onmessage = hear;`,
      classic: `const w = new Worker('/worker.js'); w.onmessage = hear;`,
      shared: `const w = new SharedWorker('/worker.js', { type: 'module' }); w.port.onmessage = hear; w.port.start();`,
      service: `await navigator.serviceWorker.register('/worker.js', { type: 'module' }); navigator.serviceWorker.onmessage = hear;
        (await navigator.serviceWorker.ready).active.postMessage('go');`,
      blob: `const text = await (await fetch('/worker.js')).text();
        const w = new Worker(URL.createObjectURL(new Blob([text], { type: 'text/javascript' })), { type: 'module' }); w.onmessage = hear;`,
    }[kind];
    server.file('/p', html(`const hear = ({ data }) => { globalThis.results = data; };\n${start}`), { type: 'text/html' });
    const got = await results(t, await launch(t), server.url('/p'));
    assert.ok(got.false?.score > 0, JSON.stringify(got));
    if (nested) assert.deepEqual(got.true, got.false);
  });
}

test('a service worker is told which file is for it', async (t) => {
  const server = await serve(t);
  server.file('/worker.js', `import { ImageClassifier } from '/package/index.js';
    onmessage = (event) => event.waitUntil(ImageClassifier.load('/package/models/mila_nano/', { device: 'cpu' })
      .catch(({ code, message }) => event.source.postMessage({ code, message })));`, { type: 'text/javascript' });
  server.file('/p', html(`navigator.serviceWorker.onmessage = ({ data }) => { globalThis.results = data; };
    await navigator.serviceWorker.register('/worker.js', { type: 'module' });
    (await navigator.serviceWorker.ready).active.postMessage('go');`), { type: 'text/html' });
  const got = await results(t, await launch(t), server.url('/p'));
  assert.equal(got.code, 'download');
  assert.match(got.message, /webmamba\/webmamba\.min\.js/);
});

test('a sandboxed frame without an origin: page and worker', async (t) => {
  const server = await serve(t);
  server.file('/inner', html(`${program(server.url('/package'), { picture: server.url('/images/coffee.png') })}\nparent.postMessage(results, '*');`), { type: 'text/html' });
  const frame = '<iframe sandbox="allow-scripts" src="/inner"></iframe>';
  server.file('/p', html('addEventListener("message", ({ data }) => { globalThis.results = data; });', frame), { type: 'text/html' });
  assertBoth(await results(t, await launch(t), server.url('/p')));
});

for (const policy of [
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'",
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; require-trusted-types-for 'script'",
]) {
  test(`a page with the policy ${policy}`, async (t) => {
    const server = await serve(t);
    server.file('/main.js', program('/package'), { type: 'text/javascript' });
    const page = '<!doctype html><meta charset="utf-8"><title>t</title><script type="module" src="/main.js"></script>';
    server.file('/p', page, { type: 'text/html', headers: { 'content-security-policy': policy } });
    assertBoth(await results(t, await launch(t), server.url('/p')));
  });
}

test('addresses as Turbopack has them: URL objects whose text is relative', async (t) => {
  const server = await serve(t);
  const script = `
    // A stand-in for what Turbopack makes of new URL('./x', import.meta.url).
    const relative = (path) => Object.create(URL.prototype, {
      href: { value: path }, pathname: { value: path }, origin: { value: '' }, protocol: { value: '' }, searchParams: { value: new URLSearchParams() },
      toString: { value: () => path }, toJSON: { value: () => path },
    });
    const { ImageClassifier, init } = await import('/package/index.js');
    await init({ wasm: relative('/package/webmamba_bg.wasm'), base: relative('/package') });
    const results = {};
    for (const worker of [false, true]) {
      const source = { weights: relative('/package/models/mila_nano/model.safetensors'), config: relative('/package/models/mila_nano/config.json') };
      const clf = await ImageClassifier.load(source, { device: 'cpu', worker });
      results[worker ? 'worker' : 'page'] = (await clf.classify(relative('/images/coffee.png'), { topK: 1 })).predictions[0];
    }
    globalThis.results = results;`;
  server.file('/p', html(script), { type: 'text/html' });
  assertBoth(await results(t, await launch(t), server.url('/p')));
});

test('`init({ base })`: all files from one folder, and nothing from beside the module', async (t) => {
  const server = await serve(t);
  for (const file of ['webmamba_bg.wasm', 'webmamba_relaxed_bg.wasm', 'worker-thread.js']) server.behave(`/package/${file}`, { status: 404 });
  server.folder('/elsewhere/', `${builtPackage()}/dist`);
  server.file('/p', html(program('/package', { before: "await init({ base: '/elsewhere' });" })), { type: 'text/html' });
  assertBoth(await results(t, await launch(t), server.url('/p')));
  const asked = server.requests.map(({ path }) => path).filter((path) => path.startsWith('/package/') && !/\/(index|chunk|local|webmamba)\.js$/.test(path));
  assert.deepEqual(asked, []);
});

for (const [worker, most] of [[false, 6], [true, 8]]) {
  test(`one file from a CDN${worker ? ', in a worker' : ''}: the first classification takes at most ${most} requests, none of them for another script`, async (t) => {
    const [page, cdn] = [await serve(t), await serve(t)];
    const script = `
      import { ImageClassifier } from '${cdn.url('/package/webmamba.min.js')}';
      const clf = await ImageClassifier.load('mamba_vision_nano', { worker: ${worker} });
      globalThis.results = (await clf.classify('/images/coffee.png', { topK: 1 })).predictions[0];`;
    page.file('/p', html(script), { type: 'text/html' });
    const got = await results(t, await launch(t), page.url('/p'));
    assert.ok(got.score > 0, JSON.stringify(got));
    const all = [...page.requests, ...cdn.requests].map(({ method, path }) => `${method} ${path}`);
    t.diagnostic(all.join(', '));
    assert.ok(all.length <= most, all.join(', '));
    assert.deepEqual([...new Set(all.filter((one) => one.endsWith('.js')))], ['GET /package/webmamba.min.js']);
  });
}

test('the one file in a page of its own site: page and worker', async (t) => {
  const server = await serve(t);
  server.file('/p', html(program('/package', { file: '/package/webmamba.min.js' })), { type: 'text/html' });
  assertBoth(await results(t, await launch(t), server.url('/p')));
  assert.ok(!server.requests.some(({ path }) => path.endsWith('/worker-thread.js')));
});

test('the one file inside a bundle, which is no script for workers', async (t) => {
  const server = await serve(t);
  const bundled = await build({
    stdin: { contents: program('/package', { file: './webmamba.min.js' }), resolveDir: `${builtPackage()}/dist` },
    bundle: true, write: false, format: 'esm',
  });
  server.file('/package/app.js', bundled.outputFiles[0].text, { type: 'text/javascript' });
  server.file('/p', html("import '/package/app.js';"), { type: 'text/html' });
  assertBoth(await results(t, await launch(t), server.url('/p')));
  assert.ok(server.requests.some(({ path }) => path.endsWith('/worker-thread.js')));
});
