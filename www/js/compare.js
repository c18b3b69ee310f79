/** The panel "Compare": two models on the same frames, what each says, whether they agree, and how long each takes. */
import { announce } from './announcer.js';
import { answer, inWords, secondAnswer } from './answer.js';
import { byId, element } from './dom.js';
import { milliseconds, percent } from './format.js';
import { frames } from './frames.js';
import { ModelSession } from './model-session.js';
import { Steady } from './steady.js';
import { video, viewer } from './viewer.js';

const ROWS = 3;
/** Weight of the newest frame in the shown times and scores. */
const NEW = 0.2;

const agreement = byId('compare-agreement');
const speed = byId('compare-speed');
const select = byId('compare-second');
const device = byId('compare-device');
const state = byId('compare-state');

/** What is known of one side. */
class Side {
  #list;
  #time;
  #steady = new Steady();
  /** @type {number | undefined} milliseconds, smoothed */ ms;
  /** @type {string | undefined} what it says */ says;

  /** @param {string} id of its part of the panel @param {typeof answer} place of its answer on the picture */
  constructor(id, place) {
    this.#list = byId(`${id}-list`);
    this.#time = byId(`${id}-time`);
    this.place = place;
  }

  /** @param {any} model @param {any} frame @param {AbortSignal} signal @param {boolean} live @param {string} name */
  async look(model, frame, signal, live, name) {
    const result = await model.classify(frame, { topK: 5, signal });
    const { total } = result.timing;
    const ms = live && this.ms !== undefined ? this.ms + NEW * (total - this.ms) : total;
    this.ms = ms;
    const { predictions, confident } = live ? this.#steady.next(result, model.info) : result;
    this.says = confident ? predictions[0]?.label : undefined;
    this.place.show(inWords({ predictions, confident }, model.info.unknown), name);
    this.#time.textContent = `${milliseconds(ms)} ms`;
    this.#list.replaceChildren(...predictions.slice(0, ROWS).map((/** @type {any} */ { label, score }, /** @type {number} */ i) => element('li', { className: i ? '' : 'first' },
      element('span', { className: 'label', textContent: label }), element('span', { className: 'score', textContent: percent(score) }))));
  }

  clear() {
    this.ms = this.says = undefined;
    this.#steady.forget();
    this.#list.replaceChildren();
    this.#time.textContent = '–';
    this.place.clear();
  }
}

/**
 * @param {{
 *   importPackage: () => Promise<any>, onWork: () => void, onError: (error: unknown) => void,
 *   models: () => { key: string, name: string, source: any }[], options: () => Record<string, unknown>, first: () => string,
 * }} page what models there are, how they are loaded, and the name of the one at work
 */
export function comparePanel({ importPackage, onWork, onError, models, options, first }) {
  const sides = [new Side('compare-a', answer), new Side('compare-b', secondAnswer)];
  const session = new ModelSession(importPackage, { onReplace: async () => undefined, onLost: onError });
  let [same, seen] = [0, 0];

  for (const control of [select, device]) control.addEventListener('change', load);

  /** The models that the page knows by now. */
  function list() {
    const chosen = select.value;
    const all = models();
    select.replaceChildren(...all.map(({ key, name }) => element('option', { value: key, textContent: name })));
    select.value = all.some(({ key }) => key === chosen) ? chosen : (all.find(({ name }) => name !== first()) ?? all[0]).key;
  }

  async function load() {
    const wanted = models().find(({ key }) => key === select.value);
    if (!wanted) return;
    say('Loading');
    try {
      const model = await session.load(wanted.source, { ...options(), ...(device.value ? { device: device.value } : {}) });
      if (!model) return;
      say('');
      clear();
      onWork();
    } catch (error) {
      say('Not loaded');
      onError(error);
    }
  }

  /** @param {string} text */
  function say(text) {
    state.textContent = text;
  }

  function clear() {
    for (const side of sides) side.clear();
    [same, seen] = [0, 0];
    agreement.textContent = speed.textContent = '';
  }

  /** @param {any} model @param {any} frame @param {AbortSignal} signal @param {boolean} live */
  async function look(model, frame, signal, live) {
    const second = session.model;
    if (!second) return;
    const names = [first(), select.selectedOptions[0]?.textContent ?? ''];
    // One after the other, so that neither takes the other's time.
    for (const [i, one] of [model, second].entries()) {
      await sides[i].look(one, frame, signal, live, names[i]);
      if (signal.aborted) return;
    }
    tell(names, live);
  }

  /** @param {string[]} names @param {boolean} live */
  function tell(names, live) {
    const [a, b] = sides;
    const both = a.says === b.says;
    seen += 1;
    same += Number(both);
    agreement.dataset.same = String(both);
    agreement.textContent = live ? `They agree on ${Math.round((100 * same) / seen)} % of ${seen} ${seen === 1 ? 'frame' : 'frames'}.`
      : !both ? 'They do not agree.' : a.says ? `Both say ${a.says}.` : 'Neither is sure.';
    const [x, y] = [a.ms ?? 0, b.ms ?? 0];
    const times = Math.max(x, y) / Math.max(0.1, Math.min(x, y));
    speed.textContent = times < 1.05 ? 'Both take as long.' : `${names[x < y ? 0 : 1]} is ${times.toFixed(1)} times as fast.`;
    if (!live) announce({ label: agreement.textContent });
  }

  return {
    async prepare() {
      list();
      byId('compare-first').textContent = first();
      if (!session.model && !session.loading) load();
    },

    /** @param {any} model @param {AbortSignal} signal */
    async watch(model, signal) {
      for await (const frame of frames(video, signal)) {
        // The very same picture for both.
        const picture = await createImageBitmap(frame);
        await look(model, picture, signal, true).finally(() => picture.close());
        if (!session.model) return;
      }
    },

    /** @param {any} model @param {AbortSignal} signal */
    async lookOnce(model, signal) {
      await look(model, viewer.source, signal, false);
    },

    clear,
  };
}
