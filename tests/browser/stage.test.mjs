/** The demo as people see it: the answer on the picture, at every size, with what may go wrong; and as axe-core sees it. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { percent } from '../../www/js/format.js';
import { violations } from './support/axe.mjs';
import { checkpoint } from './support/checkpoint.mjs';
import { openDemo, WAIT } from './support/demo.mjs';
import { IMAGES, ROOT } from './support/paths.mjs';

const MICRO = checkpoint('mambavision_micro');

const file = (name, contents) => ({ name, mimeType: 'application/octet-stream', buffer: Buffer.from(contents) });
/** Weights of a model that is never sure. */
const UNSURE = [file('own.safetensors', MICRO.weights), file('config.json', JSON.stringify({ ...MICRO.config, min_score: 1 }))];
const BROKEN = file('notes.safetensors', 'nothing of use');

/** Waits until the page does nothing any more. */
const settled = (page) => page.waitForFunction(() => document.body.dataset.state === 'ready', undefined, WAIT);

test('the answer stands on the picture, with its score', async (t) => {
  const { by, page, ready, topIs, top } = await openDemo(t);
  await ready();
  assert.equal(await by('answer').isVisible(), false);
  await by('sample-chelsea').click();
  await topIs('cat');
  assert.match(await by('answer').textContent(), /^\s*Cat \d+\.\d %\s*$/);
  await settled(page);
  assert.equal(await top(), 'cat');
  await by('start-camera').click();
  await page.waitForFunction(() => document.querySelector('#answer').hidden || !/Cat/.test(document.querySelector('#answer').textContent));
});

test('a model that is not sure says so, and what it may be', async (t) => {
  const { by, page, ready, topIs, shot } = await openDemo(t);
  await ready();
  await by('sample-coffee').click();
  await by('file-input').setInputFiles(UNSURE);
  await page.waitForFunction(() => /Not sure/.test(document.querySelector('#answer').textContent), undefined, WAIT);
  assert.match(await by('answer').textContent(), /Not sure\s+Maybe \d, \d+\.\d %/);
  assert.ok(await by('doubt').isVisible());
  const [note, list] = [await by('doubt').boundingBox(), await by('predictions').locator('.bar').first().boundingBox()];
  assert.deepEqual([list.x, list.width], [note.x, note.width], 'the bars are as wide as ever');
  await page.waitForFunction(() => document.querySelector('#announcer').textContent === 'Not sure', undefined, WAIT);
  await shot('not-sure');
});

test('scores as people read them: next to nothing is no column of zeros', async (t) => {
  assert.deepEqual([0.9996, 0.5, 0.012, 0.001, 0.0009, 0].map(percent), ['100 %', '50.0 %', '1.2 %', '0.1 %', '< 0.1 %', '0.0 %']);
  const { by, ready, topIs } = await openDemo(t);
  await ready();
  await by('sample-chelsea').click();
  await topIs('cat');
  const rows = await by('predictions').locator('li').evaluateAll((rows) => rows.map((row) => [
    Number.parseFloat(row.querySelector('.score').textContent.replace('<', '')), row.classList.contains('faint')]));
  assert.equal(rows.length, 5);
  for (const [score, faint] of rows) if (score !== 1) assert.equal(faint, score < 1, `${score} %`);
});

for (const [width, height] of [[320, 568], [390, 844], [844, 390], [820, 1180], [1280, 720], [2560, 1440]]) {
  test(`at ${width} x ${height} the picture with its answer and the button are in sight, and nothing is cut off`, async (t) => {
    const { by, page, ready, topIs, shot } = await openDemo(t, { viewport: { width, height }, hasTouch: width < 1000 });
    await ready();
    const inSight = async (...ids) => {
      for (const id of ids) {
        const { x, y, width: w, height: h } = await by(id).boundingBox();
        assert.ok(x >= 0 && y >= 0 && x + w <= width && y + h <= height, `${id}: ${[x, y, w, h]}`);
      }
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page scrolls sideways');
    };
    await inSight('start-camera', 'full-screen', 'status');
    await by('start-camera').click();
    await topIs();
    await inSight('stop-camera', 'answer', 'status');
    const picture = await page.locator('#stage').boundingBox();
    assert.ok(picture.width * picture.height > 0.25 * width * height, `the picture has ${picture.width} x ${picture.height}`);
    await shot(`size-${width}x${height}`);
  });
}

