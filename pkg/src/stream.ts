/** Cameras and streams of frames. */
import { raced } from './calls.js';
import { InvalidImageError } from './errors.js';
import { tag } from './options.js';
import type { VideoSource } from './types.js';
import { FrameClock, Pace } from './video.js';

type Camera = MediaStreamTrack | MediaStream;

/** True for a track or stream of video, whichever way it came about. */
export function isCamera(source: unknown): source is Camera {
  return /MediaStream(Track)?$/.test(tag(source));
}

/** A video that shows a camera, and how to end it; the camera itself stays on. */
export async function playing(camera: Camera, signal?: AbortSignal): Promise<[HTMLVideoElement, () => void]> {
  const stream = tag(camera) === 'MediaStream' ? (camera as MediaStream) : new MediaStream([camera as MediaStreamTrack]);
  if (stream.getVideoTracks().every(({ readyState }) => readyState === 'ended')) throw new InvalidImageError('The camera shows nothing: it was stopped, or is none for pictures.');
  if (typeof document === 'undefined') throw new InvalidImageError('Single frames of a camera need a page, and this is a worker: give a VideoFrame.');
  const video: HTMLVideoElement = Object.assign(document.createElement('video'), { muted: true, playsInline: true, srcObject: stream });
  const stop = () => {
    video.pause();
    video.srcObject = null;
  };
  try {
    await raced(video.play(), signal);
    return [video, stop];
  } catch (error) {
    stop();
    throw error;
  }
}

/** The frames of a video, camera or stream as time passes, at most `maxFps` a second, until one of the signals is aborted. */
export async function* frames(
  source: VideoSource,
  maxFps: number | undefined,
  signals: readonly (AbortSignal | undefined)[],
): AsyncGenerator<HTMLVideoElement | VideoFrame, void, void> {
  if (isCamera(source) && typeof document === 'undefined') yield* streamed(processed(source), maxFps, signals);
  else if (isCamera(source)) {
    const [video, stop] = await playing(source, signals.find(Boolean));
    try {
      yield* played(video, maxFps, signals);
    } finally {
      stop();
    }
  } else if (tag(source) === 'ReadableStream') yield* streamed(source as ReadableStream<VideoFrame>, maxFps, signals);
  else if (tag(source) === 'HTMLVideoElement') yield* played(source as HTMLVideoElement, maxFps, signals);
  else throw new InvalidImageError('This is no video: give a <video>, MediaStream, MediaStreamTrack or a ReadableStream of VideoFrames.');
}

async function* played(
  video: HTMLVideoElement,
  maxFps: number | undefined,
  signals: readonly (AbortSignal | undefined)[],
): AsyncGenerator<HTMLVideoElement, void, void> {
  const clock = new FrameClock(video, maxFps, signals);
  while (await clock.next()) yield video;
}

async function* streamed(
  stream: ReadableStream<VideoFrame>,
  maxFps: number | undefined,
  signals: readonly (AbortSignal | undefined)[],
): AsyncGenerator<VideoFrame, void, void> {
  const reader = stream.getReader();
  const pace = new Pace(maxFps);
  try {
    for (;;) {
      const late = ({ value }: ReadableStreamReadResult<VideoFrame>) => value?.close();
      const read = signals.reduce((read, signal) => raced(read, signal, late), reader.read());
      const { done, value: frame } = await read;
      if (done) return;
      try {
        if (pace.isDue()) yield frame;
      } finally {
        frame.close();
      }
    }
  } finally {
    // Whoever makes the frames need make no more.
    await reader.cancel().catch(() => undefined);
  }
}

interface Processors {
  MediaStreamTrackProcessor?: new (options: { track: MediaStreamTrack; maxBufferSize: number }) => { readable: ReadableStream<VideoFrame> };
}

/** The frames of a camera where there are no videos: in workers. */
function processed(camera: Camera): ReadableStream<VideoFrame> {
  const track = tag(camera) === 'MediaStream' ? (camera as MediaStream).getVideoTracks()[0] : (camera as MediaStreamTrack);
  const { MediaStreamTrackProcessor: Processor } = globalThis as Processors;
  if (!track || !Processor) throw new InvalidImageError('This worker cannot read cameras: give a ReadableStream of VideoFrames, or watch in the page.');
  return new Processor({ track, maxBufferSize: 1 }).readable;
}
