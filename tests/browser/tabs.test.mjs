/** The demo's other tabs: own things are taught, pictures are searched, two models compared; and what a model cannot show. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { violations } from './support/axe.mjs';
import { checkpoint } from './support/checkpoint.mjs';
import { openDemo, SCREENSHOTS, WAIT } from './support/demo.mjs';
import { FIXTURES, IMAGES } from './support/paths.mjs';

const picture = (name) => join(IMAGES, name);
const said = (page, text) => page.waitForFunction((text) => {
  const answer = document.querySelector('#answer');
  return !answer.hidden && answer.textContent.includes(text);
}, text, WAIT);

/** The demo on one of its tabs, with things that a model has been taught. */
async function taught(t, options) {
  const demo = await openDemo(t, { query: '#teach', ...options });
  const { by, page, ready } = demo;
  await ready();
  const names = by('teach-things').locator('input:not([type=file])');
  await names.nth(0).fill('Whiskers');
  await names.nth(0).press('Enter');
  await names.nth(1).fill('Breakfast');
  await names.nth(1).press('Tab');
  const files = by('teach-things').locator('[type=file]');
  await files.nth(0).setInputFiles(picture('chelsea.png'));
  await files.nth(1).setInputFiles(picture('coffee.png'));
  await page.waitForFunction(() => document.querySelectorAll('#teach-things canvas').length === 2, undefined, WAIT);
  return { ...demo, names, files };
}

test('tabs: the address says which one, the other panels are gone, and "back" leads back', async (t) => {
  const { by, page, ready, topIs } = await openDemo(t);
  await ready();
  await by('sample-chelsea').click();
  await topIs('cat');
  assert.equal(await by('tab-look').getAttribute('aria-current'), 'page');
  await by('tab-teach').click();
  assert.equal(new URL(page.url()).hash, '#teach');
  assert.equal(await by('panel-teach').isVisible(), true);
  assert.equal(await by('predictions').isVisible(), false);
  assert.equal(await by('answer').isVisible(), false);
  // The way to the picture is no tab.
  await page.evaluate(() => location.assign('#stage'));
  assert.equal(await by('panel-teach').isVisible(), true);
  await page.goBack();
  await page.goBack();
  await topIs('cat');
  assert.equal(await by('tab-look').getAttribute('aria-current'), 'page');
});

test('teach: two things by files, then it tells them apart, and what is like neither', async (t) => {
  const { by, page, shot } = await taught(t);
  await by('sample-chelsea').click();
  await said(page, 'Whiskers');
  await by('sample-coffee').click();
  await said(page, 'Breakfast');
  await shot('teach');
  await by('sample-astronaut').click();
  await said(page, 'None of these');
});

test('teach: by the camera while a button is held, or a key is pressed', async (t) => {
  const { by, page, ready } = await openDemo(t, { query: '#teach' });
  await ready();
  const hold = by('teach-show').first();
  // Nothing is shown yet: the camera starts.
  await hold.click();
  await page.waitForFunction(() => document.querySelector('#stage').dataset.source === 'camera', undefined, WAIT);
  const count = () => by('teach-things').locator('li').first().locator('.count').textContent();
  await page.waitForFunction(() => document.querySelector('video').readyState >= 2, undefined, WAIT);
  await hold.hover();
  await page.mouse.down();
  await page.waitForFunction(() => /[2-9] pictures/.test(document.querySelector('#teach-things .count').textContent), undefined, WAIT);
  await page.mouse.up();
  await page.waitForTimeout(500);
  const before = await count();
  await hold.focus();
  await page.keyboard.press('Enter');
  await page.waitForFunction((before) => document.querySelector('#teach-things .count').textContent !== before, before, WAIT);
});

test('teach: saved, forgotten, opened again; another model learns the same pictures', async (t) => {
  const { by, page, names } = await taught(t, { allowErrors: true });
  const [download] = await Promise.all([page.waitForEvent('download'), by('teach-save').click()]);
  const saved = readFileSync(await download.path());
  assert.deepEqual(JSON.parse(saved).classes.map(({ label, count }) => [label, count]), [['Whiskers', 1], ['Breakfast', 1]]);
  for (let i = 0; i < 2; i++) await by('teach-things').locator('.close').first().click();
  assert.equal(await names.count(), 0);
  await by('teach-open').setInputFiles({ name: 'lesson.json', mimeType: 'application/json', buffer: saved });
  await by('sample-chelsea').click();
  await said(page, 'Whiskers');
  await by('teach-open').setInputFiles({ name: 'lesson.json', mimeType: 'application/json', buffer: Buffer.from('{}') });
  await by('error').waitFor({ state: 'visible', ...WAIT });
  assert.match(await by('error').textContent(), /nothing that was taught here/);
  // Pictures that were seen here go to the next model.
  await by('teach-things').locator('[type=file]').nth(0).setInputFiles(picture('chelsea.png'));
  await by('teach-things').locator('[type=file]').nth(1).setInputFiles(picture('coffee.png'));
  await page.waitForFunction(() => document.querySelectorAll('#teach-things canvas').length === 2, undefined, WAIT);
  await by('drawer-toggle').click();
  await by('model-select').selectOption('mila_nano');
  await page.waitForFunction(() => /MILA/.test(document.querySelector('#status').textContent) && document.body.dataset.state === 'ready', undefined, WAIT);
  await by('sample-coffee').click();
  await said(page, 'Breakfast');
  assert.deepEqual(await by('teach-things').locator('.count').allTextContents(), ['1 picture', '1 picture']);
});