test('loading is shown on the picture', async (t) => {
  const { server, by, page, shot, ready } = await openDemo(t, { query: '?model=/slow/' });
  server.model('/slow', MICRO);
  server.behave('/slow/model.safetensors', { bytesPerSecond: 60_000 });
  await page.reload();
  await page.waitForFunction(() => /%/.test(document.querySelector('#status').textContent), undefined, WAIT);
  const frame = await page.locator('#stage').boundingBox();
  for (const id of ['load-progress', 'cancel-load', 'status']) {
    const box = await (id === 'load-progress' ? page.locator('#load-progress') : by(id)).boundingBox();
    assert.ok(box.y > frame.y && box.y + box.height < frame.y + frame.height, id);
  }
  assert.ok(await page.getByText('Getting the model ready.').isVisible());
  await shot('loading');
  server.behave('/slow/model.safetensors', {});
  // The answer under way stays slow.
  await page.reload();
  await ready();
});

test('while another model is loaded the old one goes on, and after a cancel, too', async (t) => {
  const { server, by, page, ready, topIs, shot } = await openDemo(t, { query: '?hub=/hub', drawer: true });
  server.model('/hub/some/micro/resolve/main', MICRO);
  server.behave('/hub/some/micro/resolve/main/model.safetensors', { bytesPerSecond: 60_000 });
  await ready();
  await by('start-camera').click();
  await topIs();
  await by('hub-id').fill('some/micro');
  await by('hub-id').press('Enter');
  await page.waitForFunction(() => /%/.test(document.querySelector('#status').textContent), undefined, WAIT);
  const changes = await page.evaluate(async () => {
    let changes = 0;
    const watch = new MutationObserver(() => changes++);
    watch.observe(document.querySelector('#latency'), { subtree: true, childList: true, characterData: true });
    await new Promise((resolve) => setTimeout(resolve, 2000));
    watch.disconnect();
    return document.body.dataset.state === 'loading' ? changes : 'the load was over before';
  });
  assert.ok(changes >= 2, String(changes));
  assert.ok(await by('answer').isVisible());
  await shot('reloading');
  await by('cancel-load').click();
  await ready();
  assert.equal(await by('error').isVisible(), false);
  assert.equal(await by('model-select').inputValue(), 'mamba_vision_nano');
  assert.match(await by('status').textContent(), /MambaVision nano is watching/);
  server.behave('/hub/some/micro/resolve/main/model.safetensors', {});
  await by('model-select').selectOption('some/micro');
  await page.waitForFunction(() => /^\d$/.test(document.querySelector('#predictions .label').textContent), undefined, WAIT);
});

test('a model that cannot be had: a short note on the picture, and the old one goes on', async (t) => {
  const { by, page, ready, topIs, shot } = await openDemo(t, { query: '?hub=/hub', drawer: true, allowErrors: true });
  await ready();
  await by('sample-coffee').click();
  await topIs();
  await by('hub-id').fill('nobody/nothing');
  await by('hub-id').press('Enter');
  await by('error').waitFor({ state: 'visible', ...WAIT });
  await ready();
  const [note, frame] = [await by('error').boundingBox(), await page.locator('#stage').boundingBox()];
  assert.ok(note.y >= frame.y && note.y + note.height <= frame.y + frame.height && note.height < 0.35 * frame.height, JSON.stringify(note));
  assert.equal(await by('error').locator('.technical').isVisible(), false);
  await by('error').locator('summary').click();
  assert.match(await by('error').locator('.technical').textContent(), /nobody\/nothing.*404/);
  await shot('toast');
  assert.equal(await by('adapter-badge').getAttribute('data-kind'), 'cpu');
  assert.equal(await by('model-select').inputValue(), 'mamba_vision_nano');
  assert.equal(new URL(page.url()).searchParams.get('model'), null);
  assert.ok(await by('answer').isVisible());
  await by('sample-chelsea').click();
  await topIs('cat');
  assert.equal(await by('error').isVisible(), false);
});

test('a config that fits nowhere: its many lines make no tall note', async (t) => {
  const { by, page, ready } = await openDemo(t, { allowErrors: true });
  await ready();
  const config = JSON.stringify({ ...MICRO.config, depths: [9, 9, 9, 9], dim: 48 });
  await by('file-input').setInputFiles([file('own.safetensors', MICRO.weights), file('config.json', config)]);
  await by('error').waitFor({ state: 'visible', ...WAIT });
  await by('error').locator('summary').click();
  const [note, frame] = [await by('error').boundingBox(), await page.locator('#stage').boundingBox()];
  assert.ok(note.y + note.height <= frame.y + frame.height, JSON.stringify([note, frame]));
});

