/** From pictures to what a device takes: RGBA bytes, or a texture. */
import { InvalidImageError } from './errors.js';
import { unreadable, type Drawable, type Picture } from './frames.js';
import { tag } from './options.js';

/** Reads drawables back as RGBA bytes, through one canvas that is kept. */
export class PixelReader {
  #context: OffscreenCanvasRenderingContext2D | undefined;
  #colours: ColourReader | undefined;

  async read(picture: Picture): Promise<Uint8Array> {
    const { width, height, pixels, drawable } = picture;
    if (pixels) return pixels;
    const context = this.#sized(width, height);
    let data: Uint8ClampedArray;
    try {
      context.drawImage(drawable as CanvasImageSource, 0, 0, width, height);
      data = context.getImageData(0, 0, width, height).data;
    } catch (error) {
      // A canvas that has seen a picture of another site is not read any more.
      this.#context = undefined;
      throw unreadable(error);
    }
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    if (tag(drawable) !== 'ImageBitmap' || !isTransparent(bytes)) return bytes;
    this.#colours ??= new ColourReader();
    return (await this.#colours.read(drawable as ImageBitmap)) ?? bytes;
  }

  #sized(width: number, height: number): OffscreenCanvasRenderingContext2D {
    if (!this.#context) {
      if (typeof OffscreenCanvas !== 'function') {
        throw new InvalidImageError('This browser has no OffscreenCanvas: give pixels as ImageData.');
      }
      const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
      if (!context) throw new InvalidImageError('The browser gives out no canvas to read the image from.');
      this.#context = context;
    }
    const { canvas } = this.#context;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    else this.#context.clearRect(0, 0, width, height);
    return this.#context;
  }
}

function isTransparent(rgba: Uint8Array): boolean {
  for (let i = 3; i < rgba.length; i += 4) if (rgba[i] !== 255) return true;
  return false;
}

/** Reads the colours below transparency, which a 2D canvas forgets: by WebGL, which has them where WebGPU has them, too. */
class ColourReader {
  readonly #gl = typeof OffscreenCanvas === 'function' ? new OffscreenCanvas(1, 1).getContext('webgl2') : null;

  /** Undefined where there is no WebGL, or not for images of this size. */
  async read(given: ImageBitmap): Promise<Uint8Array | undefined> {
    const gl = this.#gl;
    if (!gl || gl.isContextLost() || Math.max(given.width, given.height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return undefined;
    // WebGL takes a bitmap as it was made, and nobody tells how that was.
    const bitmap = await createImageBitmap(given, { premultiplyAlpha: 'none' });
    const { width, height } = bitmap;
    const [texture, frame] = [gl.createTexture(), gl.createFramebuffer()];
    try {
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
      gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
      const bytes = new Uint8Array(width * height * 4);
      gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
      return gl.getError() === gl.NO_ERROR ? bytes : undefined;
    } finally {
      bitmap.close();
      gl.deleteFramebuffer(frame);
      gl.deleteTexture(texture);
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
    const moving = ['HTMLVideoElement', 'VideoFrame'].includes(tag(drawable));
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
