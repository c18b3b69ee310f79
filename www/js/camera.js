/** The webcam: start, choose, flip, stop. Stopping stops every track, so that the camera's light goes out. */

/** @typedef {'user' | 'environment'} Facing */

export class Camera {
  /** @type {MediaStream | undefined} */ #stream;
  /** @type {Facing} */ facing = 'user';
  #attempt = 0;

  /** @param {HTMLVideoElement} video @param {() => unknown} onEnded the camera went away by itself */
  constructor(video, onEnded) {
    this.video = video;
    this.onEnded = onEnded;
  }

  get active() {
    return this.#stream !== undefined;
  }

  get deviceId() {
    return this.#stream?.getVideoTracks()[0]?.getSettings().deviceId ?? '';
  }

  /** A front camera is shown like a mirror; one that does not say is taken as one (a laptop's). */
  get mirrored() {
    const facing = this.#stream?.getVideoTracks()[0]?.getSettings().facingMode;
    return facing ? facing === 'user' : this.facing === 'user';
  }

  /**
   * Starts the camera `deviceId`, or the one that faces `this.facing`. A camera that runs is stopped first: phones lend only one.
   * @param {string} [deviceId]
   * @returns {Promise<boolean>} false where a later start or stop overtook this one
   */
  async start(deviceId) {
    if (!navigator.mediaDevices?.getUserMedia) throw new DOMException('No camera outside of a secure page', 'SecurityError');
    this.stop();
    const mine = ++this.#attempt;
    const size = { width: { ideal: 960 }, height: { ideal: 720 } };
    const wanted = deviceId ? { ...size, deviceId: { exact: deviceId } } : { ...size, facingMode: this.facing };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: wanted }).catch(async (error) => {
      // Where there is no camera at all, WebKit says that it does not face the right way.
      if (error?.name !== 'OverconstrainedError' || (await listCameras()).length) throw error;
      throw new DOMException('No camera was found', 'NotFoundError');
    });
    if (mine !== this.#attempt) {
      stopTracks(stream);
      return false;
    }
    this.#stream = stream;
    stream.getVideoTracks()[0]?.addEventListener('ended', () => {
      if (this.#stream !== stream) return;
      this.stop();
      this.onEnded();
    });
    this.video.srcObject = stream;
    await this.video.play().catch((error) => {
      if (mine === this.#attempt) throw error;
    });
    return mine === this.#attempt;
  }

  /** The other way round, as far as the device has two cameras. */
  flip() {
    this.facing = this.facing === 'user' ? 'environment' : 'user';
    return this.start();
  }

  stop() {
    this.#attempt++;
    if (this.#stream) stopTracks(this.#stream);
    this.#stream = undefined;
    this.video.srcObject = null;
  }
}

/** @returns {Promise<{ id: string, name: string }[]>} names are empty before the first permission */
export async function listCameras() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return devices.filter((d) => d.kind === 'videoinput').map((d, i) => ({ id: d.deviceId, name: d.label || `Camera ${i + 1}` }));
}

function stopTracks(/** @type {MediaStream} */ stream) {
  for (const track of stream.getTracks()) track.stop();
}
