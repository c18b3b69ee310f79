/** The same pictures in different browsers. */
import assert from 'node:assert/strict';

/** Scores of all classes, for one way to run. Runs in pages, so it takes everything from its arguments. */
export async function scores(model, device, worker) {
  const { ImageClassifier } = await import('/package/index.js');
  const clf = await ImageClassifier.load(model, { device, worker });
  const all = {};
  for (const name of ['coffee.png', 'chelsea.png']) {
    const image = Object.assign(new Image(), { src: `/images/${name}` });
    for (const [how, source] of [['address', `/images/${name}`], ['blob', await (await fetch(`/images/${name}`)).blob()], ['element', image]]) {
      const { predictions, heatmap } = await clf.classify(source, { topK: Infinity, heatmap: true });
      all[`${name} as ${how}`] = { scores: predictions.sort((a, b) => a.index - b.index).map(({ score }) => score), region: heatmap.region };
    }
  }
  const { kind, adapter } = clf.info.device;
  await clf.dispose();
  return { all, kind, adapter };
}

/** What {@link scores} gave in two browsers. */
export function assertSame(got, want, what) {
  for (const [how, { scores, region }] of Object.entries(want)) {
    const worst = Math.max(...scores.map((score, i) => Math.abs(score - got[how].scores[i])));
    assert.ok(worst < 1e-4, `${what}, ${how}: ${worst} apart`);
    assert.deepEqual(got[how].region, region);
  }
}

