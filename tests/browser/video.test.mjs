/** Videos: the newest frame only, at most so many a second, until they end or are stopped. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch, openPage, serve } from './support/browser.mjs';
import { checkpoint } from './support/checkpoint.mjs';

const MICRO = checkpoint('mambavision_micro');

/** A page with `film(fps)`: a video that shows a moving drawing, and the stream that it comes from. */
async function setUp(t) {
  const server = await serve(t);
  server.model('/models/micro', MICRO);
  const page = await openPage(t, await launch(t), server);
  await page.evaluate(() => {
    globalThis.film = async (fps = 30) => {
      const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 240 });
      const context = canvas.getContext('2d');
      let n = 0;
      const draw = () => {
        context.fillStyle = `hsl(${(n * 7) % 360} 80% 50%)`;
        context.fillRect(0, 0, 320, 240);
        context.fillStyle = '#fff';
        context.fillRect((n++ * 5) % 300, 100, 20, 40);
      };
      draw();
      setInterval(draw, 1000 / fps);
      const stream = canvas.captureStream(fps);
      const video = Object.assign(document.createElement('video'), { srcObject: stream, muted: true });
      document.body.append(video);
      await video.play();
      return { video, stream };
    };
  });
  return page;
}

for (const [device, worker] of [['cpu', false], ['cpu', true], ['webgpu', false], ['webgpu', true]]) {
  test(`frames of a video on ${device}${worker ? ' in a worker' : ''}: counted, timed, until the stream ends`, async (t) => {
    const page = await setUp(t);
    const frames = await page.evaluate(async ([device, worker]) => {
      const clf = await webmamba.ImageClassifier.load('/models/micro/', { device, worker });
      const { video, stream } = await film();
      const frames = [];
      for await (const { frame, fps, predictions, timing } of clf.classifyVideo(video)) {
        frames.push({ frame, fps, predictions: predictions.length, total: timing.total });
        if (frame === 12) for (const track of stream.getTracks()) track.stop();
        if (frame > 14) break;
      }
      await clf.dispose();
      return frames;
    }, [device, worker]);
    assert.ok(frames.length >= 12 && frames.length <= 14, `${frames.length} frames`);
    frames.forEach(({ frame, predictions, total }, i) => {
      assert.equal(frame, i + 1);
      assert.equal(predictions, 5);
      assert.ok(total > 0);
    });
    const { fps } = frames.at(-1);
    assert.ok(fps > 0.5 && fps < 62, `${fps} a second`);
  });
}

test('not more frames a second than asked for', async (t) => {
  const page = await setUp(t);
  const { span, count } = await page.evaluate(async () => {
    const clf = await webmamba.ImageClassifier.load('/models/micro/', { device: 'cpu' });
    const { video } = await film();
    const start = performance.now();
    let count = 0;
    for await (const _ of clf.classifyVideo(video, { maxFps: 5 })) if (++count === 10) break;
    return { span: performance.now() - start, count };
  });
  assert.equal(count, 10);
  // Nine intervals of 200 ms; the first frame comes at once.
  assert.ok(span >= 1500, `10 frames in ${span} ms`);
});

test('an abort ends it with an AbortError, also while it waits for a frame', async (t) => {
  const page = await setUp(t);
  const errors = await page.evaluate(async () => {
    const clf = await webmamba.ImageClassifier.load('/models/micro/', { device: 'cpu' });
    const { video } = await film();
    const watch = (abortAt, pause) => thrown(async () => {
      const stop = new AbortController();
      let count = 0;
      for await (const _ of clf.classifyVideo(video, { signal: stop.signal })) {
        if (++count !== abortAt) continue;
        if (pause) video.pause();
        setTimeout(() => stop.abort(), pause ? 500 : 0);
      }
    });
    return [await watch(3, false), await watch(3, true)];
  });
  for (const error of errors) assert.equal(error?.name, 'AbortError');
});

test('a browser that promises to tell of frames and never does', async (t) => {
  const page = await setUp(t);
  const frames = await page.evaluate(async () => {
    HTMLVideoElement.prototype.requestVideoFrameCallback = () => 1;
    const clf = await webmamba.ImageClassifier.load('/models/micro/', { device: 'cpu' });
    const { video } = await film();
    let count = 0;
    for await (const { frame } of clf.classifyVideo(video)) if ((count = frame) === 5) break;
    return count;
  });
  assert.equal(frames, 5);
});

test('smoothing averages scores over frames', async (t) => {
  const page = await setUp(t);
  const changes = await page.evaluate(async () => {
    const clf = await webmamba.ImageClassifier.load('/models/micro/', { device: 'cpu' });
    const changes = [];
    for (const smoothing of [0, 0.9]) {
      const { video } = await film();
      let [sum, count, before] = [0, 0];
      for await (const { predictions } of clf.classifyVideo(video, { smoothing, topK: 10 })) {
        const scores = [...predictions].sort((a, b) => a.index - b.index).map(({ score }) => score);
        if (Math.abs(scores.reduce((a, b) => a + b) - 1) > 1e-3) throw new Error('the scores are no probabilities');
        if (before) sum += scores.reduce((all, score, i) => all + Math.abs(score - before[i]), 0);
        before = scores;
        if (++count === 40) break;
      }
      changes.push(sum / count);
    }
    return changes;
  });
  assert.ok(changes[0] > 0, 'the drawing changes nothing');
  assert.ok(changes[1] < changes[0] * 0.5, `${changes[1]} a frame instead of ${changes[0]}`);
});
