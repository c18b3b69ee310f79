/** What page audits look at: what is loaded from where, how still the page stands, what can be hit and reached, and what moves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDemo, WAIT } from './support/demo.mjs';

const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const TABS = ['look', 'teach', 'search', 'compare'];
/** Pixels of a side that a finger hits (WCAG 2.2, 2.5.8). */
const TARGET = 24;

test('everything comes from the page\'s own site, and little of it', async (t) => {
  const { server, page, ready } = await openDemo(t);
  await ready();
  const urls = await page.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => name));
  const origin = new URL(server.url('/')).origin;
  assert.deepEqual(urls.filter((url) => new URL(url).origin !== origin), []);
  const sent = (kind) => server.requests.filter(({ path }) => kind.test(path)).reduce((sum, { sent }) => sum + sent, 0);
  t.diagnostic(`page ${sent(/^\/(js\/|css\/|$)/)} bytes, package ${sent(/\.wasm$|^\/webmamba\/\w[\w-]*\.js$/)}, pictures ${sent(/\.(png|jpg)$/)}`);
  assert.ok(sent(/^\/(js\/|css\/|$)/) < 200_000);
  assert.ok(sent(/\.(png|jpg)$/) < 50_000);
});

test('it says what it is: language, title, description, a size that people may change, words without JavaScript', async (t) => {
  const { page, ready } = await openDemo(t);
  await ready();
  const head = await page.evaluate(() => ({
    lang: document.documentElement.lang, type: document.doctype?.name, charset: document.characterSet, title: document.title,
    description: document.querySelector('[name=description]').content, viewport: document.querySelector('[name=viewport]').content,
    noscript: document.querySelector('noscript').textContent, icon: document.querySelector('[rel="apple-touch-icon"]').href,
    headings: [...document.querySelectorAll('h1')].length,
  }));
  assert.deepEqual([head.lang, head.type, head.charset, head.headings], ['en', 'html', 'UTF-8', 1]);
  assert.ok(head.title.length >= 10 && head.title.length <= 60, head.title);
  assert.ok(head.description.length >= 50 && head.description.length <= 160, head.description);
  assert.doesNotMatch(head.viewport, /user-scalable|maximum-scale/);
  assert.match(head.noscript, /JavaScript/);
  assert.equal((await fetch(head.icon)).status, 200);
});

for (const [look, context] of Object.entries({ desktop: {}, phone: PHONE })) {
  test(`nothing jumps while the page loads and a picture is shown, ${look}`, async (t) => {
    const { by, page, ready, topIs } = await openDemo(t, context);
    await ready();
    await by('sample-coffee').click();
    await topIs('cup');
    const shifts = await page.evaluate(() => new Promise((resolve) => {
      new PerformanceObserver((list) => resolve(list.getEntries().filter(({ hadRecentInput }) => !hadRecentInput)
        .map(({ value, sources }) => ({ value, of: sources.map(({ node }) => node?.id || node?.className || node?.nodeName).join() }))))
        .observe({ type: 'layout-shift', buffered: true });
      setTimeout(() => resolve([]), 500);
    }));
    const sum = shifts.reduce((sum, { value }) => sum + value, 0);
    t.diagnostic(`cumulative layout shift ${sum.toFixed(4)}`);
    assert.ok(sum < 0.05, JSON.stringify(shifts));
    const unsized = await page.evaluate(() => [...document.images].filter((image) => image.checkVisibility() && !(image.getAttribute('width') || getComputedStyle(image).position === 'absolute')).map(({ src }) => src));
    assert.deepEqual(unsized, []);
  });
}

