/** What a worker does: an engine that answers messages. */
import { asset } from './assets.js';
import { LocalEngine } from './engine.js';
import { WebmambaError } from './errors.js';
import type { Picture } from './frames.js';
import { toPlain } from './plain.js';
import type { Reply, Request, SentPicture } from './remote.js';

const post = (reply: Reply, transfer: Transferable[] = []) =>
  (globalThis as unknown as Worker).postMessage(reply, transfer);
const loading = new AbortController();
let engine: LocalEngine | undefined;

/** Answers the messages that come to this worker from now on. */
export function serve(): void {
  addEventListener('message', ({ data }: MessageEvent<Request>) => {
    void answer(data)
      .then((value) => {
        if (engine) post({ wasm: engine.info.memory.wasm });
        post({ id: data.id, value });
      })
      .catch((error: unknown) => post({ id: data.id, error: toPlain(error) }));
  });
}

async function answer(request: Request): Promise<unknown> {
  if (request.call === 'load') {
    const onProgress = (progress: Extract<Reply, { progress: unknown }>['progress']) => post({ progress });
    const options = { ...request.options, onProgress, signal: loading.signal };
    engine = await LocalEngine.load(request.model, options, () => request.wasm, () => request.torch ?? asset('webmamba_torch.wasm'));
    void engine.lost.then((error) => post({ lost: toPlain(error) }));
    return { ...engine.info, memory: { ...engine.info.memory } };
  }
  if (request.call === 'abort') {
    loading.abort();
    return undefined;
  }
  if (!engine) throw new WebmambaError('No model is loaded.');
  switch (request.call) {
    case 'run':
      return withPictures([request.picture], ([picture]) => (engine as LocalEngine).run(picture, request.options));
    case 'batch':
      return engine.batch();
    case 'list':
      return withPictures(request.pictures, (pictures) => (engine as LocalEngine).list(pictures, request.scores));
    case 'embedList':
      return withPictures(request.pictures, (pictures) => (engine as LocalEngine).embedList(pictures));
    case 'frames':
      return engine.frames(request.available);
    case 'clip':
      return withPictures(request.pictures, (pictures) => (engine as LocalEngine).clip(pictures, request.available, request.scores));
    case 'explain':
      return withPictures([request.picture], ([picture]) => (engine as LocalEngine).explain(picture, request.kind, request.layer));
    case 'explainClip':
      return withPictures(request.pictures, (pictures) => (engine as LocalEngine).explainClip(pictures, request.available, request.kind, request.layer));
    case 'features':
      return withPictures([request.picture], ([picture]) => (engine as LocalEngine).features(picture));
    case 'embed':
      return withPictures([request.picture], ([picture]) => (engine as LocalEngine).embed(picture));
    case 'segment':
      return withPictures([request.picture], ([picture]) => (engine as LocalEngine).segment(picture));
    case 'prepared':
      return engine.prepared(request.input, request.width, request.height, request.inner);
    case 'profile':
      return engine.profile();
    case 'allocations':
      return engine.allocations();
    case 'dispose':
      return engine.dispose();
  }
}

async function withPictures<T>(sent: SentPicture[], use: (pictures: [Picture, ...Picture[]]) => Promise<T>): Promise<T> {
  const close = () => sent.forEach(({ drawable }) => drawable?.close());
  try {
    return await use(sent.map((one) => ({ ...one, scale: 1, own: true, close })) as [Picture, ...Picture[]]);
  } finally {
    close();
  }
}
