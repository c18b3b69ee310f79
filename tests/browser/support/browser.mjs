/** Chromium with WebGPU on SwiftShader, and pages in it that have the package at `/package/`. */
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { builtPackage, IMAGES } from './paths.mjs';
import { Server } from './server.mjs';

export const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';

const FLAGS = [
  '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync',
];
const WEBGPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

/** A name of this machine that browsers do not trust: pages of `http://` there have no `navigator.gpu`, no camera and no cache. */
const INSECURE = 'insecure.test';

/**
 * @param {import('node:test').TestContext} t closes the browser when it is over
 * @param {{ webgpu?: boolean, flags?: string[] }} [options] without WebGPU, `navigator.gpu` is there and finds no adapter
 */
export async function launch(t, { webgpu = true, flags = [] } = {}) {
  if (!existsSync(EXECUTABLE)) {
    throw new Error(`there is no ${EXECUTABLE}: install Debian's chromium, or name another one in the variable CHROMIUM`);
  }
  const browser = await chromium.launch({
    executablePath: EXECUTABLE,
    args: [...FLAGS, ...(webgpu ? WEBGPU : []), `--host-resolver-rules=MAP ${INSECURE} 127.0.0.1`, ...flags],
  });
  t.after(() => browser.close());
  return browser;
}

/** The CPU in browsers that know no relaxed vectors: another module. */
export const PLAIN_CPU = 'cpu without relaxed vectors';

/** What `device` is for `load` in this page, which takes the module that belongs to it. */
export async function prepareDevice(page, device) {
  if (device === PLAIN_CPU) await withoutRelaxedVectors(page);
  return device === PLAIN_CPU ? 'cpu' : device;
}

/** Has pages take the module for browsers without relaxed vectors, until they are loaded again. */
export function withoutRelaxedVectors(page) {
  return page.evaluate(() => {
    WebAssembly.validate = () => false;
  });
}

/** A server with the package at `/package/`, the sample photographs at `/images/`, and an empty page at `/`. */
export async function serve(t) {
  const server = await Server.start();
  t.after(() => server.stop());
  server.folder('/package/', `${builtPackage()}/dist`);
  server.folder('/images/', IMAGES);
  server.file('/', '<!doctype html><meta charset="utf-8"><title>test</title><link rel="icon" href="data:,">', { type: 'text/html' });
  return server;
}

/**
 * An empty page with the package in its globals: `webmamba` has the exports, `picture(name)` gets a sample photograph.
 * Whatever the page reports to its console as an error is an error of the test.
 */
export async function openPage(t, browser, server, { context, allowErrors = false, secure = true } = {}) {
  const where = context ?? (await browser.newContext());
  const page = await where.newPage();
  const problems = watchProblems(page);
  await page.goto(secure ? server.url('/') : insecure(server.url('/')));
  await page.evaluate(async () => {
    globalThis.webmamba = await import('/package/index.js');
    globalThis.picture = async (name) => (await fetch(`/images/${name}`)).blob();
    /** What a call throws, as plain data; undefined where it succeeds. */
    globalThis.thrown = async (call) => {
      try {
        await call();
        return undefined;
      } catch (error) {
        const known = Object.entries(webmamba).find(([, value]) => typeof value === 'function' && error?.constructor === value);
        return { type: known?.[0] ?? error?.constructor?.name, name: error?.name, message: error?.message };
      }
    };
  });
  t.after(() => {
    if (!allowErrors && problems.length) throw new Error(`the page reported problems:\n${problems.join('\n')}`);
  });
  return page;
}

/** The same address where the browser does not trust it. */
export function insecure(address) {
  return address.replace('localhost', INSECURE);
}

/** Uncaught exceptions and console errors of a page; the list grows as they come. */
export function watchProblems(page) {
  const problems = [];
  page.on('pageerror', (error) => problems.push(`uncaught ${error.stack ?? error}`));
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(`console: ${message.text()} (${message.location().url})`);
  });
  return problems;
}
