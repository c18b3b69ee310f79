/** The WebAssembly module, compiled once for all classifiers of a page or worker. */
import * as glue from './webmamba.js';

export type Wasm = typeof glue;

export interface InitOptions {
  /** The module: its URL, its bytes, or compiled. By default the file beside this package's own. */
  wasm?: string | URL | BufferSource | WebAssembly.Module;
}

interface Ready {
  glue: Wasm;
  memory: WebAssembly.Memory;
}

let ready: Promise<Ready> | undefined;
let chosen: InitOptions['wasm'];

/**
 * Compiles the WebAssembly module. `ImageClassifier.load` does this by itself; call it first to name another place for the
 * module, or to have it compiled early. Later calls return the first one's result.
 */
export async function init(options: InitOptions = {}): Promise<void> {
  await module(options.wasm);
}

/** What `init` was told, for workers to be told the same. */
export function chosenWasm(): InitOptions['wasm'] {
  return chosen;
}

export function module(wasm?: InitOptions['wasm']): Promise<Ready> {
  if (!ready) {
    chosen = wasm;
    ready = compile(wasm).catch((error: unknown) => {
      // A failed download may succeed the next time.
      ready = undefined;
      throw error;
    });
  }
  return ready;
}

async function compile(wasm: InitOptions['wasm']): Promise<Ready> {
  const source = wasm ?? new URL('./webmamba_bg.wasm', import.meta.url);
  const module_or_path = isFile(source) ? await readFile(new URL(source)) : source;
  const { memory } = await glue.default({ module_or_path });
  return { glue, memory };
}

function isFile(source: NonNullable<InitOptions['wasm']>): source is string | URL {
  return (typeof source === 'string' || source instanceof URL) && String(source).startsWith('file:');
}

/** Outside browsers `fetch` has no `file:` URLs. */
export async function readFile(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  const name = 'node:fs/promises';
  const { readFile } = (await import(/* webpackIgnore: true */ /* @vite-ignore */ name)) as {
    readFile(url: URL): Promise<Uint8Array<ArrayBuffer>>;
  };
  return readFile(url);
}
