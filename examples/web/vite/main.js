// Everything runs off the main thread. Vite finds the worker, the WebAssembly module and the models without configuration.
import { ImageClassifier } from 'webmamba/worker';

const video = document.querySelector('video');
const output = document.querySelector('output');

const [classifier, camera] = await Promise.all([
  ImageClassifier.load('mamba_vision_nano'),
  navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } }),
]);
video.srcObject = camera;
await video.play();

for await (const { predictions: [best], confident, fps } of classifier.classifyVideo(video, { smoothing: 0.7 })) {
  output.textContent = `${confident ? best.label : 'not sure'} (${fps.toFixed(0)} frames a second)`;
}
