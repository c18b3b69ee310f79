/** The buttons and the list of the camera. */
import { Camera, listCameras } from './camera.js';
import { byId, element } from './dom.js';

const start = byId('start-camera');
const stop = byId('stop-camera');
const flip = byId('flip-camera');
const choice = byId('camera-select');
const field = choice.closest('label');

/**
 * @param {HTMLVideoElement} video
 * @param {{ onStart: () => void, onStop: () => Promise<void>, onError: (error: unknown) => void }} events
 * @returns {{ camera: Camera, stopCamera: () => void }}
 */
export function cameraControls(video, { onStart, onStop, onError }) {
  const camera = new Camera(video, async () => {
    reflect();
    await onStop();
    onError(new DOMException('The camera was unplugged or taken away', 'CameraEndedError'));
  });

  let busy = false;
  /** @param {() => Promise<boolean>} action */
  const attempt = async (action) => {
    if (busy) return;
    busy = true;
    // Not `disabled`, which would take the focus away from whoever works with the keyboard.
    start.setAttribute('aria-disabled', 'true');
    try {
      const started = await action();
      reflect();
      if (!started) return;
      await list();
      onStart();
    } catch (error) {
      camera.stop();
      reflect();
      await onStop();
      onError(error);
    } finally {
      busy = false;
      start.removeAttribute('aria-disabled');
    }
  };

  const reflect = () => {
    const held = document.activeElement;
    start.hidden = camera.active;
    stop.hidden = !camera.active;
    flip.hidden = !camera.active;
    field.hidden = !camera.active || choice.options.length < 2;
    if (held === start && camera.active) stop.focus();
    if (held === stop && !camera.active) start.focus();
  };

  const list = async () => {
    const cameras = await listCameras();
    choice.replaceChildren(...cameras.map(({ id, name }) => element('option', { value: id, textContent: name })));
    choice.value = camera.deviceId;
    reflect();
  };

  const stopCamera = () => {
    if (!camera.active) return;
    camera.stop();
    reflect();
  };

  start.addEventListener('click', () => attempt(() => camera.start()));
  stop.addEventListener('click', () => {
    stopCamera();
    onStop();
  });
  flip.addEventListener('click', () => attempt(() => camera.flip()));
  choice.addEventListener('change', () => attempt(() => camera.start(choice.value)));
  navigator.mediaDevices?.addEventListener?.('devicechange', () => camera.active && list().catch(onError));
  return { camera, stopCamera };
}
