/** "Not sure": what a model's config says of it reaches the page, and a video's answers do not flicker. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Steady } from '../../www/js/steady.js';
import { launch, openPage, serve } from './support/browser.mjs';
import { checkpoint } from './support/checkpoint.mjs';

const MICRO = checkpoint('mambavision_micro');
const INFO = { minScore: 0.4, unknown: 9 };
const frame = (...pairs) => {
  const predictions = pairs.map(([index, score]) => ({ index, score }));
  const [first] = predictions;
  return { predictions, confident: first.index !== INFO.unknown && first.score >= INFO.minScore };
};

for (const worker of [false, true]) {
  test(`a config's least score and its class for everything else decide what is an answer${worker ? ', in a worker' : ''}`, async (t) => {
    const server = await serve(t);
    const labels = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [i, `thing ${i}`]));
    const config = { ...MICRO.config, id2label: labels };
    const configs = { plain: {}, careful: { min_score: 1 }, bold: { min_score: 0.001 } };
    for (const [name, more] of Object.entries(configs)) server.model(`/models/${name}`, { ...MICRO, config: { ...config, ...more } });
    const page = await openPage(t, await launch(t), server);
    const said = (name) => page.evaluate(async ([name, worker]) => {
      const clf = await webmamba.ImageClassifier.load(`/models/${name}/`, { device: 'cpu', worker });
      const { predictions, confident } = await clf.classify(await picture('coffee.png'));
      const { minScore, unknown } = clf.info;
      await clf.dispose();
      return { first: predictions[0], confident, minScore, unknown };
    }, [name, worker]);
    const plain = await said('plain');
    assert.deepEqual([plain.confident, plain.minScore, plain.unknown], [true, 0, null]);
    const careful = await said('careful');
    assert.deepEqual([careful.confident, careful.minScore], [false, 1]);
    assert.equal((await said('bold')).confident, true);
    const other = { ...config, unknown_label: plain.first.label };
    server.model('/models/other', { ...MICRO, config: other });
    const unknown = await said('other');
    assert.deepEqual([unknown.confident, unknown.unknown], [false, plain.first.index]);
  });
}

test('a class that is first stays first until another is clearly ahead', () => {
  const steady = new Steady();
  const first = (...pairs) => steady.next(frame(...pairs), INFO).predictions[0].index;
  assert.equal(first([1, 0.6], [2, 0.3]), 1);
  assert.equal(first([2, 0.47], [1, 0.45]), 1);
  assert.equal(first([2, 0.6], [1, 0.3]), 2);
  assert.equal(first([1, 0.47], [2, 0.45]), 2);
  steady.forget();
  assert.equal(first([1, 0.47], [2, 0.45]), 1);
});

test('an answer stays one a little below the least score, but does not become one there', () => {
  const steady = new Steady();
  const sure = (...pairs) => steady.next(frame(...pairs), INFO).confident;
  assert.equal(sure([1, 0.37]), false);
  assert.equal(sure([1, 0.41]), true);
  assert.equal(sure([1, 0.37]), true);
  assert.equal(sure([1, 0.3]), false);
  assert.equal(sure([9, 0.9]), false);
});
