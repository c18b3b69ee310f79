/** Checks what callers pass, so that no misspelt or impossible option is passed over in silence. */
import { InvalidOptionError } from './errors.js';
import type { ExplainOptions, ModelInfo } from './types.js';
import { isUrl } from './urls.js';

/** What a value must be, in words, and whether it is. */
type Rule = [text: string, holds: (value: unknown) => boolean];

const boolean: Rule = ['true or false', (value) => typeof value === 'boolean'];
const text: Rule = ['a text that is not empty', (value) => typeof value === 'string' && value !== ''];
const address: Rule = ['an address as text or URL', (value) => typeof value === 'string' || isUrl(value)];
const callback: Rule = ['a function', (value) => typeof value === 'function'];
const signal: Rule = ['an AbortSignal', (value) => isObject(value) && typeof value.aborted === 'boolean' && typeof value.addEventListener === 'function'];

const choice = (...names: string[]): Rule => [
  names.map((name) => `'${name}'`).join(' or '),
  (value) => typeof value === 'string' && names.includes(value),
];
const numbers = (text: string, holds: (value: number) => boolean): Rule => [text, (value) => typeof value === 'number' && holds(value)];
const pixels = (value: unknown) => typeof value === 'number' && Number.isInteger(value) && value > 0;

const areTexts = (value: unknown) => Array.isArray(value) && value.every((one) => typeof one === 'string');

const HUB: Record<string, Rule> = { baseUrl: address, revision: text };
const FETCH: Record<string, Rule> = {
  headers: ['an object of texts', (value) => isObject(value) && areTexts(Object.values(value))],
  fetch: callback,
};

const LOAD: Record<string, Rule> = {
  ...HUB,
  ...FETCH,
  device: ["'auto', 'webgpu', 'cpu' or a GPUDevice", (value) => ['auto', 'webgpu', 'cpu'].includes(value as string) || (isObject(value) && isObject(value.queue) && isObject(value.limits))],
  powerPreference: choice('high-performance', 'low-power'),
  dtype: choice('auto'),
  cache: boolean,
  offline: boolean,
  labels: ['a list of texts', (value) => areTexts(value) && (value as string[]).length > 0],
  size: ["a number of pixels, or [height, width]", (value) => pixels(value) || (Array.isArray(value) && value.length === 2 && value.every(pixels))],
  state: text,
  large: boolean,
  worker: boolean,
  onProgress: callback,
  signal,
};

const labels: Rule = ['a list of labels', areTexts];
const region: Rule = [
  '{ x, y, width, height } in pixels',
  (value) => isObject(value) && ['x', 'y', 'width', 'height'].every((key) => Number.isFinite(value[key])) && (value.width as number) > 0 && (value.height as number) > 0,
];

const EMBED: Record<string, Rule> = { region, rotation: ['0, 90, 180 or 270', (value) => [0, 90, 180, 270].includes(value as number)], signal };

const CLASSIFY: Record<string, Rule> = {
  ...EMBED,
  topK: numbers('a whole number of at least 1', (value) => value >= 1 && (Number.isInteger(value) || value === Infinity)),
  threshold: numbers('a number from 0 to 1', (value) => value >= 0 && value <= 1),
  allow: labels,
  deny: labels,
  heatmap: ['true, false, a label or the index of a class', (value) => ['boolean', 'string', 'number'].includes(typeof value)],
};

const EXPLAIN: Record<string, Rule> = { ...EMBED, kind: choice('cam', 'delta', 'forget', 'contribution'), layer: text };

const { heatmap: _, ...CLIP } = CLASSIFY;
const maxFps = numbers('a number above 0', (value) => value > 0);

const VIDEO: Record<string, Rule> = {
  ...CLASSIFY,
  maxFps,
  smoothing: numbers('a number from 0 to below 1', (value) => value >= 0 && value < 1),
};

const file: Rule = ['an address, File, Blob, ArrayBuffer or Uint8Array', isFile];
const MODEL: Record<string, Rule> = {
  weights: file,
  config: ['a plain object, JSON, an address, File, Blob, ArrayBuffer or Uint8Array', (value) => isFile(value) || isObject(value)],
  arch: text,
  name: text,
};

const wasm: Rule = ['an address, bytes or a WebAssembly.Module', (value) => isFile(value) || tag(value) === 'WebAssembly.Module'];

export function checkLoad(options: unknown): void {
  check('load', options, LOAD);
  const { cache, offline, worker, fetch, device } = options as Record<string, unknown>;
  if (offline && cache === false) throw new InvalidOptionError('load: `offline` needs the cache, which `cache: false` turns off.');
  if (worker && fetch) throw new InvalidOptionError('load: `fetch` cannot go to a worker: load without `fetch` or without `worker`; `headers` can.');
  if (worker && isObject(device)) throw new InvalidOptionError('load: a GPUDevice as `device` cannot go to a worker: load without `device` or without `worker`.');
}
export const checkPlace = (options: unknown) => check('clear', options, HUB);
export const checkPreload = (options: unknown) => check('preload', options, { ...HUB, ...FETCH, onProgress: callback, signal });
export const checkEmbed = (options: unknown) => check('embed', options, EMBED);

