/** The panel "Search": pictures by their likeness to the one that is shown, or by a thing that the model knows. */
import { announce } from './announcer.js';
import { answer } from './answer.js';
import { Collection } from './collection.js';
import { byId, element } from './dom.js';
import { percent } from './format.js';
import { frames } from './frames.js';
import { sampleFiles } from './samples.js';
import { video, viewer } from './viewer.js';

/** Weight of the past in what a video shows, so that pictures do not dance. */
const SMOOTHING = 0.8;
/** Milliseconds between two orders of the pictures. */
const PACE = 400;
/** Things of the collection that have a button. */
const CHIPS = 8;

const note = byId('search-note');
const word = byId('search-word');
const words = byId('search-words');
const chips = byId('search-chips');
const keep = byId('search-keep');

/**
 * @param {{ onWork: () => void, onPicture: (picture: Blob, name: string) => void, onError: (error: unknown) => void }} events
 *   there is something to do; a picture of the collection is to be shown
 */
export function searchPanel({ onWork, onPicture, onError }) {
  const collection = new Collection((picture) => {
    word.value = '';
    onPicture(picture.blob, picture.name);
  });
  /** What is shown, as a vector. @type {Float32Array | undefined} */
  let query;
  /** @type {any} */
  let likeness;
  /** @type {readonly string[]} of the model */
  let labels = [];

  const add = byId('search-add');
  add.addEventListener('change', () => {
    addAll([...add.files]);
    add.value = '';
  });
  keep.addEventListener('click', async () => {
    const blob = await viewer.snapshot();
    if (blob) addAll([blob]);
  });
  byId('search-samples').addEventListener('click', async () => {
    const files = await sampleFiles().catch(onError);
    if (files) addAll(files);
  });
  word.addEventListener('input', order);
  byId('search-clear').addEventListener('click', () => {
    collection.clear();
    word.value = '';
    order();
  });

  /** @param {Blob[]} blobs */
  function addAll(blobs) {
    for (const blob of blobs) collection.add(blob);
    order();
    onWork();
  }

  /** The word that is searched for, where the model knows it. */
  function wanted() {
    const text = word.value.trim().toLowerCase();
    return text ? labels.findIndex((label) => label.toLowerCase() === text) : -1;
  }

  /** Best first: by the word, else by likeness to what is shown, else as they came. */
  function order() {
    const index = wanted();
    const known = collection.known;
    if (index >= 0) collection.rank((picture) => picture.scores?.[index], percent);
    else if (query && known.length) collection.rank((picture) => picture.vector && likeness(query, picture.vector), (value) => `${Math.round(Math.max(0, value) * 100)} %`);
    else collection.rank(undefined, percent);
    reflect(index);
  }

  /** @param {number} index of the wanted class */
  function reflect(index) {
    const { size, known } = collection;
    document.body.dataset.collection = String(size > 0);
    keep.hidden = viewer.kind === 'none';
    const unknown = word.value.trim() && index < 0 && labels.length;
    const text = known.length < size ? `Looking at the pictures, ${known.length} of ${size}`
      : unknown ? `“${word.value.trim()}” is not among the things it knows.`
        : index >= 0 ? `How much each is ${labels[index]}`
          : query ? 'How much each is like what is shown'
            : size ? 'Press a picture to find its likes, or name a thing.' : '';
    if (note.textContent !== text) note.textContent = text;
    for (const chip of chips.children) chip.setAttribute('aria-pressed', String(chip.value === labels[index]));
  }

  /** Buttons for what is in the pictures, the most frequent first. */
  function showChips() {
    const counts = collection.things();
    const common = [...counts].sort((a, b) => b[1] - a[1]).slice(0, CHIPS);
    chips.replaceChildren(...common.map(([label, count]) => element('button', {
      type: 'button', value: label, className: 'chip', 'aria-pressed': 'false',
      onclick: () => {
        word.value = word.value === label ? '' : label;
        order();
      },
    }, label, element('span', { className: 'count', textContent: ` ${count}` }))));
  }

  /** @param {any} model */
  function changeModel(model) {
    labels = model.info.labels;
    collection.forget(model);
    query = undefined;
    words.replaceChildren(...labels.slice(0, 1000).map((value) => element('option', { value })));
  }

  return {
    add: addAll,

    /** @param {any} model @param {AbortSignal} signal */
    async prepare(model, signal) {
      likeness ??= (await import(/** @type {any} */ ('../webmamba/index.js'))).similarity;
      if (collection.model !== model) changeModel(model);
      for (let picture = collection.next(); picture && !signal.aborted; picture = collection.next()) {
        try {
          const vector = await model.embed(picture.blob, { signal });
          const { predictions, confident } = await model.classify(picture.blob, { topK: model.info.classes, signal });
          const scores = new Float32Array(model.info.classes);
          for (const { index, score } of predictions) scores[index] = score;
          collection.know(picture, vector, scores, confident ? predictions[0]?.label : undefined);
        } catch (error) {
          if (signal.aborted) return;
          collection.drop(picture);
          onError(error);
        }
        reflect(wanted());
      }
      showChips();
      order();
    },

    /** @param {any} model @param {AbortSignal} signal */
    async watch(model, signal) {
      let last = 0;
      for await (const frame of frames(video, signal)) {
        const vector = await model.embed(frame, { signal });
        query = query?.map((value, i) => SMOOTHING * value + (1 - SMOOTHING) * vector[i]) ?? vector;
        if (performance.now() - last < PACE) continue;
        last = performance.now();
        order();
        tell();
      }
    },

    /** @param {any} model @param {AbortSignal} signal */
    async lookOnce(model, signal) {
      query = await model.embed(viewer.source, { signal });
      order();
      tell();
    },

    clear() {
      query = undefined;
      answer.clear();
      order();
    },
  };

  /** Says aloud which picture is the most alike. */
  function tell() {
    const [first] = collection.ranked();
    if (first) announce({ label: `Most alike: ${first.name}` });
  }
}