test('the things it knows can be searched', async (t) => {
  const { by, page, ready } = await openDemo(t);
  await ready();
  await by('things').locator('summary').click();
  const all = await by('things-list').locator('li').allTextContents();
  const classes = Number(/(\d+) classes/.exec(await page.locator('#model-facts').textContent())[1]);
  assert.ok(all.includes('cat') && all.length >= classes - 1 && all.length <= classes, `${all.length} of ${classes}`);
  await by('things-search').fill('CAT');
  const found = await by('things-list').locator('li').allTextContents();
  assert.ok(found.includes('cat') && found.length < 10, found.join());
  assert.ok(found.every((thing) => /cat/i.test(thing)));
  await by('things-search').fill('flux compensator');
  assert.match(await by('things').textContent(), /does not know “flux compensator”/);
});

test('the heat map has a legend that names its class', async (t) => {
  const { by, page, ready, topIs } = await openDemo(t);
  await ready();
  await by('heatmap-toggle').check();
  assert.equal(await by('heatmap-legend').isVisible(), false);
  await by('sample-chelsea').click();
  await topIs('cat');
  await page.waitForFunction(() => !document.querySelector('#heatmap-legend').hidden, undefined, WAIT);
  assert.match(await by('heatmap-legend').textContent(), /cat$/);
  await by('heatmap-toggle').uncheck();
  assert.equal(await by('heatmap-legend').isVisible(), false);
});

test('a class that is pressed is shown on the picture, pressed again the answer', async (t) => {
  const { by, page, ready, topIs, shot } = await openDemo(t);
  await ready();
  await by('sample-chelsea').click();
  await topIs('cat');
  const other = by('predictions').locator('.label').nth(1);
  const name = await other.textContent();
  await other.click();
  await page.waitForFunction((name) => document.querySelector('#heatmap-class').textContent === name && !document.querySelector('#heatmap-legend').hidden, name, WAIT);
  assert.ok(await by('heatmap-toggle').isChecked());
  assert.equal(await other.getAttribute('aria-pressed'), 'true');
  await shot('class-pressed');
  await other.click();
  await page.waitForFunction(() => document.querySelector('#heatmap-class').textContent === 'cat', undefined, WAIT);
  assert.equal(await other.getAttribute('aria-pressed'), 'false');
});

test('full screen, and back by its button or the Escape key', async (t) => {
  const { by, page, ready, topIs } = await openDemo(t);
  await ready();
  await by('sample-chelsea').click();
  await topIs('cat');
  await by('full-screen').click();
  await page.waitForFunction(() => document.fullscreenElement?.id === 'stage' && document.body.dataset.full === 'true');
  assert.equal(await by('full-screen').getAttribute('aria-pressed'), 'true');
  assert.ok(await by('answer').isVisible());
  await by('full-screen').click();
  await page.waitForFunction(() => !document.fullscreenElement && document.body.dataset.full === 'false');
  // Phones that let only videos fill the screen.
  await page.evaluate(() => Object.defineProperty(document, 'fullscreenEnabled', { value: false }));
  await by('full-screen').click();
  assert.deepEqual(await page.locator('#stage').boundingBox(), { x: 0, y: 0, width: 1280, height: 860 });
  await page.keyboard.press('Escape');
  assert.equal(await by('full-screen').getAttribute('aria-pressed'), 'false');
});

test('the drawer: closed it is out of reach, opened it has the focus, Escape gives that back', async (t) => {
  const { by, page, ready } = await openDemo(t);
  await ready();
  assert.equal(await by('drawer').evaluate((drawer) => drawer.inert), true);
  assert.equal(await by('model-select').isVisible(), false);
  await by('drawer-toggle').click();
  assert.equal(await by('model-select').isVisible(), true);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'drawer-close');
  await page.keyboard.press('Escape');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'drawer-toggle');
  await page.waitForFunction(() => getComputedStyle(document.querySelector('#drawer')).visibility === 'hidden');
});

const answered = (page, text) => page.waitForFunction((text) => document.querySelector('#answer').textContent.includes(text), text, WAIT);

