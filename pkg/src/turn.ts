/** Pictures that are turned before the model sees them, and its maps that are turned back. */
import { draws, unreadable, type Picture } from './frames.js';
import { tag } from './options.js';
import type { PixelReader } from './pixels.js';
import type { Rotation } from './types.js';

/** Turns pictures by their `rotation`. */
export class Turner {
  readonly #reader: PixelReader;
  #context: OffscreenCanvasRenderingContext2D | null = null;

  constructor(reader: PixelReader) {
    this.#reader = reader;
  }

  /** The picture as it is to be seen. */
  async turned(picture: Picture): Promise<Picture> {
    const { width, height, rotation = 0, drawable } = picture;
    if (!rotation) return picture;
    const [columns, rows] = rotation === 180 ? [width, height] : [height, width];
    const upright = { ...picture, width: columns, height: rows, rotation: 0 as const, close: () => undefined };
    // Bitmaps may have colours below transparency, which a canvas forgets.
    if (drawable && tag(drawable) !== 'ImageBitmap' && draws()) {
      return { ...upright, drawable: this.#drawn(drawable, width, height, rotation) };
    }
    const bytes = await this.#reader.read(picture);
    // Whole pixels must begin at a multiple of four.
    const aligned = bytes.byteOffset % 4 ? bytes.slice() : bytes;
    const pixels = clockwise(new Uint32Array(aligned.buffer, aligned.byteOffset, width * height), width, height, rotation);
    const { drawable: _, ...rest } = upright;
    return { ...rest, pixels: new Uint8Array(pixels.buffer) };
  }

  #drawn(drawable: NonNullable<Picture['drawable']>, width: number, height: number, rotation: Rotation): OffscreenCanvas {
    this.#context ??= new OffscreenCanvas(1, 1).getContext('2d');
    const context = this.#context as OffscreenCanvasRenderingContext2D;
    const [columns, rows] = rotation === 180 ? [width, height] : [height, width];
    // Also clears it.
    Object.assign(context.canvas, { width: columns, height: rows });
    const matrix = { 0: [1, 0, 0, 1, 0, 0], 90: [0, 1, -1, 0, height, 0], 180: [-1, 0, 0, -1, width, height], 270: [0, -1, 1, 0, 0, width] }[rotation];
    context.setTransform(...(matrix as [number, number, number, number, number, number]));
    try {
      context.drawImage(drawable, 0, 0, width, height);
      return context.canvas;
    } catch (error) {
      this.#context = null;
      throw unreadable(error);
    }
  }
}

/** What lies in `height` rows of `width`, turned clockwise. */
function clockwise<T extends Uint32Array | Float32Array>(from: T, width: number, height: number, rotation: Rotation): T {
  const to = from.slice() as T;
  // Where the first of the result is, and the ways from one to the next in a row and in a column.
  const [start, right, down] = {
    0: [0, 1, width],
    90: [(height - 1) * width, -width, 1],
    180: [width * height - 1, -1, -width],
    270: [width - 1, width, -1],
  }[rotation] as [number, number, number];
  const columns = rotation % 180 ? height : width;
  for (let i = 0, row = start; i < to.length; row += down) {
    for (let x = 0, at = row; x < columns; x++, at += right) to[i++] = from[at] as number;
  }
  return to;
}

interface Map {
  width: number;
  height: number;
  values: Float32Array;
  /** Left, top, width and height. */
  region: [number, number, number, number];
}

/** A map of a turned picture as a map of the picture before that, which has `width` x `height` pixels. */
export function turnedBack(map: Map, width: number, height: number, rotation: Rotation): Partial<Map> {
  const [x, y, w, h] = map.region;
  const back = ((360 - rotation) % 360) as Rotation;
  const values = clockwise(map.values, map.width, map.height, back);
  const region = { 0: map.region, 90: [y, height - x - w, h, w], 180: [width - x - w, height - y - h, w, h], 270: [width - y - h, x, h, w] }[rotation];
  return { values, region: region as Map['region'], ...(rotation % 180 && { width: map.height, height: map.width }) };
}
