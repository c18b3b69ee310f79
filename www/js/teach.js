/** The panel "Teach": things of one's own, from a few pictures each. Nothing is trained, so a picture counts at once. */
import { announce } from './announcer.js';
import { answer } from './answer.js';
import { byId } from './dom.js';
import { percent } from './format.js';
import { frames } from './frames.js';
import { Lessons } from './lessons.js';
import { video, viewer } from './viewer.js';

/** Weight of the past in the scores of a video. */
const SMOOTHING = 0.6;
/** What is less like its class than this is like none of them; cosines between pictures of different things are seldom higher. */
const ALIKE = 0.5;
/** Milliseconds between two pictures while a button is held, so that they differ. */
const PACE = 120;

const note = byId('teach-note');
const save = byId('teach-save');
/** What `TeachableClassifier` needs of the package. @type {any} */
let Teachable;
/** @type {any} the taught classifier on top of the model at work */
let own;
/** @type {any} */
let taughtTo;
/** Pictures that wait for their turn. @type {{ label: string, source: any }[]} */
let waiting = [];
/** The class whose button is held. @type {string | undefined} */
let held;
/** @type {Map<string, number>} smoothed scores by class */
let mean = new Map();

/**
 * @param {{ onWork: () => void, onNothing: () => void, onError: (error: unknown) => void }} events there is something to do; a
 *   picture is wanted and nothing is shown; a file cannot be used
 */
export function teachPanel({ onWork, onNothing, onError }) {
  const lessons = new Lessons({
    hold(label) {
      held = label;
      if (label === undefined) return;
      // What comes then is taught, if the button is still held.
      if (viewer.kind === 'none') onNothing();
      else if (!viewer.live) {
        waiting.push({ label, source: viewer.source });
        held = undefined;
        onWork();
      }
    },
    once(label) {
      if (viewer.kind === 'none') return onNothing();
      waiting.push({ label, source: viewer.source });
      onWork();
    },
    files(label, files) {
      waiting.push(...files.map((source) => ({ label, source })));
      onWork();
    },
    rename(from, to) {
      for (const one of waiting) if (one.label === from) one.label = to;
      if (!own) return;
      const lesson = own.export();
      for (const one of lesson.classes) if (one.label === from) one.label = to;
      own.import(lesson);
      onWork();
    },
    forget(label) {
      waiting = waiting.filter((one) => one.label !== label);
      own?.forget(label);
      onWork();
    },
  });
  byId('teach-more').addEventListener('click', () => lessons.add());
  save.addEventListener('click', () => offer(JSON.stringify(own.export())));
  const open = byId('teach-open');
  open.addEventListener('change', async () => {
    const [file] = open.files;
    open.value = '';
    if (file) await take(file).catch(onError);
  });

  /** Takes what was saved before. @param {File} file */
  async function take(file) {
    if (!own) throw Object.assign(new Error('Open the file again as soon as there is one.'), { name: 'NoModelError' });
    try {
      own.import(JSON.parse(await file.text()));
    } catch (cause) {
      throw Object.assign(new Error(/** @type {Error} */ (cause).message, { cause }), { name: 'LessonError' });
    }
    lessons.reset(own.classes);
    onWork();
  }

  /** @param {string} label @param {any} source */
  async function learn(label, source) {
    await own.addExample(label, source);
    const shown = source instanceof Blob ? await createImageBitmap(source).catch(() => undefined) : source;
    // It may have been forgotten meanwhile.
    if (!lessons.learnt(label, shown)) own.forget(label);
    reflect();
  }

  /** @param {any} source @param {AbortSignal} signal @param {boolean} live */
  async function name(source, signal, live) {
    if (own.classes.length < 2) return;
    const { predictions } = await own.classify(source, { signal });
    if (signal.aborted) return;
    for (const { label, score } of predictions) {
      const before = live ? mean.get(label) : undefined;
      mean.set(label, before === undefined ? score : SMOOTHING * before + (1 - SMOOTHING) * score);
    }
    lessons.show(mean);
    const best = predictions.reduce((/** @type {any} */ a, /** @type {any} */ b) => ((mean.get(b.label) ?? 0) > (mean.get(a.label) ?? 0) ? b : a));
    const sure = best.similarity >= ALIKE;
    answer.show({ name: sure ? best.label : 'None of these', score: sure ? percent(mean.get(best.label) ?? 0) : '', sure });
    announce(sure ? { label: best.label, score: mean.get(best.label) } : { label: 'None of these' });
  }

  /** What is there to do next. */
  function reflect() {
    const taught = own?.classes.length ?? 0;
    save.disabled = !taught;
    const text = taught > 1 ? 'Now show it things: it says which one it is. More pictures from other sides make it surer.'
      : taught ? 'And now the other thing.'
        : 'Show it a thing and hold the button below for a second or two, while you turn it.';
    if (note.textContent !== text) note.textContent = text;
  }

  return {
    take,

    /** @param {any} model @param {AbortSignal} signal */
    async prepare(model, signal) {
      if (taughtTo !== model) {
        Teachable ??= (await import(/** @type {any} */ ('../webmamba/index.js'))).TeachableClassifier;
        own = new Teachable(model);
        taughtTo = model;
        mean = new Map();
        // What another model saw, this one has not seen.
        waiting.unshift(...lessons.again());
        lessons.forgetCounts();
      }
      while (waiting.length && !signal.aborted) {
        const { label, source } = /** @type {(typeof waiting)[0]} */ (waiting.shift());
        await learn(label, source).catch(onError);
      }
      mean = new Map([...mean].filter(([label]) => own.classes.some((/** @type {any} */ one) => one.label === label)));
      lessons.show(mean);
      reflect();
    },

    /** @param {any} _model @param {AbortSignal} signal */
    async watch(_model, signal) {
      let last = 0;
      for await (const frame of frames(video, signal)) {
        const label = held;
        if (label === undefined) await name(frame, signal, true);
        else if (performance.now() - last >= PACE) {
          last = performance.now();
          await learn(label, frame);
        }
      }
    },

    /** @param {any} _model @param {AbortSignal} signal */
    async lookOnce(_model, signal) {
      await name(viewer.source, signal, false);
    },

    clear() {
      answer.clear();
      mean = new Map();
      lessons.show(mean);
    },
  };
}

/** Saves a text as a file. @param {string} text */
function offer(text) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
  link.download = 'webmamba-lesson.json';
  link.click();
  URL.revokeObjectURL(link.href);
}
