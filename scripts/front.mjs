// Builds the package's JavaScript and its declarations from pkg/src and the bindings of the WebAssembly module.
// Usage: node scripts/front.mjs <folder of bindings> <dist>
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const [bindings, dist] = process.argv.slice(2).map((folder) => resolve(folder));
const require = createRequire(new URL('../pkg/package.json', import.meta.url));
const { build } = require('esbuild');
const source = new URL('../pkg/src/', import.meta.url).pathname;

/** Modules that other scripts made. */
const made = {
  name: 'made',
  setup: (one) => one.onResolve({ filter: /^\.\/(webmamba|configs)\.js$/ }, ({ path }) => ({ path: join(bindings, path) })),
};
const common = { bundle: true, format: 'esm', target: 'es2022', outdir: dist, plugins: [made], logLevel: 'warning' };
const labels = './labels/imagenet1k.js';

await build({ ...common, entryPoints: [join(source, 'index.ts')], external: [labels], splitting: true, chunkNames: '[name]' });
await build({ ...common, entryPoints: [join(source, 'worker.ts')], external: ['./index.js'] });
// The worker is one file that asks for no others, so that it can be copied, imported from elsewhere, and kept by bundlers as it is.
await build({ ...common, entryPoints: [join(source, 'worker-thread.ts')], minify: true });
await build({ ...common, entryPoints: [{ in: join(source, 'min.ts'), out: 'webmamba.min' }], external: [labels], minify: true });

// Declarations of what users see, with their comments, and of nothing else.
const folder = mkdtempSync(join(tmpdir(), 'webmamba-types-'));
const tsc = join(require.resolve('typescript/package.json'), '../bin/tsc');
try {
  execFileSync(process.execPath, [tsc, '-p', join(source, '..'), '--outDir', folder], { stdio: 'inherit' });
  const waiting = ['index', 'worker'];
  for (const name of waiting) {
    const from = join(folder, `${name}.d.ts`);
    copyFileSync(from, join(dist, `${name}.d.ts`));
    for (const [, other] of readFileSync(from, 'utf8').matchAll(/from '\.\/([\w-]+)\.js'/g)) if (!waiting.includes(other)) waiting.push(other);
  }
} finally {
  rmSync(folder, { recursive: true });
}
