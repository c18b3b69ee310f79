/** What the user names, with all addresses in full: a worker has another place in the world than the page. */
import { builtin, builtinNames, isBuiltin } from './assets.js';
import { DownloadError, UnsupportedCheckpointError } from './errors.js';
import { checkModel } from './options.js';
import { isJson } from './source.js';
import type { FileSource, LoadOptions, ModelSource } from './types.js';
import { isUrl, resolveUrl, shown } from './urls.js';

/** A folder with `config.json` and `model.safetensors`, or files; can go to a worker. */
export type Located =
  | { folder: string; hint?: string }
  | { weights: FileSource; config?: FileSource | Record<string, unknown>; arch?: string; name?: string };

/** `owner/name`, as hubs have it. */
const HUB_ID = /^[\w.-]+\/[\w.-]+$/;

/** @throws {UnsupportedCheckpointError} something that names no model; {DownloadError} a text that is no address */
export function locate(source: ModelSource, options: LoadOptions): Located {
  if (typeof source === 'string' && isBuiltin(source)) return inFull({ ...builtin(source), name: source });
  if (typeof source === 'string' && HUB_ID.test(source) && !source.startsWith('.')) {
    const base = shown(options.baseUrl ?? 'https://huggingface.co').replace(/\/+$/, '');
    return { folder: address(`${base}/${source}/resolve/${encodeURIComponent(options.revision ?? 'main')}/`).href };
  }
  if (typeof source === 'string' || isUrl(source)) {
    const url = address(source);
    if (/\.(safetensors|pth|pt|pth\.tar|bin)$/.test(url.pathname)) return { weights: url.href };
    // A folder may be named without its slash.
    if (!url.pathname.endsWith('/')) url.pathname += '/';
    const bare = typeof source === 'string' && /^[\w-]+$/.test(source);
    return { folder: url.href, ...(bare && { hint: `there is no built-in model \`${source}\` either: they are ${builtinNames().join(' and ')}` }) };
  }
  if (source === null || typeof source !== 'object' || !('weights' in source)) {
    throw new UnsupportedCheckpointError('Name a model: a built-in one, a hub id, the URL of a folder, or { weights, config }.');
  }
  checkModel(source as Record<string, unknown>);
  return inFull(source);
}

function inFull<T extends Exclude<Located, { folder: string }>>(files: T): T {
  const { weights, config } = files;
  const full = <V>(value: V) => (isUrl(value) || (typeof value === 'string' && !isJson(value)) ? address(value).href : value);
  return { ...files, weights: full(weights), ...(config !== undefined && { config: full(config) }) };
}

function address(text: string | URL): URL {
  try {
    return resolveUrl(text);
  } catch (error) {
    throw new DownloadError(`${shown(text)} is no address that can be fetched from here.`, { cause: error });
  }
}
