/** From whatever shows an image to pixels that the model can take. */
import { InvalidImageError } from './errors.js';
import { readFile } from './wasm.js';
import type { ImageSource } from './types.js';

/** Something that browsers can draw. */
export type Drawable = HTMLImageElement | HTMLVideoElement | HTMLCanvasElement | OffscreenCanvas | ImageBitmap | VideoFrame;

/** An image whose size is known: drawable, or RGBA bytes. */
export interface Picture {
  width: number;
  height: number;
  drawable?: Drawable;
  pixels?: Uint8Array;
  /** Gives back what was made for this picture. */
  close(): void;
}

const nothing = () => undefined;
const isA = <T>(name: string, value: unknown): value is T => {
  const type = (globalThis as Record<string, unknown>)[name];
  return typeof type === 'function' && value instanceof type;
};

/** Finds out what `source` is, and fetches and decodes it where that is needed. */
export async function toPicture(source: ImageSource, signal?: AbortSignal): Promise<Picture> {
  if (typeof source === 'string' || source instanceof URL) return fromBlob(await fetchImage(source, signal));
  if (isA<Blob>('Blob', source)) return fromBlob(source);
  if (isA<HTMLImageElement>('HTMLImageElement', source)) {
    await source.decode().catch((error: unknown) => {
      throw new InvalidImageError(`The image ${shown(source.currentSrc)} cannot be decoded.`, { cause: error });
    });
    return sized(source, source.naturalWidth, source.naturalHeight);
  }
  if (isA<HTMLVideoElement>('HTMLVideoElement', source)) {
    if (source.readyState < 2) throw new InvalidImageError('The video has no frame yet; wait for its event `loadeddata`.');
    return sized(source, source.videoWidth, source.videoHeight);
  }
  if (isA<VideoFrame>('VideoFrame', source)) return sized(source, source.displayWidth, source.displayHeight);
  if (['HTMLCanvasElement', 'OffscreenCanvas', 'ImageBitmap'].some((name) => isA(name, source))) {
    const drawable = source as HTMLCanvasElement | OffscreenCanvas | ImageBitmap;
    return sized(drawable, drawable.width, drawable.height);
  }
  const raw = source as Partial<ImageData> | null;
  if (raw && typeof raw.width === 'number' && typeof raw.height === 'number' && ArrayBuffer.isView(raw.data)) {
    return fromPixels(raw.data, raw.width, raw.height);
  }
  throw new InvalidImageError(
    'This is no image: give an <img>, <video>, canvas, ImageBitmap, VideoFrame, ImageData, Blob, File or URL.',
  );
}

function fromPixels(data: ArrayBufferView, width: number, height: number): Picture {
  const fits = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  if (!fits || data.byteLength !== width * height * 4) {
    throw new InvalidImageError(`${data.byteLength} bytes are not the RGBA pixels of an image of ${width} x ${height}.`);
  }
  return { width, height, pixels: new Uint8Array(data.buffer, data.byteOffset, data.byteLength), close: nothing };
}

function sized(drawable: Drawable, width: number, height: number, close: () => void = nothing): Picture {
  if (!width || !height) throw new InvalidImageError('The image has no pixels: it was closed, or is empty.');
  return { width, height, drawable, close };
}

async function fromBlob(blob: Blob): Promise<Picture> {
  if (typeof createImageBitmap !== 'function') {
    throw new InvalidImageError('Nothing here decodes images: give decoded pixels as { data, width, height }.');
  }
  const options: ImageBitmapOptions = { premultiplyAlpha: 'none' };
  const bitmap = await createImageBitmap(blob, options).catch((error: unknown) => {
    throw new InvalidImageError('The file is not an image that this browser can decode.', { cause: error });
  });
  return sized(bitmap, bitmap.width, bitmap.height, () => bitmap.close());
}

async function fetchImage(source: string | URL, signal?: AbortSignal): Promise<Blob> {
  const base = (globalThis as { document?: Document }).document?.baseURI;
  const url = new URL(source, base);
  if (url.protocol === 'file:') return new Blob([await readFile(url)]);
  let response: Response;
  try {
    response = await fetch(url, { signal: signal ?? null });
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw new InvalidImageError(`The image ${shown(url.href)} cannot be fetched; see whether it exists and allows CORS.`, { cause: error });
  }
  if (!response.ok) throw new InvalidImageError(`The image ${shown(url.href)} cannot be fetched: HTTP ${response.status}.`);
  return response.blob();
}

