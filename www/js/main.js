/** Puts the page together: a model, a source, and the work between them. */
import { clearAdapter, showAdapter } from './adapter.js';
import { cameraControls } from './camera-controls.js';
import * as choices from './choices.js';
import { byId } from './dom.js';
import { yieldToPicture } from './drawer.js';
import { acceptFiles } from './files.js';
import './full-screen.js';
import { clearFacts, showFacts } from './model-facts.js';
import { ModelSession } from './model-session.js';
import { openProfile, profileIsOpen, timeLayers } from './profile-panel.js';
import { Progress } from './progress.js';
import { clearReadings, hideHeatmap, listenToClasses, lookOnce, watch } from './readings.js';
import './serpent.js';
import { setState } from './state.js';
import { clearThings, showThings } from './things.js';
import { clearError, showError } from './toast.js';
import { video, viewer } from './viewer.js';
import { Work } from './work.js';

const SAMPLES = { chelsea: 'chelsea.png', coffee: 'coffee.png', astronaut: 'astronaut.png' };
const samples = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('[data-sample]')]);

const work = new Work();
const session = new ModelSession(importPackage, {
  onReplace: () => work.stop(),
  onLost: (error) => {
    const lost = running;
    clearModel();
    fail(error, { wanted: lost });
  },
});
const { camera, stopCamera } = cameraControls(video, {
  onStart: () => {
    comeIntoSight();
    useSource(() => viewer.camera(camera.mirrored));
  },
  onStop: () => useSource(() => (viewer.kind === 'camera' ? viewer.clear() : undefined)),
  onError: (error) => fail(error, { where: 'camera' }),
});
/** @type {choices.Choice | undefined} that of the model that works */
let running;
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

/** Loads a model; the one that works does so until the new one is ready. @param {choices.Choice} wanted */
async function load(wanted) {
  clearError();
  yieldToPicture();
  setState('loading', `Loading ${wanted.name}`);
  if (!session.model) clearAdapter('Loading');
  const progress = new Progress(wanted.name);
  const options = choices.loadOptions(wanted);
  let current = true;
  try {
    const model = await session.load(wanted.source, {
      ...options,
      onProgress: (/** @type {any} */ event) => {
        if (current && session.loading) setState('loading', progress.report(event), progress.phase);
      },
    });
    if (!model) return;
    progress.done();
    running = wanted;
    stopped = false;
    clearReadings();
    showAdapter(model.info, options.device);
    showFacts(model.info);
    showThings(model.info);
    refresh();
  } catch (error) {
    progress.done();
    if (running) choices.restore(running);
    else clearModel();
    // Whoever cancels and sees the old model go on needs no telling.
    if (running && /** @type {Error} */ (error).name === 'AbortError') refresh();
    else fail(error, { wanted });
  } finally {
    current = false;
  }
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
  for (const sample of samples) sample.setAttribute('aria-pressed', 'false');
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

/** Makes the model do what the page now shows: follow the video, look at the picture, or nothing. */
function refresh() {
  const model = session.model;
  const paused = document.hidden && viewer.live;
  document.body.dataset.paused = String(paused);
  reflect(paused, !viewer.live);
  work.start(async (signal) => {
    if (!model || stopped || paused || viewer.kind === 'none') return;
    if (viewer.live) {
      if (video.paused) await video.play();
      await watch(model, signal);
    } else {
      await lookOnce(model, signal);
      if (signal.aborted) return;
      reflect(false, false);
      if (profileIsOpen()) await timeLayers(model);
    }
  }, failAtWork);
}

/** Says what the page is doing; while a model is loaded, its progress does. @param {boolean} paused @param {boolean} looking */
function reflect(paused, looking) {
  if (session.loading) return;
  if (!session.model || !running) setState('error', 'No model is loaded');
  else if (stopped) setState('error', 'Stopped');
  else if (viewer.kind === 'none') setState('ready', `${running.name} is ready`);
  else if (paused) setState('running', 'Paused while this tab is hidden');
  else if (viewer.live) setState('running', `${running.name} is watching`);
  else if (looking) setState('running', `${running.name} is looking`);
  else setState('ready', running.name);
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

/** A picture takes the place of the camera. @param {File | string} source @param {string} name */
function showPicture(source, name) {
  stopCamera();
  comeIntoSight();
  return useSource(() => viewer.picture(source, name));
}

for (const sample of samples) {
  sample.addEventListener('click', () => {
    const name = /** @type {keyof typeof SAMPLES} */ (sample.dataset.sample);
    showPicture(`samples/${SAMPLES[name]}`, `Sample picture: ${name}`);
    sample.setAttribute('aria-pressed', 'true');
  });
}
acceptFiles({
  onPicture: (file) => showPicture(file, file.name || 'Pasted picture'),
  onVideo: (file) => {
    stopCamera();
    useSource(() => viewer.video(file));
  },
  onModel: (files) => load(choices.chooseFiles(files)),
  onError: fail,
});
choices.listen(load);

byId('cancel-load').addEventListener('click', () => {
  setState('loading', 'Cancelling');
  session.cancel();
});
byId('heatmap-toggle').addEventListener('change', (/** @type {any} */ event) => {
  if (!event.target.checked) hideHeatmap();
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

load(choices.fromAddress());
