/**
 * From whatever shows an image to pixels that the model can take. One rule for all: the alpha channel is dropped, so that the
 * colours below it count; colour profiles are ignored; the orientation that a camera wrote down is applied. Files and `<img>`
 * are decoded that way. What has been decoded or drawn elsewhere is taken as it is.
 */
import { raced } from './calls.js';
import { decode } from './decode.js';
import { InvalidImageError } from './errors.js';
import { tag } from './options.js';
import { isCamera, playing } from './stream.js';
import type { ImageSource, Region, Rotation } from './types.js';
import { isUrl, readFile, resolveUrl, shown } from './urls.js';

/** Something that browsers can draw. */
export type Drawable = HTMLVideoElement | HTMLCanvasElement | OffscreenCanvas | ImageBitmap | VideoFrame;

/** An image whose size is known: drawable, or RGBA bytes. */
export interface Picture {
  width: number;
  height: number;
  /** Pixels of the source for one of this picture. */
  scale: number;
  /** Where this picture begins in the source, in pixels of the source; its first pixel where it is not given. */
  corner?: [x: number, y: number];
  /** How far it is turned clockwise before the model sees it; width, height, scale and corner are as before that. */
  rotation?: Rotation;
  drawable?: Drawable;
  pixels?: Uint8Array;
  /** True when nobody else uses the drawable. */
  own: boolean;
  /** Gives back what was made for this picture. */
  close(): void;
}

/**
 * More are made fewer before the model sees them: photographs of phones stay whole, and a hundred megapixels would take most
 * of a gigabyte.
 */
const PIXELS = 1 << 24;

const DECODE: ImageBitmapOptions = { premultiplyAlpha: 'none', colorSpaceConversion: 'none', imageOrientation: 'from-image' };

/** Which part of an image is looked at, and from which side. */
export interface View {
  region?: Region | undefined;
  rotation?: Rotation | undefined;
}

/** Finds out what `source` is, fetches and decodes it where that is needed, and takes its region. */
export async function toPicture(source: ImageSource, signal?: AbortSignal, { region, rotation = 0 }: View = {}): Promise<Picture> {
  const picture = await raced(open(source, signal), signal, (late) => late.close());
  if (!region) return { ...(await limited(picture, Infinity, PIXELS)), rotation };
  const { x, y } = region;
  return { ...(await limited(await cropped(picture, region), Infinity, PIXELS)), rotation, corner: [Math.round(x), Math.round(y)] };
}

/** A part of a picture, in whole pixels. */
async function cropped(picture: Picture, region: Region): Promise<Picture> {
  const [x, y, right, bottom] = [region.x, region.y, region.x + region.width, region.y + region.height].map(Math.round) as [number, number, number, number];
  const [width, height] = [right - x, bottom - y];
  try {
    if (x < 0 || y < 0 || right > picture.width || bottom > picture.height || width < 1 || height < 1) {
      throw new InvalidImageError(`The region ${x}, ${y}, ${width} x ${height} is no part of an image of ${picture.width} x ${picture.height} pixels.`);
    }
    if (picture.pixels) {
      const [bytes, row] = [new Uint8Array(width * height * 4), picture.width * 4];
      for (let i = 0; i < height; i++) bytes.set(picture.pixels.subarray((y + i) * row + x * 4, (y + i) * row + right * 4), i * width * 4);
      return fromPixels(bytes, width, height);
    }
    return owned(await createImageBitmap(picture.drawable as Drawable, x, y, width, height, { premultiplyAlpha: 'none' }));
  } catch (error) {
    throw error instanceof InvalidImageError ? error : unreadable(error);
  } finally {
    picture.close();
  }
}

