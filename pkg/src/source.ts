/** From what the user names to a config and a stream of weights. */
import { fetchText, openDownload, read, type Download, type FetchOptions } from './download.js';
import { DownloadError, UnsupportedCheckpointError } from './errors.js';
import type { Located } from './locate.js';
import { tag } from './options.js';
import type { FileSource, LoadOptions } from './types.js';
import { isUrl, lastPart } from './urls.js';

export interface ResolvedModel {
  /** For messages and, where nothing better is known, the model's name. */
  name: string;
  config?: string;
  arch?: string;
  weights: Download;
  /** What stands for the name of the family, where the user or the package gives the model one. */
  own?: { name: string };
}

/** Opens the files of a model; the download of its weights begins when its stream is read. */
export async function resolveModel(model: Located, options: LoadOptions): Promise<ResolvedModel> {
  const fetching: FetchOptions = { cache: options.cache ?? true, ...(options.signal && { signal: options.signal }) };
  if ('folder' in model) return fromFolder(model, fetching);
  const { name, arch } = model;
  const config = model.config === undefined ? undefined : await configText(model.config, fetching);
  const weights = await openFile(model.weights, fetching);
  return {
    name: name ?? weights.file,
    weights,
    ...(config !== undefined && { config }),
    ...(arch !== undefined && { arch }),
    ...(name !== undefined && { own: { name } }),
  };
}

async function fromFolder({ folder, hint }: Extract<Located, { folder: string }>, options: FetchOptions): Promise<ResolvedModel> {
  const url = new URL(folder);
  try {
    const config = await fetchText(new URL('config.json', url), options);
    return { name: lastPart(url), config, weights: await openDownload(new URL('model.safetensors', url), options) };
  } catch (error) {
    if (!hint || !(error instanceof DownloadError)) throw error;
    throw new DownloadError(`${error.message.replace(/\.$/, '')}; ${hint}.`, { cause: error.cause });
  }
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

async function configText(config: FileSource | Record<string, unknown>, options: FetchOptions): Promise<string> {
  if (isJson(config)) return config;
  if (typeof config === 'string' || isUrl(config)) return fetchText(config, options);
  if (['Blob', 'File'].includes(tag(config))) return (config as Blob).text();
  if (tag(config) === 'ArrayBuffer' || ArrayBuffer.isView(config)) return new TextDecoder().decode(config as ArrayBuffer);
  try {
    return JSON.stringify(config);
  } catch (error) {
    throw new UnsupportedCheckpointError(`The config cannot be written as JSON (${(error as Error).message}).`, { cause: error });
  }
}

/** Text that is a config, and no address of one. */
export function isJson(config: unknown): config is string {
  return typeof config === 'string' && config.trimStart().startsWith('{');
}
