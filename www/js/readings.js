/** The first panel: the model at work on what is shown, and its results on the page. */
import { announce, forgetAnnouncement } from './announcer.js';
import { answer, inWords } from './answer.js';
import { choose, clearBars, listenToBars, ROWS, showBars } from './bars.js';
import { hideDoubt, showDoubt } from './doubt.js';
import { clearHeatmap, showHeatmap } from './heatmap.js';
import { maps } from './maps.js';
import { clearTiming, showTiming } from './meters.js';
import { Steady } from './steady.js';
import { video, viewer } from './viewer.js';

const SMOOTHING = 0.6;
const steady = new Steady();
/** The class of the heat map; without one it is the answer. @type {string | undefined} */
let chosen;

/** What the model is asked for. @param {any} model @param {AbortSignal} signal */
function wanted(model, signal) {
  if (!model.info.labels.includes(chosen)) choose((chosen = undefined));
  return { topK: ROWS, heatmap: maps.ofClass && (chosen ?? true), signal };
}

/** A class that is pressed is shown on the picture. @param {() => void} onChange */
export function listenToClasses(onChange) {
  listenToBars((label) => {
    chosen = label;
    if (label !== undefined) maps.showClass();
    onChange();
  });
}

export const look = {
  /** Classifies the playing video until the signal. @param {any} model @param {AbortSignal} signal */
  async watch(model, signal) {
    for await (const result of model.classifyVideo(video, { ...wanted(model, signal), smoothing: SMOOTHING })) {
      if (signal.aborted) return;
      await show(model, { ...result, ...steady.next(result, model.info) }, signal, result.fps);
    }
  },

  /** Classifies the shown picture. @param {any} model @param {AbortSignal} signal */
  async lookOnce(model, signal) {
    const result = await model.classify(viewer.source, wanted(model, signal));
    if (!signal.aborted) await show(model, result, signal);
  },

  clear() {
    answer.clear();
    clearBars();
    hideDoubt();
    steady.forget();
    clearTiming();
    hideHeatmap();
    forgetAnnouncement();
  },
};

export function hideHeatmap() {
  clearHeatmap();
  maps.hideLegend();
}

/** @param {any} model @param {any} result @param {AbortSignal} signal @param {number} [fps] of a video */
async function show(model, result, signal, fps) {
  answer.show(inWords(result, model.info.unknown));
  showBars(result.predictions, model.info.maps);
  if (result.confident) hideDoubt();
  else showDoubt(model.info);
  showTiming(result.timing, fps);
  announce(result.confident ? result.predictions[0] : { label: 'Not sure' });
  const { scan } = maps;
  const map = scan ? await model.explain(viewer.source, { ...scan, signal }) : result.heatmap;
  if (signal.aborted) return;
  if (!map) {
    hideHeatmap();
    return;
  }
  showHeatmap(map, viewer.size, fps !== undefined);
  maps.showLegend(model.info.labels[map.index]);
}
