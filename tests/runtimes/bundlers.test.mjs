/** Other bundlers and frameworks. Vite, webpack and esbuild are tried in `tests/browser`. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { launch, watchProblems } from '../browser/support/browser.mjs';
import { IMAGES } from '../browser/support/paths.mjs';
import { bundled, check, copyPackage, serveFolder, WITH_BASE } from '../browser/support/program.mjs';
import { command, freePort, startServer, tool } from '../browser/support/project.mjs';
import { projectOf } from './support.mjs';

/** A tool of a project: those of other folders would bring a second React. */
const own = (folder, name) => join(folder, 'node_modules/.bin', name);
const COFFEE = join(IMAGES, 'coffee.png');

/** A project with the program that all bundlers pack. */
async function plain(t, before) {
  const folder = await projectOf(t);
  for (const [name, text] of Object.entries(bundled(before))) writeFileSync(join(folder, name), text);
  mkdirSync(join(folder, 'public'));
  cpSync(COFFEE, join(folder, 'public/coffee.png'));
  return folder;
}

/** Gives a picture to the page at `url`, and waits for a text in it. */
async function look(t, url, text) {
  const page = await (await launch(t)).newPage();
  const problems = watchProblems(page);
  await page.goto(url);
  await page.setInputFiles('input', COFFEE, { timeout: 60_000 });
  await page.waitForFunction((text) => document.body.textContent.includes(text), text, { timeout: 60_000 }).catch((error) => {
    throw new Error([error.message, ...problems].join('\n'));
  });
  assert.deepEqual(problems.filter((text) => !text.includes('favicon')), []);
}

test('rollup, with the package\'s files copied', async (t) => {
  const folder = await plain(t, WITH_BASE);
  copyPackage(folder);
  await command(own(folder, 'rollup'), ['main.js', '--plugin', 'node-resolve', '--format', 'es', '--dir', 'public'], { cwd: folder });
  await check(t, await serveFolder(t, join(folder, 'public')));
});

test('Parcel, without any configuration', async (t) => {
  const folder = await plain(t);
  await command(own(folder, 'parcel'), ['build', 'index.html', '--no-cache', '--no-source-maps'], { cwd: folder });
  await check(t, await serveFolder(t, join(folder, 'public'), join(folder, 'dist')));
});

test('React, packed by Vite: a hook gives the model to a page', async (t) => {
  const folder = await projectOf(t, 'react');
  await command(tool('vite'), ['build'], { cwd: folder });
  await look(t, await serveFolder(t, join(folder, 'dist')), 'cup, ');
});

test('Next.js with Turbopack: a page, and a route on the server', async (t) => {
  const folder = await projectOf(t, 'next');
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: '1', CI: '1' };
  await command(own(folder, 'next'), ['build'], { cwd: folder, env });
  const port = await freePort();
  const url = `http://localhost:${port}/`;
  await startServer(t, own(folder, 'next'), ['start', '--port', port], { cwd: folder, url });
  await look(t, url, 'cup');
  const answer = await fetch(`${url}api/classify`, { method: 'POST', body: readFileSync(COFFEE) });
  assert.equal(answer.status, 200, await answer.clone().text());
  const [best] = await answer.json();
  assert.equal(best.label, 'cup');
});
