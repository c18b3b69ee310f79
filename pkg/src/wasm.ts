/** The WebAssembly module, compiled once for all classifiers of a page or worker. */
import { DownloadError } from './errors.js';
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
    // Workers resolve relative addresses against their own script.
    const base = (globalThis as { document?: Document }).document?.baseURI;
    chosen = typeof wasm === 'string' || wasm instanceof URL ? new URL(wasm, base).href : wasm;
    ready = compile(chosen).catch((error: unknown) => {
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
  const { memory } = await glue.default({ module_or_path }).catch((error: unknown) => {
    const where = typeof source === 'string' || source instanceof URL ? ` at ${String(source)}` : '';
    const what = `The WebAssembly module${where} cannot be loaded (${(error as Error).message})`;
    throw new DownloadError(`${what}; if it lies elsewhere, say so with init({ wasm }).`, { cause: error });
  });
  return { glue, memory };
}

function isFile(source: NonNullable<InitOptions['wasm']>): source is string | URL {
  return (typeof source === 'string' || source instanceof URL) && String(source).startsWith('file:');
}

/** Outside browsers `fetch` has no `file:` URLs. */
export async function readFile(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  interface Process {
    getBuiltinModule?(name: string): { readFile(url: URL): Promise<Uint8Array<ArrayBuffer>> };
  }
  // Not an import, which bundlers for browsers would follow.
  const { process } = globalThis as { process?: Process };
  const files = process?.getBuiltinModule?.('node:fs/promises');
  if (!files) throw new Error(`there is no way to read ${url.href}; Node.js 20.16 or later could`);
  return files.readFile(url);
}
