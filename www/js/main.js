/** Puts the page together: a model, a source, and the work between them. */
import { clearAdapter, showAdapter } from './adapter.js';
import { cameraControls } from './camera-controls.js';
import * as choices from './choices.js';
import { comparePanel } from './compare.js';
import { byId } from './dom.js';
import { yieldToPicture } from './drawer.js';
import { acceptFiles, onlyConfig } from './files.js';
import './full-screen.js';
import { bring } from './loading.js';
import { maps } from './maps.js';
import { clearFacts, showFacts } from './model-facts.js';
import { ModelSession } from './model-session.js';
import { keepPage } from './offline.js';
import { openProfile, profileIsOpen, timeLayers } from './profile-panel.js';
import { hideHeatmap, listenToClasses, look } from './readings.js';
import { listenToSamples, releaseSamples } from './samples.js';
import { searchPanel } from './search.js';
import { segmentPanel } from './segment.js';
import './serpent.js';
import { setState } from './state.js';
import { listenToTabs, openTab, tab } from './tabs.js';
import { teachPanel } from './teach.js';
import { clearThings, showThings } from './things.js';
import { clearError, showError } from './toast.js';
import { video, viewer } from './viewer.js';
import { Work } from './work.js';

const work = new Work();
const session = new ModelSession(importPackage, {
  onReplace: () => work.stop(),
  onLost: (error) => {
    const lost = running;
    clearModel();
    fail(error, { wanted: lost });
  },
});
/** Of models that name every pixel: they work beside the one that names pictures. */
const segmenters = new ModelSession(importPackage, {
  onReplace: () => work.stop(),
  onLost: (error) => fail(error, { wanted: segmenting }),
}, 'ImageSegmenter');
const { camera, stopCamera } = cameraControls(video, {
  onStart: () => {
    comeIntoSight();
    useSource(() => viewer.camera(camera.mirrored));
  },
  onStop: () => useSource(() => (viewer.kind === 'camera' ? viewer.clear() : undefined)),
  onError: (error) => fail(error, { where: 'camera' }),
});
const teach = teachPanel({ onWork: refresh, onNothing: () => byId('start-camera').click(), onError: fail });
const search = searchPanel({ onWork: refresh, onPicture: showPicture, onError: fail });
const compare = comparePanel({
  importPackage, onWork: refresh, onError: fail, models: choices.models,
  options: () => (running ? choices.loadOptions(running) : {}), first: () => running?.name ?? '',
});
/** What the panels do with the model and what is shown. @type {Record<string, any>} */
const panels = { look, teach, search, compare, segment: segmentPanel(segmenters, () => segmenting && loadSegmenter(segmenting)) };
/** @type {choices.Choice | undefined} that of the model that works */
let running;
/** @type {choices.Choice | undefined} that of the model that names every pixel */
let segmenting;
/** The model failed at what is shown; it is not tried again before something changes. */
let stopped = false;

/**
 * Tells an error. The model that works goes on.
 * @param {unknown} error
 * @param {{ where?: 'camera' | 'other', wanted?: choices.Choice | undefined }} [about] the choice that failed to load
 */
function fail(error, { where = 'other', wanted = running } = {}) {
  refresh();
  const again = wanted ?? choices.choose(choices.FALLBACK);
  showError(error, where, {
    again: () => load(choices.restore(again)),
    builtin: (session.model ? running : again)?.key === choices.FALLBACK ? undefined : () => load(choices.choose(choices.FALLBACK)),
    cpu: () => load(choices.onCpu(again)),
    camera: () => byId('start-camera').click(),
    dismiss: () => {
      clearError();
      byId('stage').focus();
      stopped = false;
      refresh();
    },
  });
}

/** The work on the model failed. @param {unknown} error */
function failAtWork(error) {
  stopped = true;
  fail(error);
}

async function importPackage() {
  try {
    return await import(/** @type {any} */ ('../webmamba/index.js'));
  } catch (cause) {
    throw Object.assign(new Error(/** @type {Error} */ (cause).message, { cause }), { name: 'PackageMissingError' });
  }
}

/** Loads a model; the one that works does so until the new one is ready. @param {choices.Choice} wanted @returns {Promise<void>} */
async function load(wanted) {
  clearError();
  yieldToPicture();
  if (!session.model) clearAdapter('Loading');
  try {
    const model = await bring(session, wanted);
    if (!model) return;
    running = wanted;
    stopped = false;
    clearReadings();
    showAdapter(model.info, wanted.device);
    showFacts(model.info);
    showThings(model.info);
    maps.offer(model.info);
    refresh();
  } catch (error) {
    if (namesPixels(error)) return loadSegmenter(wanted);
    if (running) choices.restore(running);
    else clearModel();
    // Whoever cancels and sees the old model go on needs no telling.
    if (running && /** @type {Error} */ (error).name === 'AbortError') refresh();
    else fail(error, { wanted });
  }
}

/** Whether a model could not be loaded as it names pixels, not pictures. @param {any} error */
function namesPixels(error) {
  return error?.name === 'UnsupportedCheckpointError' && /ImageSegmenter/.test(error.message);
}

