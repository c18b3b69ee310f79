/** Picture files where nothing else decodes them, which is outside of browsers: by a WebAssembly module of its own. */
import { asset } from './assets.js';
import { InvalidImageError } from './errors.js';
import { fetchModule } from './wasm.js';

interface Decoder {
  memory: WebAssembly.Memory;
  /** Room for a file. */
  reserve(bytes: number): number;
  /** Where four numbers lie: the address and length of the result, width and height; both are 0 where it says why there is none. */
  decode(file: number, bytes: number): number;
}

let decoder: Promise<WebAssembly.Module> | undefined;

/** RGBA pixels of a file, upright. @throws {InvalidImageError} naming it */
export async function decode(file: Uint8Array, name: string): Promise<{ pixels: Uint8Array; width: number; height: number }> {
  decoder ??= fetchModule(asset('webmamba_pictures.wasm'));
  const module = await decoder.catch((error: unknown) => {
    decoder = undefined;
    throw new InvalidImageError(`Nothing here decodes images (${(error as Error).message}): give decoded pixels as { data, width, height }.`, { cause: error });
  });
  // An instance for each file, as memory never shrinks.
  const { exports } = await WebAssembly.instantiate(module, {});
  const { memory, reserve, decode } = exports as unknown as Decoder;
  const place = reserve(file.length);
  if (!place) throw new InvalidImageError(`${name} is larger than what fits into memory.`);
  new Uint8Array(memory.buffer, place).set(file);
  try {
    // Before its memory is looked at, which may grow.
    const found = decode(place, file.length);
    const [at, length, width, height] = new Uint32Array(memory.buffer, found, 4) as unknown as [number, number, number, number];
    const result = new Uint8Array(memory.buffer, at, length);
    if (!width) throw new InvalidImageError(`${name} cannot be decoded: ${new TextDecoder().decode(result)}.`);
    return { pixels: result, width, height };
  } catch (error) {
    if (error instanceof InvalidImageError) throw error;
    throw new InvalidImageError(`${name} cannot be decoded: its pixels do not fit into memory.`, { cause: error });
  }
}
