// `node scripts/labels.mjs LABELS.txt FOLDER`: the names of ImageNet's classes as a module, with its types.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [source, folder] = process.argv.slice(2);
const labels = readFileSync(source, 'utf8').trimEnd().split('\n');
mkdirSync(folder, { recursive: true });
const header = '/* Class names of ImageNet-1k as torchvision has them. Copyright (c) Soumith Chintala 2016; BSD 3-Clause. */\n';
writeFileSync(join(folder, 'imagenet1k.js'), `${header}export const labels = ${JSON.stringify(labels)};\nexport default labels;\n`);
writeFileSync(
  join(folder, 'imagenet1k.d.ts'),
  `${header}export declare const labels: readonly string[];\nexport default labels;\n`,
);
