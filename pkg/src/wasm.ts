/** The WebAssembly module, compiled once for all classifiers of a page or worker. */
import { DownloadError } from './errors.js';
import type { WasmSource } from './types.js';
import { isUrl, readFile, resolveUrl, shown } from './urls.js';
import * as glue from './webmamba.js';

export type Wasm = typeof glue;

interface Ready {
  glue: Wasm;
  memory: WebAssembly.Memory;
}

let ready: Promise<Ready> | undefined;

/** The module; `source` counts for the first call, and after a failure. */
export function module(source: () => WasmSource): Promise<Ready> {
  ready ??= compile(source).catch((error: unknown) => {
    // A failed download may succeed the next time.
    ready = undefined;
    throw error;
  });
  return ready;
}

/** True when the module is there or on its way. */
export function isStarted(): boolean {
  return ready !== undefined;
}

async function compile(find: () => WasmSource): Promise<Ready> {
  const given = find();
  const source = typeof given === 'string' || isUrl(given) ? resolveUrl(given) : given;
  try {
    const { memory } = await glue.default({ module_or_path: isUrl(source) && source.protocol === 'file:' ? await readFile(source) : source });
    return { glue, memory };
  } catch (error) {
    const where = isUrl(source) ? ` at ${shown(source)}` : '';
    const what = `The WebAssembly module${where} cannot be loaded (${(error as Error).message})`;
    throw new DownloadError(`${what}; if it lies elsewhere, say so with init({ base }) or init({ wasm }).`, { cause: error });
  }
}