test('search: by a picture that is pressed, by a word, by the camera', async (t) => {
  const { by, page, ready, shot } = await openDemo(t, { query: '#search' });
  await ready();
  await by('search-add').setInputFiles(['astronaut.png', 'chelsea.png', 'coffee.png', 'rocket.jpg'].map(picture));
  const order = () => by('search-grid').locator('button').evaluateAll((tiles) => tiles.map((tile) => tile.title.replace(/\.\w+$/, '')));
  const firstIs = (name) => page.waitForFunction((name) => {
    const [tile, value] = [document.querySelector('#search-grid .tile'), document.querySelector('#search-grid .tile-value')];
    return tile.title.startsWith(name) && value.textContent;
  }, name, WAIT);
  await page.waitForFunction(() => document.querySelectorAll('#search-chips button').length > 2, undefined, WAIT);
  assert.deepEqual(await order(), ['astronaut', 'chelsea', 'coffee', 'rocket']);
  await by('search-grid').locator('button').nth(2).click();
  await firstIs('coffee');
  assert.match(await by('search-grid').locator('.tile-value').first().textContent(), /^(99|100) %$/);
  await shot('search');
  await by('search-word').fill('Cat');
  await firstIs('chelsea');
  await by('search-word').fill('flux compensator');
  assert.match(await by('search-note').textContent(), /not among the things it knows/);
  await by('search-chips').locator('button', { hasText: 'person' }).click();
  await firstIs('astronaut');
  await by('search-word').fill('');
  await by('start-camera').click();
  await firstIs('coffee');
  await firstIs('astronaut');
  await by('search-keep').click();
  await page.waitForFunction(() => document.querySelectorAll('#search-grid li').length === 5, undefined, WAIT);
  await by('search-clear').click();
  assert.deepEqual(await order(), []);
});

test('compare: two models say what they see in the same picture, whether they agree, and how long they take', async (t) => {
  const { by, page, ready, shot } = await openDemo(t, { query: '#compare' });
  await ready();
  await by('sample-chelsea').click();
  await page.waitForFunction(() => /Both say cat/.test(document.querySelector('#compare-agreement').textContent), undefined, WAIT);
  assert.match(await by('answer').textContent(), /MambaVision nano\s+Cat/);
  assert.match(await by('second-answer').textContent(), /MILA nano\s+Cat/);
  await by('start-camera').click();
  await page.waitForFunction(() => /agree on \d+ % of \d\d+ frames/.test(document.querySelector('#compare-agreement').textContent), undefined, WAIT);
  for (const side of ['a', 'b']) assert.ok(Number.parseFloat(await by(`compare-${side}-time`).textContent()) > 0);
  assert.match(await by('compare-speed').textContent(), /times as fast|take as long/);
  await shot('compare');
  await by('compare-second').selectOption('mamba_vision_nano');
  await page.waitForFunction(() => /MambaVision nano/.test(document.querySelector('#second-answer').textContent), undefined, WAIT);
});

for (const [look, context] of Object.entries({
  wide: {}, 'wide-dark': { colorScheme: 'dark' },
  narrow: { viewport: { width: 320, height: 640 } }, 'narrow-dark': { viewport: { width: 320, height: 640 }, colorScheme: 'dark' },
})) {
  test(`maps of scans are chosen by what they show and by their layer, ${look}`, async (t) => {
    const { by, page, ready, topIs, shot } = await openDemo(t, context);
    await ready();
    await by('sample-chelsea').click();
    await topIs('cat');
    assert.equal(await by('map-choice').isVisible(), false);
    await by('heatmap-toggle').check();
    assert.ok(await by('map-kind').isVisible());
    assert.equal(await by('map-layer').isVisible(), false);
    const legend = (text) => page.waitForFunction(
      (text) => !document.querySelector('#heatmap-legend').hidden && document.querySelector('#heatmap-legend').textContent === text, text, WAIT);
    const painted = () => page.evaluate(() => {
      const canvas = document.querySelector('#heatmap');
      return [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data].reduce((hash, byte) => (hash * 31 + byte) | 0, 7);
    });
    await legend('other thingscat');
    const seen = [await painted()];
    await by('map-kind').selectOption('forget');
    await legend('forgetskeeps');
    seen.push(await painted());
    await by('map-layer').selectOption({ index: 0 });
    await legend('forgetskeeps');
    seen.push(await painted());
    await by('map-kind').selectOption('contribution');
    await legend('leastmost');
    seen.push(await painted());
    assert.equal(new Set(seen).size, 4, seen.join());
    await by('map-layer').scrollIntoViewIfNeeded();
    await shot(`map-choice-${look}`);
    assert.deepEqual(await violations(page), []);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false);
    // A class that is pressed has its own map.
    await by('predictions').locator('.label').nth(1).click();
    await page.waitForFunction(() => /^other things/.test(document.querySelector('#heatmap-legend').textContent), undefined, WAIT);
    assert.equal(await by('map-kind').inputValue(), 'cam');
    await by('heatmap-toggle').uncheck();
    assert.equal(await by('map-choice').isVisible(), false);
  });
}