/** Loads a model that names every pixel, beside the one that names pictures. @param {choices.Choice} wanted */
async function loadSegmenter(wanted) {
  try {
    if (!(await bring(segmenters, wanted, panels.segment.options()))) return;
    segmenting = wanted;
    openTab('segment');
  } catch (error) {
    if (running) choices.restore(running);
    return fail(error, { wanted });
  }
  if (!running) return load(choices.choose(choices.FALLBACK));
  choices.restore(running);
  refresh();
}

/** What was read of the last source or by the last model. */
function clearReadings() {
  for (const panel of Object.values(panels)) panel.clear();
}

/** Nothing works any more. */
function clearModel() {
  running = undefined;
  clearReadings();
  clearAdapter();
  clearFacts();
  clearThings();
}

/** Changes what is shown, and starts to classify it. @param {() => unknown} change false where it was overtaken */
async function useSource(change) {
  clearError();
  clearReadings();
  stopped = false;
  releaseSamples();
  try {
    if ((await change()) === false) return;
    refresh();
    if (!session.model && !session.loading && viewer.kind !== 'none') {
      fail(Object.assign(new Error('What is shown can be classified as soon as there is one.'), { name: 'NoModelError' }));
    }
  } catch (error) {
    fail(error);
  }
}

/** The model of the tab that is open. */
function atWork() {
  return tab() === 'segment' ? { model: segmenters.model, name: segmenting?.name } : { model: session.model, name: running?.name };
}

/** Makes the model do what the page now shows: follow the video, look at the picture, or nothing. */
function refresh() {
  const panel = panels[tab()];
  const { model } = atWork();
  const paused = document.hidden && viewer.live;
  document.body.dataset.paused = String(paused);
  reflect(paused, !viewer.live);
  work.start(async (signal) => {
    if (!model || stopped || paused) return;
    await panel.prepare?.(model, signal);
    if (signal.aborted || viewer.kind === 'none') return;
    if (viewer.live) {
      if (video.paused) await video.play();
      await panel.watch(model, signal);
    } else {
      await panel.lookOnce(model, signal);
      if (signal.aborted) return;
      reflect(false, false);
      if (profileIsOpen()) await timeLayers(model);
    }
  }, failAtWork);
}

/** Says what the page is doing; while a model is loaded, its progress does. @param {boolean} paused @param {boolean} looking */
function reflect(paused, looking) {
  if (session.loading || segmenters.loading) return;
  const { model, name } = atWork();
  if (!model || !name) setState('error', 'No model is loaded');
  else if (stopped) setState('error', 'Stopped');
  else if (viewer.kind === 'none') setState('ready', `${name} is ready`);
  else if (paused) setState('running', 'Paused while this tab is hidden');
  else if (viewer.live) setState('running', tab() === 'compare' ? 'Two models are watching' : `${name} is watching`);
  else if (looking) setState('running', `${name} is looking`);
  else setState('ready', name);
}

/** Times the steps on what is shown; a running loop waits meanwhile. */
function measure() {
  work.start(async (signal) => {
    await timeLayers(session.model);
    if (viewer.live && !signal.aborted) refresh();
  }, failAtWork);
}

/** On a small screen the button may be far from the picture. */
function comeIntoSight() {
  byId('stage').scrollIntoView({ block: 'nearest', behavior: 'smooth' });
}

/** A picture takes the place of the camera. @param {Blob | string} source @param {string} name */
function showPicture(source, name) {
  stopCamera();
  comeIntoSight();
  return useSource(() => viewer.picture(source, name));
}

listenToSamples(showPicture);
acceptFiles({
  onPictures: (files) => {
    if (tab() === 'search') search.add(files);
    else showPicture(files[0], files[0].name || 'Pasted picture');
  },
  onVideo: (file) => {
    stopCamera();
    useSource(() => viewer.video(file));
  },
  onModel: (files) => load(choices.chooseFiles(files)),
  onJson: (file) => (tab() === 'teach' ? teach.take(file).catch(fail) : fail(onlyConfig(file))),
  onError: fail,
});
choices.listen(load);
listenToTabs(() => {
  clearReadings();
  stopped = false;
  refresh();
});

byId('cancel-load').addEventListener('click', () => {
  setState('loading', 'Cancelling');
  session.cancel();
  segmenters.cancel();
});
maps.listen(() => {
  hideHeatmap();
  refresh();
});
listenToClasses(refresh);
byId('profile-toggle').addEventListener('change', (/** @type {any} */ event) => {
  openProfile(event.target.checked);
  if (event.target.checked) measure();
});
byId('profile-again').addEventListener('click', measure);
document.addEventListener('visibilitychange', () => {
  if (!viewer.live) return;
  if (document.hidden) video.pause();
  refresh();
});
window.addEventListener('unhandledrejection', (event) => fail(event.reason));
window.addEventListener('error', (event) => fail(event.error ?? event.message));
window.addEventListener('pagehide', () => {
  if (!camera.active) return;
  stopCamera();
  useSource(() => viewer.clear());
});

load(choices.fromAddress()).then(() => keepPage(() => viewer.kind === 'none'));
