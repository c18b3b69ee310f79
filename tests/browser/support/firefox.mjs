/** Firefox with WebGPU on Mesa's software rasteriser, over WebDriver BiDi. */
import { existsSync } from 'node:fs';
import puppeteer from 'puppeteer-core';

const EXECUTABLE = process.env.FIREFOX ?? '/usr/bin/firefox-esr';
const LAVAPIPE = '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json';

/** A page of a browser of its own. @param {import('node:test').TestContext} t closes the browser when it is over */
export async function openFirefox(t) {
  if (!existsSync(EXECUTABLE)) throw new Error(`there is no ${EXECUTABLE}: install Debian's firefox-esr, or name another one in the variable FIREFOX`);
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: EXECUTABLE,
    headless: true,
    timeout: 300_000,
    protocolTimeout: 600_000,
    // Off by default on Linux, and then only for known drivers.
    extraPrefsFirefox: { 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true, 'dom.webgpu.workers.enabled': true },
    env: { ...process.env, VK_DRIVER_FILES: LAVAPIPE, VK_ICD_FILENAMES: LAVAPIPE },
  });
  t.after(() => browser.close());
  const page = await browser.newPage();
  // As patient as for its start: on a busy machine its first page takes a minute.
  page.setDefaultTimeout(300_000);
  page.setDefaultNavigationTimeout(300_000);
  return page;
}
