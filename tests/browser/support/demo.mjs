/** The demo page in a browser with a fake camera. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { launch, watchProblems } from './browser.mjs';
import { film } from './camera.mjs';
import { builtPackage, IMAGES, outFolder, ROOT } from './paths.mjs';
import { Server } from './server.mjs';

export const SCREENSHOTS = outFolder('screenshots');
export const CAMERA = '--use-fake-device-for-media-stream';
const ALLOWED = '--use-fake-ui-for-media-stream';
export const WAIT = { timeout: 60_000 };

/** Made once for all tests of a file. @type {Promise<string> | undefined} */
let recording;

/** The demo as `make web` serves it, or the finished folder that is given or that `WEBMAMBA_DEMO` names. */
async function serveDemo(t, folder) {
  const server = await Server.start();
  t.after(() => server.stop());
  if (folder) server.folder('/', folder);
  else if (process.env.WEBMAMBA_DEMO) {
    assert.ok(existsSync(join(process.env.WEBMAMBA_DEMO, 'index.html')), 'WEBMAMBA_DEMO names no folder with an index.html');
    server.folder('/', process.env.WEBMAMBA_DEMO);
  } else {
    server.folder('/', join(ROOT, 'www'));
    server.folder('/webmamba/', join(builtPackage(), 'dist'));
    server.folder('/samples/', IMAGES);
  }
  return server;
}

/**
 * The demo in a browser with a camera.
 * @param {{ query?: string, flags?: string[], webgpu?: boolean, drawer?: boolean, viewport?: { width: number, height: number },
 *   allowErrors?: boolean, colorScheme?: 'dark' | 'light', folder?: string }} [options] `drawer`: opened at once
 */
export async function openDemo(t, { query = '', flags = [CAMERA, ALLOWED], webgpu, drawer = false, allowErrors = false, folder, ...context } = {}) {
  recording ??= film(['coffee.png', 'astronaut.png'], 3);
  // What comes first ends first: a page that still loads something shall not see its server go.
  const browser = await launch(t, { webgpu, flags: [...flags, `--use-file-for-fake-video-capture=${await recording}`] });
  const server = await serveDemo(t, folder);
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 860 }, serviceWorkers: 'block', ...context })).newPage();
  const problems = watchProblems(page);
  t.after(() => assert.deepEqual(allowErrors ? problems.filter((problem) => problem.startsWith('uncaught')) : problems, []));
  await page.addInitScript(() => {
    // The package keeps its module's memory to itself; whoever makes the module sees it.
    const { instantiateStreaming } = WebAssembly;
    WebAssembly.instantiateStreaming = async (...options) => {
      const made = await instantiateStreaming.apply(WebAssembly, options);
      globalThis.wasm = made.instance.exports.memory;
      return made;
    };
    // What the page was given, to see whether it gives it back.
    globalThis.streams = [];
    const { mediaDevices } = navigator;
    if (!mediaDevices) return;
    const original = mediaDevices.getUserMedia.bind(mediaDevices);
    mediaDevices.getUserMedia = async (...options) => {
      const stream = await original(...options);
      streams.push(stream);
      return stream;
    };
  });
  await page.goto(server.url(`/${query}`));
  const by = (id) => page.getByTestId(id);
  if (drawer) await by('drawer-toggle').click();
  return {
    server, page, by,
    ready: () => page.waitForFunction(() => ['ready', 'running'].includes(document.body.dataset.state), undefined, WAIT),
    top: () => by('predictions').locator('li .label').first().textContent(),
    /** Waits until the best class has this name, or any where none is given. */
    topIs: (label) => page.waitForFunction(
      (label) => {
        const text = document.querySelector('#predictions .label')?.textContent;
        return label ? text === label : Boolean(text);
      }, label, WAIT),
    tracks: () => page.evaluate(() => streams.flatMap((stream) => stream.getTracks().map(({ readyState }) => readyState))),
    shot: (name) => page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), animations: 'disabled' }),
  };
}
