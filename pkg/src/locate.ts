/** What the user names, with all addresses in full: a worker has another place in the world than the page. */
import { builtin, builtinNames, isBuiltin } from './assets.js';
import { DownloadError, UnsupportedCheckpointError } from './errors.js';
import { checkModel } from './options.js';
import { isJson } from './source.js';
import type { FileSource, HubOptions, ModelSource } from './types.js';
import { isUrl, resolveUrl, shown } from './urls.js';

/** A folder with `config.json` and `model.safetensors`, or `file` instead of the latter; or files. Can go to a worker. */
export type Located =
  | { folder: string; file?: string; hint?: string }
  | { weights: FileSource; config?: FileSource | Record<string, unknown>; arch?: string; name?: string };

/** Names of files of weights. */
const WEIGHTS = /\.(safetensors|pth|pt|pth\.tar|ckpt|bin)$/;

/** Repositories whose checkpoint has no usual name or that have several: the file that the id alone stands for. */
const FILES: Readonly<Record<string, string>> = {
  'hustvl/Vim-tiny-midclstok': 'vim_t_midclstok_76p1acc.pth',
  'hustvl/Vim-small-midclstok': 'vim_s_midclstok_80p5acc.pth',
};

/** `owner/name`, as hubs have it. */
const HUB_ID = /^[\w.-]+\/[\w.-]+$/;

/** Pages of the hub: of a model, of a branch, of a file. */
const PAGE =
  /^(?:https?:\/\/)?(?:www\.)?(?:huggingface\.co|hf\.co)\/(?!(?:datasets|spaces|docs|papers)\/)([\w.-]+\/[\w.-]+)(?:\/(?:tree|blob|resolve|raw)\/([^/?#]+)(?:\/([^?#]+))?)?\/?(?:[?#].*)?$/;

/** @throws {UnsupportedCheckpointError} something that names no model; {DownloadError} a text that is no address */
export function locate(source: ModelSource, options: HubOptions): Located {
  if (typeof source === 'string' && isBuiltin(source)) return inFull({ ...builtin(source), name: source });
  const [, page, revision, file] = PAGE.exec(isUrl(source) ? source.href : String(source).trim()) ?? [];
  const id = page ?? (typeof source === 'string' && HUB_ID.test(source) && !source.startsWith('.') ? source : undefined);
  if (id !== undefined) {
    const base = shown(options.baseUrl ?? 'https://huggingface.co').replace(/\/+$/, '');
    const branch = revision ?? encodeURIComponent(options.revision ?? 'main');
    // The page of a folder in a branch is a folder; that of a file is a file.
    const path = file?.split('/') ?? [];
    const named = path.at(-1) && WEIGHTS.test(path.at(-1) as string) ? path.pop() : undefined;
    const name = named ?? (path.length === 0 && Object.hasOwn(FILES, id) ? FILES[id] : undefined);
    const folder = address(`${base}/${id}/resolve/${[branch, ...path].filter(Boolean).join('/')}/`).href;
    return { folder, ...(name !== undefined && { file: name }) };
  }
  if (typeof source === 'string' || isUrl(source)) {
    const url = address(source);
    if (WEIGHTS.test(url.pathname)) return { weights: url.href };
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
