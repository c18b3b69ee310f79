/** From what the user names to a config and a stream of weights. */
import { fetchBytes, fetchOptional, openDownload, read, type Download, type FetchOptions } from './download.js';
import { DownloadError, UnsupportedCheckpointError } from './errors.js';
import type { Located } from './locate.js';
import { tag } from './options.js';
import type { FileSource, LoadOptions } from './types.js';
import { isUrl, lastPart } from './urls.js';

export interface ResolvedModel {
  /** For messages and, where nothing better is known, the model's name. */
  name: string;
  /** Contents of `config.json`. */
  config?: Uint8Array;
  /** Contents of `preprocessor_config.json`. */
  preprocessor?: Uint8Array;
  arch?: string;
  weights: Download;
  /** What stands for the name of the family, where the user or the package gives the model one. */
  own?: { name: string };
}

/** Opens the files of a model; the download of its weights begins when its stream is read. */
export async function resolveModel(
  model: Located,
  options: Pick<LoadOptions, 'cache' | 'offline' | 'headers' | 'fetch' | 'signal'>,
): Promise<ResolvedModel> {
  const { cache = true, offline = false, headers = {}, fetch = globalThis.fetch, signal } = options;
  const fetching: FetchOptions = { cache, offline, headers, fetch, ...(signal && { signal }) };
  if ('folder' in model) return fromFolder(model, fetching);
  const { name, arch } = model;
  const config = model.config === undefined ? undefined : await configBytes(model.config, fetching);
  const weights = await openFile(model.weights, fetching);
  return {
    name: name ?? weights.file,
    weights,
    ...(config !== undefined && { config }),
    ...(arch !== undefined && { arch }),
    ...(name !== undefined && { own: { name } }),
  };
}

async function fromFolder({ folder, file, hint }: Extract<Located, { folder: string }>, options: FetchOptions): Promise<ResolvedModel> {
  const url = new URL(folder);
  const beside = (name: string) => new URL(name, url);
  try {
    // Whoever names a file may have one that needs no config.
    const config = await (file === undefined ? fetchBytes : fetchOptional)(beside('config.json'), options);
    // Asked for only where something is missing: browsers report every file that is not there.
    const preprocessor = config && saysScale(config) ? undefined : await fetchOptional(beside('preprocessor_config.json'), options);
    const weights = await openDownload(beside(file ?? 'model.safetensors'), options);
    return { name: lastPart(url), weights, ...(config && { config }), ...(preprocessor && { preprocessor }) };
  } catch (error) {
    if (!hint || !(error instanceof DownloadError)) throw error;
    throw new DownloadError(`${error.message.replace(/\.$/, '')}; ${hint}.`, { cause: error.cause });
  }
}

/** Whether a config says how pixels are scaled. */
function saysScale(config: Uint8Array): boolean {
  return /"(image_)?mean"\s*:\s*[[\d]/.test(new TextDecoder().decode(config));
}

async function openFile(file: FileSource, options: FetchOptions): Promise<Download> {
  if (typeof file === 'string' || isUrl(file)) return openDownload(file, options);
  const blob = ['Blob', 'File'].includes(tag(file)) ? (file as Blob) : new Blob([file as BlobPart]);
  const name = 'name' in blob && typeof blob.name === 'string' ? blob.name : 'weights';
  return { file: name, total: blob.size, stream: () => chunks(blob, options.signal) };
}

async function* chunks(blob: Blob, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  for await (const chunk of read(blob.stream())) {
    signal?.throwIfAborted();
    yield chunk;
  }
}

async function configBytes(config: FileSource | Record<string, unknown>, options: FetchOptions): Promise<Uint8Array> {
  const encode = (text: string) => new TextEncoder().encode(text);
  if (isJson(config)) return encode(config);
  if (typeof config === 'string' || isUrl(config)) return fetchBytes(config, options);
  if (['Blob', 'File'].includes(tag(config))) return new Uint8Array(await (config as Blob).arrayBuffer());
  if (tag(config) === 'ArrayBuffer') return new Uint8Array(config as ArrayBuffer);
  if (ArrayBuffer.isView(config)) return new Uint8Array(config.buffer, config.byteOffset, config.byteLength);
  try {
    return encode(JSON.stringify(config));
  } catch (error) {
    throw new UnsupportedCheckpointError(`The config cannot be written as JSON (${(error as Error).message}).`, { cause: error });
  }
}

/** Text that is a config, and no address of one. */
export function isJson(config: unknown): config is string {
  return typeof config === 'string' && config.trimStart().startsWith('{');
}
