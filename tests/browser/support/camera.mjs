/** Fake cameras: films that Chromium plays instead of a camera. */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { EXECUTABLE } from './browser.mjs';
import { IMAGES, outFolder } from './paths.mjs';
import { Server } from './server.mjs';

const [WIDTH, HEIGHT] = [640, 480];
/** Chromium plays such files with 30 frames a second. */
const FPS = 30;

/**
 * A film that shows sample photographs one after the other, over and over.
 * @param {string[]} names @param {number} seconds of each
 * @returns {Promise<string>} its path, for `--use-file-for-fake-video-capture`
 */
export async function film(names, seconds = 2) {
  const server = await Server.start();
  server.folder('/images/', IMAGES);
  server.file('/', '<!doctype html><link rel="icon" href="data:,">', { type: 'text/html' });
  const browser = await chromium.launch({ executablePath: EXECUTABLE, args: ['--no-sandbox'] });
  try {
    const page = await browser.newPage();
    await page.goto(server.url('/'));
    const frames = await page.evaluate(async ([names, width, height]) => {
      const frames = [];
      for (const name of names) {
        const bitmap = await createImageBitmap(await (await fetch(`/images/${name}`)).blob());
        const canvas = new OffscreenCanvas(width, height);
        // The middle of the photograph, as large as the frame.
        const scale = Math.max(width / bitmap.width, height / bitmap.height);
        const [w, h] = [bitmap.width * scale, bitmap.height * scale];
        canvas.getContext('2d').drawImage(bitmap, (width - w) / 2, (height - h) / 2, w, h);
        const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.92 });
        frames.push([...new Uint8Array(await blob.arrayBuffer())]);
      }
      return frames;
    }, [names, WIDTH, HEIGHT]);
    const path = join(outFolder('films'), `${names.join('-').replace(/\.\w+/g, '')}.mjpeg`);
    // Another test's camera may be showing the one before: it keeps that.
    const fresh = `${path}.${process.pid}`;
    writeFileSync(fresh, Buffer.concat(frames.flatMap((frame) => Array(seconds * FPS).fill(Buffer.from(frame)))));
    renameSync(fresh, path);
    return path;
  } finally {
    await browser.close();
    await server.stop();
  }
}
