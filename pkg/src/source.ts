/** From what the user names to a config and a stream of weights. */
import { fetchText, openDownload, read, type Download, type FetchOptions } from './download.js';
import { UnsupportedCheckpointError } from './errors.js';
import type { FileSource, LoadOptions, ModelSource } from './types.js';

export interface ResolvedModel {
  /** For messages and, where nothing better is known, the model's name. */
  name: string;
  config?: string;
  arch?: string;
  weights: Download;
  /** Of a model inside the package: what stands for the name of its family. */
  own?: { name: string };
}

/** The models inside the package. Each URL stands in full, so that bundlers find the files. */
const BUILTIN = {
  mamba_vision_nano: () => ({
    config: new URL('./models/mamba_vision_nano/config.json', import.meta.url),
    weights: new URL('./models/mamba_vision_nano/model.safetensors', import.meta.url),
  }),
  mila_nano: () => ({
    config: new URL('./models/mila_nano/config.json', import.meta.url),
    weights: new URL('./models/mila_nano/model.safetensors', import.meta.url),
  }),
};

/** `owner/name`, as hubs have it. */
const HUB_ID = /^[\w.-]+\/[\w.-]+$/;

/** Opens the files of a model; the download of its weights begins when its stream is read. */
export async function resolveModel(source: ModelSource, options: LoadOptions): Promise<ResolvedModel> {
  const fetching: FetchOptions = { cache: options.cache ?? true, ...(options.signal && { signal: options.signal }) };
  if (typeof source === 'string' && source in BUILTIN) {
    const { config, weights } = BUILTIN[source as keyof typeof BUILTIN]();
    return { ...(await fromFiles(source, config, weights, fetching)), own: { name: source } };
  }
  if (typeof source === 'string' && HUB_ID.test(source) && !source.startsWith('.')) {
    const base = String(options.baseUrl ?? 'https://huggingface.co').replace(/\/+$/, '');
    const folder = new URL(`${base}/${source}/resolve/${encodeURIComponent(options.revision ?? 'main')}/`, pageUrl());
    return fromFolder(source, folder, fetching);
  }
  if (typeof source === 'string' || source instanceof URL) {
    const url = new URL(source, pageUrl());
    if (/\.(safetensors|pth|pt|pth\.tar|bin)$/.test(url.pathname)) {
      return { name: lastPart(url), weights: await openDownload(url, fetching) };
    }
    // A folder may be named without its slash.
    if (!url.pathname.endsWith('/')) url.pathname += '/';
    return fromFolder(lastPart(url), url, fetching);
  }
  if (source === null || typeof source !== 'object' || !('weights' in source)) {
    throw new UnsupportedCheckpointError('Name a model: a built-in one, a hub id, the URL of a folder, or { weights, config }.');
  }
  const weights = await openFile(source.weights, fetching);
  const config = source.config === undefined ? undefined : await configText(source.config, fetching);
  return {
    name: source.name ?? weights.file,
    weights,
    ...(config !== undefined && { config }),
    ...(source.arch !== undefined && { arch: source.arch }),
  };
}

function pageUrl(): string | undefined {
  return (globalThis as { document?: Document; location?: Location }).document?.baseURI ?? globalThis.location?.href;
}

function lastPart(url: URL): string {
  return decodeURIComponent(url.pathname.split('/').filter(Boolean).at(-1) ?? url.hostname);
}

function fromFolder(name: string, folder: URL, options: FetchOptions): Promise<ResolvedModel> {
  return fromFiles(name, new URL('config.json', folder), new URL('model.safetensors', folder), options);
}

async function fromFiles(name: string, config: URL, weights: URL, options: FetchOptions): Promise<ResolvedModel> {
  return { name, config: await fetchText(config, options), weights: await openDownload(weights, options) };
}

async function openFile(file: FileSource, options: FetchOptions): Promise<Download> {
  if (typeof file === 'string' || file instanceof URL) return openDownload(new URL(file, pageUrl()), options);
  const blob = file instanceof Blob ? file : new Blob([file as BlobPart]);
  const name = 'name' in blob && typeof blob.name === 'string' ? blob.name : 'weights';
  return { file: name, total: blob.size, stream: () => chunks(blob, options.signal) };
}

async function* chunks(blob: Blob, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  for await (const chunk of read(blob.stream())) {
    signal?.throwIfAborted();
    yield chunk;
  }
}

async function configText(config: FileSource | Record<string, unknown>, options: FetchOptions): Promise<string> {
  if (typeof config === 'string' && config.trimStart().startsWith('{')) return config;
  if (typeof config === 'string' || config instanceof URL) return fetchText(new URL(config, pageUrl()), options);
  if (config instanceof Blob) return config.text();
  if (config instanceof ArrayBuffer || ArrayBuffer.isView(config)) return new TextDecoder().decode(config);
  return JSON.stringify(config);
}
