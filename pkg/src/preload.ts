/** Models that are downloaded before they are needed. */
import { asset } from './assets.js';
import { DownloadError } from './errors.js';
import { wasmSource } from './init.js';
import { local } from './lazy.js';
import { locate } from './locate.js';
import { checkPreload } from './options.js';
import { Store } from './store.js';
import type { ModelSource, PreloadOptions } from './types.js';
import { module } from './wasm.js';

/**
 * Downloads a model into the browser's cache, and the WebAssembly modules that it needs, so that `ImageClassifier.load` finds them there. Needs no
 * device and no memory for the weights. What is there already is not downloaded again.
 *
 * @throws {DownloadError} a file cannot be fetched, or there is no cache: in private windows, on insecure pages, outside browsers
 * @throws {InvalidOptionError} an option that does not exist or cannot have this value
 * @throws `AbortError` when `signal` is aborted; what has been downloaded by then is kept
 */
export async function preload(source: ModelSource = 'mamba_vision_nano', options: PreloadOptions = {}): Promise<void> {
  checkPreload(options);
  const { onProgress, signal } = options;
  signal?.throwIfAborted();
  const located = locate(source, options);
  if (!(await Store.all())) throw new DownloadError('There is no cache here that a model could be kept in.');
  const { begun, isTorch, resolveModel, torchModule } = await local();
  const compiled = module(wasmSource);
  // Told by `await` below; without this a failed download would leave it unheard.
  compiled.catch(() => undefined);
  const { weights } = await resolveModel(located, options);
  let loaded = 0;
  for await (const chunk of begun(weights.stream())) {
    if (!loaded && isTorch(chunk)) await torchModule(asset('webmamba_torch.wasm'));
    loaded += chunk.byteLength;
    onProgress?.({ phase: 'download', loaded, total: Math.max(weights.total ?? 0, loaded), file: weights.file });
  }
  await compiled;
}
