// Lists what the demo's service worker keeps, in FOLDER/offline-files.js; its version changes with any of the files.
// Usage: node scripts/offline.mjs FOLDER
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = process.argv[2];
/** What the page does not ask for: itself a part of this, for other pages, or for people. */
const OTHERS = /^(sw|offline-files)\.js$|^preview\.jpg$|\.d\.ts$|\.md$|^webmamba\/(webmamba\.min\.js|worker\.js|webmamba_pictures\.wasm)$/;

const files = readdirSync(folder, { recursive: true })
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => !OTHERS.test(file) && statSync(join(folder, file)).isFile())
  .sort();
const hash = createHash('sha256');
for (const file of files) hash.update(file).update(readFileSync(join(folder, file)));
const version = hash.digest('hex').slice(0, 12);
writeFileSync(join(folder, 'offline-files.js'), `self.OFFLINE = ${JSON.stringify({ version, files })};\n`);
