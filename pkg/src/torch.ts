/** Files of `torch.save`: a WebAssembly module of its own reads them, which is fetched when such a file comes. */
import { raced } from './calls.js';
import { DownloadError, OutOfMemoryError } from './errors.js';
import { resolveUrl, shown } from './urls.js';
import { fetchModule } from './wasm.js';
import type { Loader } from './webmamba.js';

interface Reader {
  memory: WebAssembly.Memory;
  /** A file of no bytes, with room for so many; 0 where there is none. */
  torch_file(bytes: number): number;
  /** Where the next bytes of a file go; 0 where there is no room. */
  torch_grow(file: number, bytes: number): number;
  /** Where four numbers lie: address and length of what was found, address and number of the tensors, which are an address and a length each. */
  torch_read(file: number): number;
}

/** What a page without such files never asks for. */
let reader: Promise<WebAssembly.Module> | undefined;

/** Bytes by which the format of a file shows: with the ninth begins the header of safetensors. */
const BEGINNING = 9;

/** Bytes of a tensor that are handed over at once. */
const PIECE = 4 << 20;

/** True for the first bytes of a file of `torch.save`: those of a ZIP archive, or of a pickle. */
export function isTorch([a, b = 0, c, d, , , , , ninth]: Uint8Array): boolean {
  return ninth !== 0x7b && (a === 0x80 ? b >= 1 && b <= 5 : a === 0x50 && b === 0x4b && c === 3 && d === 4);
}

/** The same bytes in pieces of which the first is enough to tell the format. */
export async function* begun(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let head: Uint8Array | undefined;
  for await (const chunk of chunks) {
    const piece: Uint8Array = head ? new Uint8Array(await new Blob([head, chunk] as BlobPart[]).arrayBuffer()) : chunk;
    // A copy: a chunk is gone when the next one is asked for.
    head = piece.length < BEGINNING ? piece.slice() : undefined;
    if (!head) yield piece;
  }
  if (head) yield head;
}

/** The module that reads these files, compiled once. @throws {DownloadError} naming it */
export function torchModule(address: string | URL): Promise<WebAssembly.Module> {
  const url = resolveUrl(address);
  reader ??= fetchModule(url).catch((error: unknown) => {
    reader = undefined;
    const what = `The WebAssembly module at ${shown(url)}, which reads files of torch.save, cannot be loaded (${(error as Error).message})`;
    throw new DownloadError(`${what}; if it lies elsewhere, say so with init({ base }).`, { cause: error });
  });
  return reader;
}

/**
 * What `loader` is to be given of a file of `total` bytes: its bytes as they come, or of one of `torch.save` those of its tensors, once
 * it is complete and the loader knows what is in it. `address` is where the module that reads such files lies.
 */
export async function* checkpoint(
  chunks: AsyncIterable<Uint8Array>,
  total: number | undefined,
  loader: Loader,
  address: () => string | URL,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let file: TorchFile | undefined;
  let first = true;
  for await (const chunk of begun(chunks)) {
    // An instance for each file, as memory never shrinks.
    if (first && isTorch(chunk)) file = new TorchFile(await raced(torchModule(address()).then((module) => WebAssembly.instantiate(module)), signal), total);
    first = false;
    if (file) file.add(chunk);
    else yield chunk;
  }
  if (file) yield* file.tensors(loader);
}

class TorchFile {
  readonly #reader: Reader;
  readonly #file: number;
  #bytes = 0;

  constructor({ exports }: WebAssembly.Instance, total = 0) {
    this.#reader = exports as unknown as Reader;
    this.#file = this.#room(this.#reader.torch_file(total));
  }

  add(chunk: Uint8Array): void {
    const place = this.#room(this.#reader.torch_grow(this.#file, chunk.length));
    // Looked at only now: the memory may have grown.
    new Uint8Array(this.#reader.memory.buffer, place).set(chunk);
    this.#bytes += chunk.length;
  }

  /** Tells the loader what is in the file, and gives the bytes that it takes next. */
  *tensors(loader: Loader): Generator<Uint8Array> {
    const found = this.#room(this.#reader.torch_read(this.#file));
    const { buffer } = this.#reader.memory;
    const [at, length, tensors, count] = new Uint32Array(buffer, found, 4) as unknown as [number, number, number, number];
    loader.unpacked(this.#bytes, new Uint8Array(buffer, at, length));
    const places = new Uint32Array(buffer, tensors, 2 * count);
    for (let i = 0; i < places.length; i += 2) {
      const [at, length] = places.subarray(i, i + 2) as unknown as [number, number];
      for (let sent = 0; sent < length; sent += PIECE) yield new Uint8Array(buffer, at + sent, Math.min(PIECE, length - sent));
    }
  }

  #room(place: number): number {
    if (!place) throw new OutOfMemoryError('The page has no memory left for this file.');
    // Addresses beyond 2 GB come as negative numbers.
    return place >>> 0;
  }
}
