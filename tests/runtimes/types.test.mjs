/** The declarations in old and new TypeScript, with every way to resolve modules, and without other packages' types. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { command, freshProject } from '../browser/support/project.mjs';
import { need, ROOT } from '../browser/support/paths.mjs';

const HERE = join(ROOT, 'tests/runtimes/node_modules');
const COMPILERS = {
  '5.4': join(HERE, 'typescript-5.4/bin/tsc'),
  '5.9': join(HERE, 'typescript-5.9/bin/tsc'),
  7: join(ROOT, 'pkg/node_modules/typescript/bin/tsc'),
};
const RESOLUTIONS = { node10: ['es2022', 'node10'], node16: ['node16', 'node16'], nodenext: ['nodenext', 'nodenext'], bundler: ['esnext', 'bundler'] };

const consumer = (subpaths) => `
import { ImageClassifier, InvalidOptionError, WebmambaError, init, type Classification, type LoadOptions, type ProgressEvent } from 'webmamba';
${subpaths ? `import { ImageClassifier as InWorker } from 'webmamba/worker';
import { labels } from 'webmamba/labels/imagenet1k';
export const more: [typeof InWorker, readonly string[]] = [InWorker, labels];` : ''}
export async function main(video: HTMLVideoElement, file: File, image: HTMLImageElement): Promise<string> {
  await init({ base: '/webmamba/', wasm: new URL('https://example.com/webmamba_bg.wasm') });
  const options: LoadOptions = { device: 'webgpu', size: [96, 64], labels: ['a'], powerPreference: 'low-power', onProgress: (event: ProgressEvent) => console.log(event.phase) };
  const clf: ImageClassifier = await ImageClassifier.load('mila_nano', options);
  const { predictions, heatmap }: Classification = await clf.classify(file, { topK: 3, heatmap: true });
  for await (const { fps } of clf.classifyVideo(video, { maxFps: 10 })) console.log(fps);
  const { pooled } = await clf.features(image);
  void clf.lost.then((error: Error) => error instanceof WebmambaError && error instanceof InvalidOptionError && error.details.length);
  await using other = await ImageClassifier.load({ weights: file, config: { depths: [1] } });
  // @ts-expect-error there is no such device
  await ImageClassifier.load('mila_nano', { device: 'tpu' });
  // @ts-expect-error classifiers are loaded
  new ImageClassifier();
  return (predictions[0]?.label ?? '') + pooled.shape.join() + String(heatmap?.region.width) + other.info.device.adapter;
}
`;

/** A device of the library's own types is one of the package's. */
const WITH_DEVICE = `
import { ImageClassifier } from 'webmamba';
export const load = async (device: GPUDevice) => ImageClassifier.load('mila_nano', { device });
`;

for (const [version, compiler] of Object.entries(COMPILERS)) {
  test(`TypeScript ${version}, strict, with every way to resolve modules`, async (t) => {
    const tsc = need(compiler, 'run `npm ci` in tests/runtimes and in pkg');
    const folder = await freshProject(t, { 'device.ts': WITH_DEVICE });
    for (const [name, [module, moduleResolution]] of Object.entries(RESOLUTIONS)) {
      // The seventh has taken leave of it.
      if (version === '7' && name === 'node10') continue;
      writeFileSync(join(folder, 'consumer.ts'), consumer(name !== 'node10'));
      const compilerOptions = {
        strict: true, exactOptionalPropertyTypes: true, noEmit: true, target: 'es2022', module, moduleResolution,
        lib: ['es2022', 'dom'], types: [], skipLibCheck: false,
      };
      const files = ['consumer.ts', ...(version === '7' ? ['device.ts'] : [])];
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }));
      await command('node', [tsc, '-p', '.'], { cwd: folder });
    }
  });
}
