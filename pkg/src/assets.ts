/** Where the package's own files are: beside this one, or where `init({ base })` says. */
import { configs } from './configs.js';
import { DownloadError } from './errors.js';
import type { BuiltinModel } from './types.js';
import { resolveUrl } from './urls.js';

/** The files by their paths below the package. What browsers need stands in full, so that bundlers find it. */
const FILES = {
  'webmamba_bg.wasm': () => new URL('./webmamba_bg.wasm', import.meta.url),
  'webmamba_relaxed_bg.wasm': () => new URL('./webmamba_relaxed_bg.wasm', import.meta.url),
  'webmamba_torch.wasm': () => new URL('./webmamba_torch.wasm', import.meta.url),
  'worker-thread.js': () => new URL('./worker-thread.js', import.meta.url),
  // Beside another one: browsers decode pictures themselves, so bundlers for them shall not find it.
  'webmamba_pictures.wasm': (): URL => new URL('webmamba_pictures.wasm', FILES['webmamba_bg.wasm']()),
  'models/mamba_vision_nano/model.safetensors': () => new URL('./models/mamba_vision_nano/model.safetensors', import.meta.url),
  'models/mila_nano/model.safetensors': () => new URL('./models/mila_nano/model.safetensors', import.meta.url),
};

let base: URL | undefined;
let worker: string | undefined;

/** The folder that has the package's files from now on. */
export function setBase(address: string | URL): void {
  base = resolveUrl(address);
  // A folder may be named without its slash.
  if (!base.pathname.endsWith('/')) base.pathname += '/';
}

/** Names the script of workers, for a file that is one itself; `setBase` overrides it. */
export function setWorker(address: string): void {
  worker = address;
}

export function asset(file: keyof typeof FILES): URL {
  if (base) return new URL(file, base);
  if (worker !== undefined && file === 'worker-thread.js') return new URL(worker);
  try {
    return resolveUrl(FILES[file]());
  } catch (error) {
    throw new DownloadError(`Nothing tells where ${file} is, as the bundler keeps no addresses; say so with init({ base }).`, { cause: error });
  }
}

export function isBuiltin(name: string): name is BuiltinModel {
  return Object.hasOwn(configs, name);
}

export function builtinNames(): string[] {
  return Object.keys(configs);
}

/** The files of a model inside the package. */
export function builtin(name: BuiltinModel): { config: string; weights: URL } {
  return { config: configs[name], weights: asset(`models/${name}/model.safetensors`) };
}
