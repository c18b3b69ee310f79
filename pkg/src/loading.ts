/** From what the user names to an engine, with the names of its classes. */
import { asset } from './assets.js';
import type { Engine } from './engine.js';
import { DownloadError, UnsupportedCheckpointError } from './errors.js';
import { wasmSource } from './init.js';
import { local } from './lazy.js';
import { locate } from './locate.js';
import { checkLoad } from './options.js';
import { RemoteEngine } from './remote.js';
import type { LoadOptions, ModelInfo, ModelSource } from './types.js';

/** An engine whose model tells the classes of pixels, where it is `dense`, or of whole images. */
export async function loadEngine(source: ModelSource, options: LoadOptions, dense: boolean): Promise<Engine> {
  checkLoad(options);
  const model = locate(source, options);
  const engine = options.worker
    ? await RemoteEngine.load(model, options, wasmSource(), torchSource())
    : await (await local()).LocalEngine.load(model, options, wasmSource, () => asset('webmamba_torch.wasm'));
  try {
    const { name, palette } = engine.info;
    if (!palette === dense) {
      const [what, task] = dense ? ['whole images', 'ImageClassifier'] : ['pixels', 'ImageSegmenter'];
      throw new UnsupportedCheckpointError(`${name} tells the classes of ${what}: load it with ${task}.`);
    }
    engine.info.labels = await labelsOf(engine.info);
  } catch (error) {
    await engine.dispose();
    if (error instanceof UnsupportedCheckpointError) throw error;
    throw new DownloadError(`The names of ImageNet's classes cannot be loaded (${(error as Error).message}); give \`labels\`.`, { cause: error });
  }
  return engine;
}

/** Where the reader of `torch.save` files is, for a worker, which may lie elsewhere; most never ask, so nobody need know it. */
function torchSource(): string | undefined {
  try {
    return asset('webmamba_torch.wasm').href;
  } catch {
    return undefined;
  }
}

/** Class names; of 1000 classes without names ImageNet's, of others the indices. */
async function labelsOf({ labels, classes }: ModelInfo): Promise<readonly string[]> {
  if (labels.length) return labels;
  if (classes === 1000) return (await import('./labels/imagenet1k.js')).labels;
  return Array.from({ length: classes }, (_, i) => String(i));
}