test('on a phone a finger hits every button, in every tab and in the drawer', async (t) => {
  const { by, page, ready } = await openDemo(t, PHONE);
  await ready();
  const small = () => page.evaluate((TARGET) => {
    const parts = document.querySelectorAll('a[href], button, select, summary, input, label.button, label.switch');
    const hidden = (part) => !part.checkVisibility({ visibilityProperty: true }) || part.closest('.visually-hidden, .skip') || part.closest('[inert]');
    // What stands in a line of text, and what is within a larger label.
    const excused = (part) => (part.localName === 'a' && part.closest('p')) || (part.localName === 'input' && part.closest('label'));
    return [...parts].filter((part) => !hidden(part) && !excused(part)).flatMap((part) => {
      const { width, height } = part.getBoundingClientRect();
      return width >= TARGET && height >= TARGET ? [] : [`${part.outerHTML.slice(0, 80)}: ${Math.round(width)} x ${Math.round(height)}`];
    });
  }, TARGET);
  for (const tab of TABS) {
    await by(`tab-${tab}`).click();
    if (tab === 'search') {
      await by('search-samples').click();
      await page.waitForFunction(() => document.querySelectorAll('#search-chips button').length > 1, undefined, WAIT);
    }
    assert.deepEqual(await small(), [], tab);
  }
  await by('drawer-toggle').click();
  assert.deepEqual(await small(), [], 'the drawer');
});

test('by keyboard: everything that can be used is reached once, in the order in which it stands, and shows that it is', async (t) => {
  const { by, page, ready } = await openDemo(t);
  await ready();
  for (const tab of TABS) {
    await by(`tab-${tab}`).focus();
    await page.keyboard.press('Enter');
    await page.waitForFunction((tab) => document.body.dataset.tab === tab, tab);
    // From the top of the page, where whoever comes to it starts.
    await page.evaluate(() => {
      const first = document.querySelector('.skip');
      first.focus();
      first.dataset.reached = '1';
    });
    const reached = [];
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press('Tab');
      const at = await page.evaluate(() => {
        const { activeElement: element } = document;
        if (element === document.body) return undefined;
        const frame = element.closest('label')?.matches(':focus-within') && element.matches('.visually-hidden') ? element.closest('label') : element;
        const { outlineStyle, outlineWidth } = getComputedStyle(frame);
        element.dataset.reached = String(Number(element.dataset.reached ?? 0) + 1);
        return { name: element.dataset.testid ?? element.id ?? element.localName, shown: outlineStyle !== 'none' && outlineWidth !== '0px' };
      });
      if (!at) break;
      reached.push(at);
    }
    assert.deepEqual(reached.filter(({ shown }) => !shown), [], tab);
    const left = await page.evaluate(() => {
      const usable = [...document.querySelectorAll('a[href], button:not(:disabled), select, input, summary, [tabindex="0"]')];
      const open = usable.filter((element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest('[inert]'));
      const wrong = open.filter((element) => element.dataset.reached !== '1').map((element) => `${element.outerHTML.slice(0, 80)}: ${element.dataset.reached ?? 0}`);
      for (const element of usable) delete element.dataset.reached;
      return wrong;
    });
    assert.deepEqual(left, [], tab);
    const names = reached.map(({ name }) => name);
    assert.ok(names.indexOf(`tab-${tab}`) < names.indexOf('start-camera'), names.join());
  }
});

test('whoever wants less motion sees none, also while the model is loaded', async (t) => {
  const { server, page, by, ready, topIs } = await openDemo(t, { reducedMotion: 'reduce' });
  server.behave('/webmamba/models/mamba_vision_nano/model.safetensors', { bytesPerSecond: 1_000_000 });
  await page.evaluate(() => caches.delete('webmamba-1'));
  await page.reload();
  const moving = () => page.evaluate(() => document.getAnimations().filter(({ playState }) => playState === 'running').map(({ animationName, transitionProperty }) => animationName ?? transitionProperty));
  await page.waitForFunction(() => document.body.dataset.state === 'loading', undefined, WAIT);
  assert.deepEqual(await moving(), []);
  await ready();
  await by('drawer-toggle').click();
  assert.deepEqual(await moving(), []);
  await by('drawer-close').click();
  await by('sample-chelsea').click();
  await topIs('cat');
  assert.deepEqual(await moving(), []);
});