/** Data URLs can be megabytes long. */
function shown(url: string): string {
  return url.length > 100 ? `${url.slice(0, 100)}…` : url;
}

/** A picture that is at most so large, made smaller by the browser where it is not. */
export async function limited(picture: Picture, maxSide: number, maxPixels: number): Promise<Picture> {
  const { width, height, drawable } = picture;
  const scale = Math.min(1, maxSide / Math.max(width, height), Math.sqrt(maxPixels / (width * height)));
  if (scale === 1 || !drawable) return picture;
  const resizeWidth = Math.max(1, Math.floor(width * scale));
  const resizeHeight = Math.max(1, Math.floor(height * scale));
  const bitmap = await createImageBitmap(drawable, { resizeWidth, resizeHeight, resizeQuality: 'high' });
  return sized(bitmap, resizeWidth, resizeHeight, () => {
    bitmap.close();
    picture.close();
  });
}

/** Reads drawables back as RGBA bytes, through one canvas that is kept. */
export class PixelReader {
  #context: OffscreenCanvasRenderingContext2D | undefined;

  read(picture: Picture): Uint8Array {
    if (picture.pixels) return picture.pixels;
    const { width, height } = picture;
    if (!this.#context) {
      if (typeof OffscreenCanvas !== 'function') {
        throw new InvalidImageError('This browser has no OffscreenCanvas: give pixels as ImageData.');
      }
      const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
      if (!context) throw new InvalidImageError('The browser gives out no canvas to read the image from.');
      this.#context = context;
    }
    const context = this.#context;
    const { canvas } = context;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    else context.clearRect(0, 0, width, height);
    try {
      context.drawImage(picture.drawable as CanvasImageSource, 0, 0, width, height);
      const { data } = context.getImageData(0, 0, width, height);
      return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    } catch (error) {
      throw unreadable(error);
    }
  }
}

/** `COPY_SRC | COPY_DST | RENDER_ATTACHMENT`: what external copies need, and what is read from then. */
const USAGE = 0x01 | 0x02 | 0x10;

/** Copies drawables to a texture that is kept as long as their size stays. */
export class TextureStage {
  readonly #device: GPUDevice;
  #texture: GPUTexture | undefined;
  /** Some implementations refuse videos; found out once. */
  #direct = true;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  async copy(picture: Picture): Promise<GPUTexture> {
    const { width, height } = picture;
    if (this.#texture?.width !== width || this.#texture.height !== height) {
      this.#texture?.destroy();
      this.#texture = this.#device.createTexture({
        label: 'webmamba frame',
        size: [width, height],
        format: 'rgba8unorm',
        usage: USAGE,
      });
    }
    const texture = this.#texture;
    const drawable = picture.drawable as Drawable;
    const copy = (source: GPUCopyExternalImageSource) =>
      this.#device.queue.copyExternalImageToTexture({ source }, { texture, premultipliedAlpha: false }, [width, height]);
    const moving = isA('HTMLVideoElement', drawable) || isA('VideoFrame', drawable);
    if (!moving || this.#direct) {
      try {
        copy(drawable);
        return texture;
      } catch (error) {
        if (!moving || (error as Error).name === 'SecurityError') throw unreadable(error);
        this.#direct = false;
      }
    }
    const bitmap = await createImageBitmap(drawable).catch((error: unknown) => {
      throw unreadable(error);
    });
    copy(bitmap);
    bitmap.close();
    return texture;
  }

  destroy(): void {
    this.#texture?.destroy();
    this.#texture = undefined;
  }
}

function unreadable(error: unknown): InvalidImageError {
  const security = (error as Error | null)?.name === 'SecurityError';
  const advice = security
    ? 'it comes from another site that does not allow it; load it with crossorigin="anonymous", or from your own'
    : String((error as Error | null)?.message ?? error);
  return new InvalidImageError(`The pixels of the image cannot be read: ${advice}.`, { cause: error });
}
