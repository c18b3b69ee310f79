/** Puts the page together: a model, a source, and the work between them. */
import { clearAdapter, showAdapter } from './adapter.js';
import { cameraControls } from './camera-controls.js';
import * as choices from './choices.js';
import { byId } from './dom.js';
import { clearError, errorIsShown, showError } from './error-panel.js';
import { acceptFiles } from './files.js';
import { clearHeatmap } from './heatmap.js';
import { clearFacts, showFacts } from './model-facts.js';
import { ModelSession } from './model-session.js';
import { openProfile, profileIsOpen, timeLayers } from './profile-panel.js';
import { Progress } from './progress.js';
import { clearReadings, lookOnce, watch } from './readings.js';
import './serpent.js';
import { setState } from './state.js';
import { video, viewer } from './viewer.js';
import { Work } from './work.js';

const SAMPLES = { chelsea: 'chelsea.png', coffee: 'coffee.png', astronaut: 'astronaut.png', rocket: 'rocket.jpg' };
const samples = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('[data-sample]')]);

const work = new Work();
const session = new ModelSession(importPackage, (error) => {
  clearModel();
  fail(error);
});
const { camera, stopCamera } = cameraControls(video, {
  onStart: () => useSource(() => viewer.camera(camera.mirrored)),
  onStop: () => useSource(() => (viewer.kind === 'camera' ? viewer.clear() : undefined)),
  onError: (error) => fail(error, 'camera'),
});
let choice = choices.fromAddress();

/** @param {unknown} error @param {'camera' | 'other'} [where] */
function fail(error, where = 'other') {
  work.stop();
  setState('error', session.model ? 'Stopped' : 'No model is loaded');
  showError(error, where, {
    again: () => load(choice),
    builtin: choice.key === choices.FALLBACK ? undefined : () => load(choices.choose(choices.FALLBACK)),
    cpu: () => load(choices.onCpu(choice)),
    camera: () => byId('start-camera').click(),
    dismiss: () => {
      clearError();
      byId('stage').focus();
      refresh();
    },
  });
}

async function importPackage() {
  try {
    return await import(/** @type {any} */ ('../webmamba/index.js'));
  } catch (cause) {
    throw Object.assign(new Error(/** @type {Error} */ (cause).message, { cause }), { name: 'PackageMissingError' });
  }
}

/** Loads a model, and goes on with the source that is shown. @param {choices.Choice} wanted */
async function load(wanted) {
  choice = wanted;
  clearError();
  clearModel('Loading');
  setState('loading', `Loading ${wanted.name}`);
  const progress = new Progress();
  try {
    await work.stop();
    const model = await session.load(wanted.source, {
      ...choices.loadOptions(),
      onProgress: (/** @type {any} */ event) => {
        if (choice === wanted && session.loading) setState('loading', progress.report(event), progress.phase);
      },
    });
    if (!model) return;
    progress.done();
    showAdapter(model.info, choices.loadOptions().device);
    showFacts(model.info);
  } catch (error) {
    progress.done();
    clearModel();
    fail(error);
    return;
  }
  refresh();
}

/** @param {string} [badge] */
function clearModel(badge) {
  clearReadings();
  clearAdapter(badge);
  clearFacts();
}

/** Changes what is shown, and starts to classify it. @param {() => unknown} change false where it was overtaken */
async function useSource(change) {
  clearError();
  clearReadings();
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
  if (session.loading) return;
  if (!model) setState('error', 'No model is loaded: choose one');
  else if (viewer.kind === 'none') setState('ready', `${choice.name} is ready`);
  else if (paused) setState('running', 'Paused while this tab is hidden');
  else setState('running', `${choice.name} is ${viewer.live ? 'watching' : 'looking'}`);
  work.start(async (signal) => {
    if (!model || paused || viewer.kind === 'none') return;
    if (viewer.live) {
      if (video.paused) await video.play();
      await watch(model, signal);
    } else {
      await lookOnce(model, signal);
      if (!signal.aborted) setState('ready', `${choice.name} is ready`);
      if (!signal.aborted && profileIsOpen()) await timeLayers(session.model);
    }
  }, fail);
}

/** Times the layers on the shown frame; a running loop waits meanwhile. */
function measure() {
  const { live } = viewer;
  work.start(async (signal) => {
    await timeLayers(session.model);
    if (live && !signal.aborted && !errorIsShown()) refresh();
  }, fail);
}

/** A picture takes the place of the camera. @param {File | string} source @param {string} name */
function showPicture(source, name) {
  stopCamera();
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
  if (!event.target.checked) clearHeatmap();
  if (!errorIsShown()) refresh();
});
byId('profile-toggle').addEventListener('change', (/** @type {any} */ event) => {
  openProfile(event.target.checked);
  if (event.target.checked) measure();
});
byId('profile-again').addEventListener('click', measure);
document.addEventListener('visibilitychange', () => {
  if (!viewer.live || errorIsShown()) return;
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

load(choice);
