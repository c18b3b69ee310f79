// Makes the pictures of the demo again: those of the README (docs/), the one that other sites show, and the icons.
// Usage: node pictures.mjs, after `make pkg`
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch } from './support/browser.mjs';
import { openDemo, WAIT } from './support/demo.mjs';
import { IMAGES, ROOT } from './support/paths.mjs';

const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };
/** Small enough for a repository. */
const JPEG = { type: 'jpeg', quality: 78, animations: 'disabled' };

/** Runs work as tests do, with what it opens closed in the end. */
async function using(work) {
  const closers = [];
  try {
    await work({ after: (close) => closers.unshift(close) });
  } finally {
    for (const close of closers) await close();
  }
}

/** @param {string} path @param {object} options of `openDemo` @param {(demo: any) => Promise<void>} reach what is to be seen */
async function picture(path, options, reach) {
  await using(async (t) => {
    const demo = await openDemo(t, options);
    await demo.ready();
    await reach(demo);
    // Until every bar stands still and nothing has the focus.
    await demo.page.evaluate(() => document.activeElement.blur());
    await demo.page.waitForTimeout(600);
    await demo.page.screenshot({ path: join(ROOT, path), ...JPEG });
    console.log(path);
  });
}

/** The middle of each sample picture, for its button. */
async function thumbs(browser) {
  mkdirSync(join(ROOT, 'www/thumbs'), { recursive: true });
  const page = await browser.newPage({ viewport: { width: 160, height: 160 } });
  for (const name of ['chelsea', 'coffee', 'astronaut']) {
    const source = readFileSync(join(IMAGES, `${name}.png`)).toString('base64');
    await page.setContent(`<style>*{margin:0}img{display:block;width:160px;height:160px;object-fit:cover;object-position:50% 25%}</style><img src="data:image/png;base64,${source}">`);
    await page.locator('img').evaluate((image) => image.decode());
    await page.screenshot({ path: join(ROOT, `www/thumbs/${name}.jpg`), ...JPEG });
    console.log(`www/thumbs/${name}.jpg`);
  }
}

await using(async (t) => {
  const browser = await launch(t);
  await thumbs(browser);
  const svg = readFileSync(join(ROOT, 'www/app-icon.svg'), 'utf8');
  mkdirSync(join(ROOT, 'www/icons'), { recursive: true });
  for (const side of [180, 192, 512]) {
    const page = await browser.newPage({ viewport: { width: side, height: side } });
    await page.setContent(`<style>*{margin:0}svg{display:block;width:100vw;height:100vh}</style>${svg}`);
    await page.screenshot({ path: join(ROOT, `www/icons/icon-${side}.png`) });
    console.log(`www/icons/icon-${side}.png`);
  }
});

const sample = (name, label) => async ({ by, topIs }) => {
  await by(`sample-${name}`).click();
  await topIs(label);
};

await picture('docs/look.jpg', { viewport: { width: 1280, height: 780 } }, sample('coffee', 'cup'));
await picture('docs/phone.jpg', PHONE, async ({ by, topIs }) => {
  await by('start-camera').tap();
  await topIs('person');
});
await picture('docs/teach.jpg', { viewport: { width: 1280, height: 780 }, colorScheme: 'dark', query: '#teach' }, async ({ by, page }) => {
  const [names, files] = ['input:not([type=file])', '[type=file]'].map((kind) => by('teach-things').locator(kind));
  for (const [i, [name, file]] of [['Whiskers', 'chelsea.png'], ['Breakfast', 'coffee.png']].entries()) {
    await names.nth(i).fill(name);
    await names.nth(i).press('Tab');
    await files.nth(i).setInputFiles(join(IMAGES, file));
  }
  await by('sample-chelsea').click();
  await page.waitForFunction(() => /Whiskers/.test(document.querySelector('#answer').textContent), undefined, WAIT);
});
await picture('www/preview.jpg', { viewport: { width: 1200, height: 630 } }, async ({ by, page, topIs }) => {
  await sample('coffee', 'cup')({ by, topIs });
  await page.evaluate(() => scrollTo(0, 0));
});
