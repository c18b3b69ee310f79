/** The programs of `examples/web` that need nothing but the package and Vite; `tests/runtimes` starts the others. */
import assert from 'node:assert/strict';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { launch, serve, watchProblems } from './support/browser.mjs';
import { film } from './support/camera.mjs';
import { builtPackage, IMAGES, ROOT } from './support/paths.mjs';
import { command, freePort, freshProject, startServer, tool } from './support/project.mjs';

const RECIPES = join(ROOT, 'examples/web');
const CDN = 'https://cdn.example/webmamba@0.1.0/dist/';

/** A recipe that is a plain page, on a server of its own; its CDN is the built package. */
async function open(t, name, { flags = [], permissions = [] } = {}) {
  const server = await serve(t);
  server.folder('/recipe/', join(RECIPES, name));
  server.folder('/recipe/webmamba/', `${builtPackage()}/dist`);
  const context = await (await launch(t, { flags })).newContext({ permissions });
  const page = await context.newPage();
  const problems = watchProblems(page);
  await page.route(`${CDN}**`, async (route) => {
    const path = join(builtPackage(), 'dist', new URL(route.request().url()).pathname.slice(new URL(CDN).pathname.length));
    await route.fulfill({ path, headers: { 'access-control-allow-origin': '*', ...(path.endsWith('.wasm') && { 'content-type': 'application/wasm' }) } });
  });
  await page.goto(server.url('/recipe/index.html'));
  // Pages without an icon are asked for one all the same; browsers tell of every request without a network.
  t.after(() => assert.deepEqual(problems.filter((text) => !/favicon|ERR_CONNECTION_REFUSED/.test(text)), []));
  return { page, server };
}

/** Waits for a text in the page's output. */
const says = (page, text) => page.waitForFunction((text) => new RegExp(text).test(document.querySelector('output').textContent), text, { timeout: 60_000 });
const picture = (name) => join(IMAGES, name);

test('a plain page with one file from a CDN says what a picture shows', async (t) => {
  const { page } = await open(t, 'cdn');
  await says(page, 'Choose');
  await page.setInputFiles('input', picture('coffee.png'));
  await says(page, '^cup, \\d+ %$');
});

test('the image search puts the most alike first', async (t) => {
  const { page } = await open(t, 'search');
  await page.setInputFiles('input', ['coffee.png', 'rocket.jpg', 'chelsea.png', 'astronaut.png'].map(picture));
  await says(page, '4 pictures');
  await page.click('button[title="chelsea.png"]');
  const order = await page.evaluate(() => [...document.querySelectorAll('main button')].map(({ title }) => title));
  assert.equal(order[0], 'chelsea.png');
  assert.equal(order.length, 4);
});

test('classes of one\'s own by webcam are learned, and known after the page is loaded again', async (t) => {
  const flags = ['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', `--use-file-for-fake-video-capture=${await film(['coffee.png', 'chelsea.png'])}`];
  const { page } = await open(t, 'teach', { flags });
  await says(page, 'Ready');
  await page.click('text=thumbs up');
  await page.click('text=nobody');
  await says(page, '^(thumbs up|nobody), \\d+ %$');
  await page.reload();
  await says(page, '^(thumbs up|nobody), \\d+ %$');
});

test('the installed page works without a network', async (t) => {
  const { page, server } = await open(t, 'pwa');
  await says(page, 'from now on');
  await server.stop();
  await page.reload();
  await says(page, 'Ready');
  await page.setInputFiles('input', picture('coffee.png'));
  await says(page, '^cup$');
});

test('Vite with a camera and a worker, as built', async (t) => {
  const folder = await freshProject(t, {});
  for (const name of ['index.html', 'main.js']) cpSync(join(RECIPES, 'vite', name), join(folder, name));
  await command(tool('vite'), ['build'], { cwd: folder });
  const port = await freePort();
  const url = `http://localhost:${port}/`;
  await startServer(t, tool('vite'), ['preview', '--port', port, '--strictPort', '--host', 'localhost'], { cwd: folder, url });
  const flags = ['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', `--use-file-for-fake-video-capture=${await film(['coffee.png'])}`];
  const page = await (await launch(t, { flags })).newPage();
  await page.goto(url);
  await says(page, '^cup \\(\\d+ frames a second\\)$');
});

test('Node.js names picture files', async (t) => {
  const folder = await freshProject(t, { 'classify.mjs': readFileSync(join(RECIPES, 'node/classify.mjs'), 'utf8') });
  const { stdout } = await command('node', ['classify.mjs', picture('coffee.png'), picture('chelsea.png')], { cwd: folder });
  const lines = stdout.trim().split('\n').map((line) => line.slice(IMAGES.length + 1));
  assert.match(lines[0], /^coffee\.png: cup \(\d+ %\)$/);
  assert.match(lines[1], /^chelsea\.png: cat \(\d+ %\)$/);
});