test('a model with scans and without class maps shows its scans, on pictures and before the camera', async (t) => {
  const { server, by, page, ready, topIs } = await openDemo(t, { query: '?model=/vim/', allowErrors: true });
  server.model('/vim', checkpoint('vim_micro'));
  await page.reload();
  await ready();
  await by('sample-chelsea').click();
  await topIs();
  await by('heatmap-toggle').check();
  await page.waitForFunction(() => document.querySelector('#heatmap-legend').textContent === 'littlemuch', undefined, WAIT);
  assert.deepEqual(await by('map-kind').locator('option').evaluateAll((all) => all.map(({ value }) => value)), ['delta', 'forget', 'contribution']);
  assert.equal(await by('map-layer').inputValue(), 'layers.2.mixer');
  await by('start-camera').click();
  await topIs();
  await page.waitForFunction(() => !document.querySelector('#heatmap').hidden, undefined, WAIT);
  assert.equal(await by('error').isVisible(), false);
});

test('a model without class maps: no switch, a plain word, and the answer all the same', async (t) => {
  const { server, by, page, ready, topIs } = await openDemo(t, { query: '?model=/out/', allowErrors: true });
  server.model('/out', checkpoint('mambaout_micro'));
  await page.reload();
  await ready();
  await by('sample-chelsea').click();
  await topIs();
  assert.ok(await by('heatmap-none').isVisible());
  assert.equal(await by('heatmap-toggle').isVisible(), false);
  await page.waitForFunction(() => document.body.dataset.state === 'ready', undefined, WAIT);
  assert.equal(await by('error').isVisible(), false);
  assert.ok(await by('answer').isVisible());
  await by('start-camera').click();
  await topIs();
  assert.equal(await by('error').isVisible(), false);
});

/** Models that name pixels come with a fixture. */
const skip = existsSync(join(FIXTURES, 'upernet_micro.json')) ? false : 'there is no fixture of a dense model';

test('segment: a checkpoint that names pixels has a tab of its own, beside the model that names pictures', { skip }, async (t) => {
  const { by, page, ready, topIs } = await openDemo(t);
  await ready();
  assert.equal(await by('tab-segment').isVisible(), false);
  await by('sample-coffee').click();
  await topIs('cup');
  const { weights, config } = checkpoint('upernet_micro');
  await by('file-input').setInputFiles([
    { name: 'dense.safetensors', mimeType: 'application/octet-stream', buffer: Buffer.from(weights) },
    { name: 'config.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(config)) },
  ]);
  await page.waitForFunction(() => !document.querySelector('#segments').hidden && document.querySelector('#segment-list li:not([hidden])'), undefined, WAIT);
  assert.equal(await by('tab-segment').getAttribute('aria-current'), 'page');
  const things = by('segment-list').locator('li:not([hidden])');
  assert.ok((await things.count()) > 0);
  const colours = () => by('segments').evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return { size: [canvas.width, canvas.height], alphas: [...new Set(data.filter((_, i) => i % 4 === 3))].length };
  });
  assert.deepEqual((await colours()).size, [600, 400]);
  await page.locator('#stage').hover();
  assert.ok((await by('answer').textContent()).trim().length > 0);
  await things.first().locator('button').click();
  assert.equal(await things.first().locator('button').getAttribute('aria-pressed'), 'true');
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    for (const [width, height] of [[1280, 860], [320, 640]]) {
      await page.setViewportSize({ width, height });
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, `${width} pixels are too few`);
      await by('segments').scrollIntoViewIfNeeded();
      await page.screenshot({ path: join(SCREENSHOTS, `segment-${colorScheme}-${width}.png`), fullPage: width < 400, animations: 'disabled' });
      assert.deepEqual(await violations(page), [], `${colorScheme}, ${width} pixels`);
    }
  }
  await page.setViewportSize({ width: 1280, height: 860 });
  await by('start-camera').click();
  await page.waitForFunction(() => document.querySelector('#segments').width === 640, undefined, WAIT);
  // The other tabs go on with the model of before.
  await by('tab-look').click();
  await topIs('cup');
  assert.equal(await by('segments').isVisible(), false);
});