/** With what the model has. */
export function checkExplain(options: ExplainOptions, { maps, layers }: ModelInfo): void {
  check('explain', { ...options, kind: options?.kind ?? null }, EXPLAIN);
  const { kind, layer } = options;
  const known = layers.map((name) => `\`${name}\``).join(', ');
  if (!(kind === 'cam' ? maps : known)) throw new InvalidOptionError(`explain: this model has no maps of the kind '${kind}'; \`info.maps\` and \`info.layers\` tell.`);
  if (layer !== undefined && !layers.includes(layer)) throw new InvalidOptionError(`explain: the model has no layer \`${layer}\` with scans; there are ${known}.`);
}
export function checkFrames(call: string, frames: unknown): void {
  if (!Array.isArray(frames) || !frames.length) throw new InvalidOptionError(`${call}: the frames must be a list of images, at least one.`);
}
export const checkClassify = (options: unknown) => check('classify', options, CLASSIFY);
export const checkClip = (options: unknown) => check('classifyClip', options, CLIP);
export const checkVideo = (options: unknown) => check('classifyVideo', options, VIDEO);
export const checkSegment = (options: unknown) => check('segment', options, EMBED);
export const checkSegmentVideo = (options: unknown) => check('segmentVideo', options, { ...EMBED, maxFps });
/** An input of a dense model, and of what image it is. */
export function checkRun(input: unknown, options: unknown): void {
  const { shape, data } = (isObject(input) ? input : {}) as { shape?: unknown; data?: unknown };
  const [batch, height, width, channels] = Array.isArray(shape) && shape.every(pixels) ? (shape as number[]) : [];
  const values = batch === 1 && channels === 3 && tag(data) === 'Float32Array' && (data as Float32Array).length;
  if (!values || values !== (height ?? 0) * (width ?? 0) * 3) {
    throw new InvalidOptionError('run: the input must be { shape: [1, height, width, 3], data }, with a Float32Array of as many values.');
  }
  const side: Rule = ['a number of pixels', pixels];
  check('run', options, { width: side, height: side, tensors: ['a list of modules', areTexts], signal });
  const given = options as Record<string, unknown>;
  if (!given.width || !given.height) throw new InvalidOptionError('run: `width` and `height` of the image must be given.');
}
export const checkFeatures = (options: unknown) => check('features', options, { signal });
export const checkInit = (options: unknown) => check('init', options, { base: address, wasm });

/** What `TeachableClassifier.export` gave. */
export function checkExamples(lesson: unknown): void {
  const numbers = (value: unknown) => Array.isArray(value) && value.length > 0 && value.every(Number.isFinite);
  const taught = (one: unknown) => isObject(one) && typeof one.label === 'string' && pixels(one.count) && numbers(one.sum);
  const whole = isObject(lesson) && typeof lesson.model === 'string' && Array.isArray(lesson.classes) && lesson.classes.every(taught);
  if (!whole) throw new InvalidOptionError('import: this is nothing that export() gave.');
}

/**
 * The indices of classes with these labels.
 *
 * @throws {InvalidOptionError} a label that no class has
 */
export function classesOf(labels: readonly string[], wanted: readonly string[], option: string): number[] {
  return wanted.flatMap((label) => {
    const found = labels.flatMap((one, index) => (one === label ? [index] : []));
    if (found.length) return found;
    const near = nearest(label, labels);
    throw new InvalidOptionError(`classify: \`${option}\` names \`${label}\`, which is no class of this model; ${near ? `\`${near}\` is meant` : 'they are in `info.labels`'}.`);
  });
}

/** `{ weights, .. }`, as it is given to `load`. */
export function checkModel(source: Record<string, unknown>): void {
  check('load: the model', source, MODEL);
  if (source.weights === undefined) throw new InvalidOptionError(`load: \`weights\` of the model must be ${file[0]}, not undefined.`);
}

function check(where: string, options: unknown, rules: Record<string, Rule>): void {
  if (!isObject(options)) throw new InvalidOptionError(`${where}: the options must be an object, not ${inWords(options)}.`);
  for (const [name, value] of Object.entries(options)) {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (!rule) throw new InvalidOptionError(`${where}: there is no option \`${name}\`; ${meant(name, Object.keys(rules))}.`);
    if (value !== undefined && !rule[1](value)) throw new InvalidOptionError(`${where}: \`${name}\` must be ${rule[0]}, not ${inWords(value)}.`);
  }
}

/** The class name of an object, whichever frame it comes from. */
export function tag(value: unknown): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isFile(value: unknown): boolean {
  return typeof value === 'string' || isUrl(value) || ArrayBuffer.isView(value) || ['Blob', 'File', 'ArrayBuffer', 'SharedArrayBuffer'].includes(tag(value));
}

function inWords(value: unknown): string {
  if (typeof value === 'string') return `'${value.slice(0, 60)}'`;
  if (typeof value === 'number' || typeof value === 'boolean' || value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return `[${value.slice(0, 6).map(inWords).join(', ')}${value.length > 6 ? ', …' : ''}]`;
  return typeof value === 'function' ? 'a function' : `an object (${tag(value)})`;
}

/** The option that is written most like this one, or all of them. */
function meant(name: string, known: string[]): string {
  const near = nearest(name, known);
  return near ? `\`${near}\` is meant` : `there are ${known.map((one) => `\`${one}\``).join(', ')}`;
}

/** The one that is written most like this, if at most two letters differ. */
function nearest(name: string, known: readonly string[]): string | undefined {
  const near = known.map((one) => [one, distance(name.toLowerCase(), one.toLowerCase())] as const).sort(([, a], [, b]) => a - b)[0];
  return near && near[1] <= 2 ? near[0] : undefined;
}

/** Letters to change, add or leave out between two words. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