async function open(source: ImageSource, signal?: AbortSignal): Promise<Picture> {
  if (typeof source === 'string' || isUrl(source)) return fromBlob(...(await fetchImage(source, signal)));
  if (isCamera(source)) return fromCamera(source, signal);
  // By the names of their classes: an image of a frame or of another window is no instance of this window's classes.
  switch (tag(source)) {
    case 'Blob':
    case 'File':
      return fromBlob(source as Blob, (source as Partial<File>).name);
    // The bytes of a file, as Node has them.
    case 'ArrayBuffer':
    case 'Uint8Array':
      return fromBlob(new Blob([source as Uint8Array<ArrayBuffer>]));
    case 'HTMLImageElement':
      return fromElement(source as HTMLImageElement, signal);
    case 'HTMLVideoElement': {
      const video = source as HTMLVideoElement;
      if (video.readyState < 2) throw new InvalidImageError('The video has no frame yet; wait for its event `loadeddata`.');
      return sized(video, video.videoWidth, video.videoHeight);
    }
    case 'VideoFrame': {
      const frame = source as VideoFrame;
      return sized(frame, frame.displayWidth, frame.displayHeight);
    }
    case 'HTMLCanvasElement':
    case 'OffscreenCanvas':
    case 'ImageBitmap': {
      const drawable = source as HTMLCanvasElement | OffscreenCanvas | ImageBitmap;
      return sized(drawable, drawable.width, drawable.height);
    }
  }
  const raw = source as Partial<ImageData> | null;
  if (raw && typeof raw.width === 'number' && typeof raw.height === 'number' && ArrayBuffer.isView(raw.data)) {
    return fromPixels(raw.data, raw.width, raw.height);
  }
  throw new InvalidImageError(
    'This is no image: give an <img>, <video>, canvas, ImageBitmap, VideoFrame, ImageData, camera, Blob, File, the bytes of a file, or a URL.',
  );
}

/** The next frame of a camera. */
async function fromCamera(camera: MediaStreamTrack | MediaStream, signal?: AbortSignal): Promise<Picture> {
  const [video, stop] = await playing(camera, signal);
  try {
    return owned(await createImageBitmap(video));
  } catch (error) {
    throw unreadable(error);
  } finally {
    stop();
  }
}

function fromPixels(data: ArrayBufferView, width: number, height: number): Picture {
  const fits = Number.isInteger(width) && Number.isInteger(height) && width > 0 && height > 0;
  if (!fits || data.byteLength !== width * height * 4) {
    throw new InvalidImageError(`${data.byteLength} bytes are not the RGBA pixels of an image of ${width} x ${height}.`);
  }
  const pixels = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { width, height, scale: 1, pixels, own: false, close: () => undefined };
}

function sized(drawable: Drawable, width: number, height: number): Picture {
  if (!width || !height) throw new InvalidImageError('The image has no pixels: it was closed, or is empty.');
  return { width, height, scale: 1, drawable, own: false, close: () => undefined };
}

function owned(bitmap: ImageBitmap): Picture {
  return { ...sized(bitmap, bitmap.width, bitmap.height), own: true, close: () => bitmap.close() };
}

async function fromElement(given: HTMLImageElement, signal?: AbortSignal): Promise<Picture> {
  const image = await loaded(given, signal);
  const failed = (error: unknown) => new InvalidImageError(`The image ${shown(image.currentSrc || image.src)} cannot be decoded.`, { cause: error });
  if (!image.naturalWidth && !isVector(image.currentSrc)) throw failed(undefined);
  try {
    return owned(await createImageBitmap(image, DECODE));
  } catch (error) {
    // Vector images of no size of their own.
    return drawn(image, () => failed(error));
  }
}

/** The element when its file is there. */
async function loaded(image: HTMLImageElement, signal?: AbortSignal): Promise<HTMLImageElement> {
  if (image.complete && image.currentSrc) return image;
  // Browsers fetch lazy images when they are about to be seen, so perhaps never.
  const waiting = image.loading === 'lazy' ? (image.cloneNode() as HTMLImageElement) : image;
  if (waiting !== image) waiting.loading = 'eager';
  await raced(waiting.decode(), signal).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw new InvalidImageError(`The image ${shown(image.currentSrc || image.src)} cannot be decoded.`, { cause: error });
  });
  return waiting;
}

const isVector = (type: string) => /svg/i.test(type);

