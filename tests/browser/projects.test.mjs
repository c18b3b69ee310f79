/** Fresh projects that have installed the tarball: plain HTML, Vite, webpack, esbuild. Each runs the default model in Chromium. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { need, ROOT } from './support/paths.mjs';
import { bundled, check, copyPackage, page, program, project, serveFolder, WITH_BASE } from './support/program.mjs';
import { command, filesBelow, freePort, startServer, tool } from './support/project.mjs';

test('plain HTML with an import map', async (t) => {
  const imports = { webmamba: '/node_modules/webmamba/dist/index.js' };
  const map = `<script type="importmap">${JSON.stringify({ imports })}</script>`;
  const folder = await project(t, { 'index.html': page(`${map}<script type="module" src="/main.js"></script>`), 'main.js': program() });
  await check(t, await serveFolder(t, join(folder, 'public'), folder));
});

test('Vite, dev server, without any configuration', async (t) => {
  const folder = await project(t, bundled());
  const port = await freePort();
  const url = `http://localhost:${port}/`;
  await startServer(t, tool('vite'), ['--port', port, '--strictPort', '--host', 'localhost'], { cwd: folder, url });
  await check(t, url);
});

test('Vite, built and previewed, without any configuration', async (t) => {
  const folder = await project(t, bundled());
  await command(tool('vite'), ['build'], { cwd: folder });
  const built = filesBelow(join(folder, 'dist'));
  for (const module of [/webmamba_bg.*\.wasm$/, /webmamba_torch.*\.wasm$/]) assert.ok(built.some((name) => module.test(name)), built.join());
  const port = await freePort();
  const url = `http://localhost:${port}/`;
  await startServer(t, tool('vite'), ['preview', '--port', port, '--strictPort', '--host', 'localhost'], { cwd: folder, url });
  await check(t, url);
});

test('webpack, for production, without any configuration', async (t) => {
  const folder = await project(t, {
    'src/index.js': program(),
    'public/index.html': page('<script defer src="main.js"></script>'),
  });
  await command(tool('webpack'), ['--mode', 'production'], { cwd: folder });
  const built = filesBelow(join(folder, 'dist'));
  // That with relaxed vectors, the one without, and the reader of files of `torch.save`.
  assert.equal(built.filter((name) => name.endsWith('.wasm')).length, 3, built.join());
  await check(t, await serveFolder(t, join(folder, 'public'), join(folder, 'dist')));
});

test('esbuild, with the package\'s files copied', async (t) => {
  const folder = await project(t, bundled(WITH_BASE));
  copyPackage(folder);
  const esbuild = need(join(ROOT, 'pkg/node_modules/.bin/esbuild'), 'run `npm ci` in pkg');
  await command(esbuild, ['main.js', '--bundle', '--minify', '--format=esm', '--outdir=public'], { cwd: folder });
  await check(t, await serveFolder(t, join(folder, 'public')));
});
