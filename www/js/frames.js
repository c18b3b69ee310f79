/** The frames of a playing video, for work that takes as long as it takes: always the newest, one at a time. */

/** Some browsers tell of no frames while they show none. */
const PATIENCE = 250;
/** `readyState` of a video that has a frame. */
const HAS_FRAME = 2;

/** @param {HTMLVideoElement} video @param {AbortSignal} signal ends it */
export async function* frames(video, signal) {
  while (!signal.aborted && !video.ended) {
    await next(video, signal);
    if (!signal.aborted && video.readyState >= HAS_FRAME) yield video;
  }
}

/** @param {HTMLVideoElement} video @param {AbortSignal} signal @returns {Promise<void>} */
function next(video, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, PATIENCE);
    signal.addEventListener('abort', done);
    video.requestVideoFrameCallback?.(done);
  });
}
