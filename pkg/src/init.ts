/** What a page may say before it loads a model: where the package's files are. */
import { asset, setBase } from './assets.js';
import { InvalidOptionError } from './errors.js';
import { checkInit } from './options.js';
import type { InitOptions, WasmSource } from './types.js';
import { isUrl, resolveUrl } from './urls.js';
import { hasRelaxedVectors, isStarted, module } from './wasm.js';

let chosen: WasmSource | undefined;

/**
 * Compiles the WebAssembly module. `ImageClassifier.load` does this by itself; call it first to name another place for the
 * package's files, or to have the module compiled early.
 *
 * @throws {InvalidOptionError} another module is asked for after one was compiled
 * @throws {DownloadError} the module cannot be fetched
 */
export async function init(options: InitOptions = {}): Promise<void> {
  checkInit(options);
  const { base, wasm } = options;
  if (base !== undefined) setBase(base);
  if (wasm !== undefined) {
    if (isStarted() && wasm !== chosen) throw new InvalidOptionError('init: the WebAssembly module is compiled already; name `wasm` before the first load.');
    chosen = wasm;
  }
  await module(wasmSource);
}

/** The module: as `init` was told, or the file beside this package's own that suits the browser. */
export function wasmSource(): WasmSource {
  const source = chosen ?? asset(hasRelaxedVectors() ? 'webmamba_relaxed_bg.wasm' : 'webmamba_bg.wasm');
  // Workers resolve relative addresses against their own script.
  return typeof source === 'string' || isUrl(source) ? resolveUrl(source).href : source;
}