/** What a person may have before them, one after the other: how it comes, and how it goes. */
const STATES = {
  'nothing shown': {},
  'the badge and all things': {
    reach: async ({ by }) => {
      await by('things').locator('summary').click();
      await by('adapter-badge').locator('summary').click();
    },
    leave: async ({ by, page }) => {
      await page.keyboard.press('Escape');
      await by('things').locator('summary').click();
    },
  },
  'a picture with its heat map': {
    reach: async ({ by, page }) => {
      await by('heatmap-toggle').check();
      await by('sample-chelsea').click();
      await page.waitForFunction(() => !document.querySelector('#heatmap-legend').hidden, undefined, WAIT);
    },
    leave: ({ by }) => by('heatmap-toggle').uncheck(),
  },
  'the drawer with times': {
    reach: async ({ by, page }) => {
      await by('drawer-toggle').click();
      await by('profile-toggle').check();
      await page.waitForFunction(() => document.querySelectorAll('#profile tbody tr').length > 5, undefined, WAIT);
    },
    leave: async ({ by }) => {
      await by('profile-toggle').uncheck();
      await by('drawer-close').click();
    },
  },
  'full screen': {
    reach: ({ by }) => by('full-screen').click(),
    leave: ({ by }) => by('full-screen').click(),
  },
  'the camera': {
    reach: async ({ by, topIs }) => {
      await by('start-camera').click();
      await topIs();
    },
    leave: ({ by }) => by('stop-camera').click(),
  },
  'an error with its details': {
    reach: async ({ by }) => {
      await by('file-input').setInputFiles(BROKEN);
      await by('error').locator('summary').click(WAIT);
    },
    leave: ({ by }) => by('error').locator('[data-action=dismiss]').click(),
  },
  'Teach, empty': { reach: ({ by }) => by('tab-teach').click() },
  'Teach, in use': {
    reach: async ({ by, page }) => {
      for (const [i, name] of ['chelsea.png', 'coffee.png'].entries()) await by('teach-things').locator('[type=file]').nth(i).setInputFiles(join(IMAGES, name));
      await by('sample-chelsea').click();
      await answered(page, 'Thing 1');
    },
  },
  'Search, empty': { reach: ({ by }) => by('tab-search').click() },
  'Search, in use': {
    reach: async ({ by, page }) => {
      await by('search-samples').click();
      await page.waitForFunction(() => document.querySelectorAll('#search-chips button').length > 1, undefined, WAIT);
    },
  },
  'Compare': {
    reach: async ({ by, page }) => {
      await by('tab-compare').click();
      await page.waitForFunction(() => document.querySelector('#compare-agreement').textContent, undefined, WAIT);
    },
    leave: ({ by }) => by('tab-look').click(),
  },
  'not sure': {
    reach: async ({ by, page }) => {
      await by('file-input').setInputFiles(UNSURE);
      await answered(page, 'Not sure');
    },
  },
};

for (const [look, context] of Object.entries({ light: {}, dark: { colorScheme: 'dark' }, phone: { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true } })) {
  test(`axe-core finds nothing, in every state, ${look === 'phone' ? 'on a phone' : `${look} colours`}`, async (t) => {
    const demo = await openDemo(t, { ...context, reducedMotion: 'reduce', allowErrors: true });
    await demo.ready();
    for (const [state, { reach, leave }] of Object.entries(STATES)) {
      await t.test(state, async () => {
        await reach?.(demo);
        assert.deepEqual(await violations(demo.page), []);
        await leave?.(demo);
      });
    }
  });
}

test('what other sites show of the page: words, a picture, an icon', async (t) => {
  const { page, server } = await openDemo(t);
  const meta = (name) => page.locator(`meta[property="${name}"], meta[name="${name}"]`).getAttribute('content');
  for (const name of ['og:title', 'og:description', 'description', 'twitter:card']) assert.ok((await meta(name)).length > 10, name);
  assert.ok(existsSync(join(ROOT, 'www', await meta('og:image'))));
  const size = await page.evaluate(async (image) => {
    const { width, height } = await createImageBitmap(await (await fetch(image)).blob());
    return [width, height].map(String);
  }, await meta('og:image'));
  assert.deepEqual(size, [await meta('og:image:width'), await meta('og:image:height')]);
  const manifest = await (await fetch(server.url('/manifest.webmanifest'))).json();
  assert.ok(manifest.name && manifest.start_url && manifest.display);
  for (const { src } of manifest.icons) assert.equal((await fetch(server.url(`/${src}`))).status, 200, src);
});
