/** The model at work on what is shown, and its results on the page. */
import { announce, forgetAnnouncement } from './announcer.js';
import { clearBars, ROWS, showBars } from './bars.js';
import { byId } from './dom.js';
import { clearHeatmap, showHeatmap } from './heatmap.js';
import { clearTiming, showTiming } from './meters.js';
import { video, viewer } from './viewer.js';

const SMOOTHING = 0.6;
const heatmap = byId('heatmap-toggle');

/** Classifies the playing video until the signal. @param {any} model @param {AbortSignal} signal */
export async function watch(model, signal) {
  const options = { topK: ROWS, smoothing: SMOOTHING, heatmap: heatmap.checked, signal };
  for await (const result of model.classifyVideo(video, options)) {
    if (signal.aborted) return;
    show(result, result.fps);
  }
}

/** Classifies the shown picture. @param {any} model @param {AbortSignal} signal */
export async function lookOnce(model, signal) {
  const result = await model.classify(viewer.source, { topK: ROWS, heatmap: heatmap.checked, signal });
  if (!signal.aborted) show(result);
}

export function clearReadings() {
  clearBars();
  clearTiming();
  clearHeatmap();
  forgetAnnouncement();
}

/** @param {any} result @param {number} [fps] of a video */
function show(result, fps) {
  showBars(result.predictions);
  showTiming(result.timing, fps);
  announce(result.predictions[0]);
  if (result.heatmap && heatmap.checked) showHeatmap(result.heatmap, viewer.size, fps !== undefined);
  else clearHeatmap();
}