/** What browsers only decode as elements, drawn. */
function drawn(image: HTMLImageElement, failed: () => Error): Picture {
  // A vector image without a size takes any.
  const [width, height] = [image.naturalWidth || 512, image.naturalHeight || 512];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  if (!context) throw failed();
  try {
    context.drawImage(image, 0, 0, width, height);
  } catch {
    throw failed();
  }
  return { ...sized(canvas, width, height), own: true };
}

let drawing: boolean | undefined;

/** Whether pictures are decoded and drawn here. Some runtimes have a class of that name, which draws nothing. */
export function draws(): boolean {
  return (drawing ??= typeof OffscreenCanvas === 'function' && new OffscreenCanvas(1, 1).getContext('2d') !== null);
}

async function fromBlob(blob: Blob, name = 'The file'): Promise<Picture> {
  if (!draws()) {
    const { pixels, width, height } = await decode(new Uint8Array(await blob.arrayBuffer()), name);
    return fromPixels(pixels, width, height);
  }
  try {
    return owned(await createImageBitmap(blob, DECODE));
  } catch (error) {
    const failed = (more = '') => new InvalidImageError(`${name} is not an image that this browser can decode${more}.`, { cause: error });
    if (!isVector(blob.type) && !/<svg\b/i.test(await blob.slice(0, 1024).text())) throw failed();
    if (typeof document === 'undefined') throw failed(': SVG needs a page, and this is a worker; draw it there');
    const image = new Image();
    // The type is what tells browsers that text is an image.
    const address = URL.createObjectURL(new Blob([blob], { type: 'image/svg+xml' }));
    try {
      image.src = address;
      await image.decode().catch(() => {
        throw failed();
      });
      return drawn(image, failed);
    } finally {
      URL.revokeObjectURL(address);
    }
  }
}

async function fetchImage(source: string | URL, signal?: AbortSignal): Promise<[Blob, string]> {
  let url: URL;
  try {
    url = resolveUrl(source);
  } catch (error) {
    throw new InvalidImageError(`The image ${shown(source)} has no address that can be fetched from here.`, { cause: error });
  }
  const name = `The image ${shown(url)}`;
  try {
    if (url.protocol === 'file:') return [new Blob([await readFile(url)]), name];
    const response = await fetch(url, { signal: signal ?? null });
    if (response.ok) return [await response.blob(), name];
    throw new InvalidImageError(`${name} cannot be fetched: HTTP ${response.status}.`);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof InvalidImageError) throw error;
    throw new InvalidImageError(`${name} cannot be fetched (${(error as Error).message}); see whether it exists and allows CORS.`, { cause: error });
  }
}

/** A picture that is at most so large, made smaller by the browser where it is not. */
export async function limited(picture: Picture, maxSide: number, maxPixels: number): Promise<Picture> {
  const { width, height, drawable, pixels } = picture;
  const scale = Math.min(1, maxSide / Math.max(width, height), Math.sqrt(maxPixels / (width * height)));
  // Outside browsers there is nobody else who could do it.
  if (scale === 1 || !draws()) return picture;
  try {
    const source = drawable ?? new ImageData(new Uint8ClampedArray(pixels ?? []), width, height);
    const resize: ImageBitmapOptions = {
      premultiplyAlpha: 'none',
      resizeWidth: Math.max(1, Math.floor(width * scale)),
      resizeHeight: Math.max(1, Math.floor(height * scale)),
      resizeQuality: 'high',
    };
    const small = owned(await createImageBitmap(source, resize));
    return { ...small, rotation: picture.rotation ?? 0, scale: (picture.scale * width) / small.width };
  } catch (error) {
    throw unreadable(error);
  } finally {
    picture.close();
  }
}

export function unreadable(error: unknown): InvalidImageError {
  const security = (error as Error | null)?.name === 'SecurityError';
  const advice = security
    ? 'it comes from another site that does not allow it; load it with crossorigin="anonymous", or from your own'
    : String((error as Error | null)?.message ?? error);
  return new InvalidImageError(`The pixels of the image cannot be read: ${advice}.`, { cause: error });
}
