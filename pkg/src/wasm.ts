/** The WebAssembly module, compiled once for all classifiers of a page or worker. */
import { DownloadError } from './errors.js';
import type { WasmSource } from './types.js';
import { isUrl, readFile, resolveUrl, shown } from './urls.js';

export type Wasm = typeof import('./webmamba.js');

interface Ready {
  glue: Wasm;
  memory: WebAssembly.Memory;
}

let ready: Promise<Ready> | undefined;

/** A module of one function, which is `f32x4.relaxed_madd` of three zeros. */
const RELAXED = Uint8Array.of(
  0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, // "\0asm", version 1
  0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b, // types: () -> v128
  0x03, 0x02, 0x01, 0x00, // functions
  0x0a, 0x13, 0x01, 0x11, 0x00, // code: one body without locals
  ...[0, 1, 2].flatMap(() => [0x41, 0x00, 0xfd, 0x0f]), // i32.const 0, i8x16.splat
  0xfd, 0x85, 0x02, 0x0b, // f32x4.relaxed_madd, end
);

/** Whether modules may multiply and add vectors in one instruction, rounded once or twice as the processor does. */
export function hasRelaxedVectors(): boolean {
  return WebAssembly.validate(RELAXED);
}

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

/** A module without imports. */
export async function fetchModule(url: URL): Promise<WebAssembly.Module> {
  if (url.protocol === 'file:') return WebAssembly.compile(await readFile(url));
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${shown(url)}: HTTP ${answer.status}`);
  return WebAssembly.compile(await answer.arrayBuffer());
}

async function compile(find: () => WasmSource): Promise<Ready> {
  const given = find();
  const source = typeof given === 'string' || isUrl(given) ? resolveUrl(given) : given;
  try {
    const bytes = isUrl(source) ? (source.protocol === 'file:' ? readFile(source) : fetch(source)) : source;
    // Both are fetched at once.
    const [glue, module_or_path] = await Promise.all([import('./webmamba.js'), bytes]);
    const { memory } = await glue.default({ module_or_path });
    return { glue, memory };
  } catch (error) {
    const where = isUrl(source) ? ` at ${shown(source)}` : '';
    const what = `The WebAssembly module${where} cannot be loaded (${(error as Error).message})`;
    throw new DownloadError(`${what}; if it lies elsewhere, say so with init({ base }) or init({ wasm }).`, { cause: error });
  }
}
