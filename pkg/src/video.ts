/** Frames of a video as time passes. */

/** Milliseconds after which a video that plays has new frames, whether the browser tells of them or not: some never do. */
const SILENCE = 250;

/** Not more often than asked for. */
export class Pace {
  readonly #interval: number;
  #due = 0;

  constructor(maxFps: number | undefined) {
    this.#interval = maxFps ? 1000 / maxFps : 0;
  }

  /** Whether a frame that is there now is wanted. */
  isDue(): boolean {
    if (performance.now() < this.#due) return false;
    // A camera's frames never come exactly in time: half a frame early is in time.
    this.#due = Math.max(this.#due + this.#interval, performance.now() + this.#interval / 2);
    return true;
  }
}

/** Counts frames and their rate. */
export class FrameCount {
  #frame = 0;
  #times: number[] = [];

  next(): { frame: number; fps: number } {
    const now = performance.now();
    this.#times.push(now);
    while (this.#times.length > 2 && now - (this.#times[0] ?? now) > 1500) this.#times.shift();
    const span = now - (this.#times[0] ?? now);
    return { frame: ++this.#frame, fps: span > 0 ? ((this.#times.length - 1) * 1000) / span : 0 };
  }
}

/** Waits for frames of a video that have not been seen. */
export class FrameClock {
  readonly #video: HTMLVideoElement;
  readonly #pace: Pace;
  readonly #signals: readonly AbortSignal[];
  /** The browser has told of a frame. */
  #told = false;

  /** `signals`: whatever may end it, each with its reason. */
  constructor(video: HTMLVideoElement, maxFps: number | undefined, signals: readonly (AbortSignal | undefined)[]) {
    this.#video = video;
    this.#pace = new Pace(maxFps);
    this.#signals = signals.filter((signal) => signal !== undefined);
  }

  /** True when there is a new frame, false when the video is over. */
  async next(): Promise<boolean> {
    const video = this.#video;
    do {
      this.#check();
      if (video.ended || over(video)) return false;
      await this.#presented();
      this.#check();
    } while (video.readyState < 2 || !this.#pace.isDue());
    return true;
  }

  #check(): void {
    for (const signal of this.#signals) signal.throwIfAborted();
  }

  /** Resolves with the next presented frame, the end of the video, or the end of waiting. */
  #presented(): Promise<void> {
    const video = this.#video;
    return new Promise((resolve) => {
      let frame = 0;
      let animation = 0;
      let watch: ReturnType<typeof setInterval> | undefined;
      const time = video.currentTime;
      const done = () => {
        video.removeEventListener('ended', done);
        video.removeEventListener('emptied', done);
        for (const signal of this.#signals) signal.removeEventListener('abort', done);
        clearInterval(watch);
        if (frame) video.cancelVideoFrameCallback(frame);
        if (animation) cancelAnimationFrame(animation);
        resolve();
      };
      video.addEventListener('ended', done);
      video.addEventListener('emptied', done);
      for (const signal of this.#signals) signal.addEventListener('abort', done);
      watch = setInterval(() => {
        if (!this.#told && video.currentTime !== time && video.ownerDocument.visibilityState === 'visible') done();
      }, SILENCE);
      if ('requestVideoFrameCallback' in video) {
        frame = video.requestVideoFrameCallback(() => {
          this.#told = true;
          done();
        });
      } else animation = requestAnimationFrame(done);
    });
  }
}

/** True when a camera was stopped under a video that shows it. */
function over(video: HTMLVideoElement): boolean {
  const stream = video.srcObject;
  const tracks = stream && 'getVideoTracks' in stream ? stream.getVideoTracks() : undefined;
  return tracks !== undefined && tracks.every((track) => track.readyState === 'ended');
}

/** An exponential moving average of scores over frames. */
export class Smoothing {
  readonly #past: number;
  #scores: Float32Array | undefined;

  constructor(past: number) {
    this.#past = Math.min(Math.max(past, 0), 0.99);
  }

  next(scores: Float32Array): Float32Array {
    const old = this.#scores;
    this.#scores = old ? scores.map((score, i) => this.#past * (old[i] ?? 0) + (1 - this.#past) * score) : scores;
    return this.#scores;
  }
}
