// Writes the configs of the built-in models as a JavaScript module and its declaration.
// Usage: node scripts/configs.mjs <folder of models> <folder>
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [models, folder] = process.argv.slice(2);
const names = readdirSync(models, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name);
// As texts: that is how the module takes them.
const texts = names.map((name) => [name, JSON.stringify(JSON.parse(readFileSync(join(models, name, 'config.json'), 'utf8')))]);
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, 'configs.js'), `export const configs = ${JSON.stringify(Object.fromEntries(texts), null, 1)};\n`);
const type = `{ ${names.map((name) => `readonly ${name}: string`).join('; ')} }`;
writeFileSync(join(folder, 'configs.d.ts'), `export declare const configs: ${type};\n`);
