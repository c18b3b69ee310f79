// Writes into the demo in FOLDER where it and its source are, as far as the package's manifest knows: `homepage` for other sites,
// which want whole addresses of pictures, and `repository` for people.
// Usage: node scripts/addresses.mjs FOLDER [MANIFEST]
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [folder, manifest = new URL('../pkg/package.json', import.meta.url)] = process.argv.slice(2);
const { homepage, repository } = JSON.parse(readFileSync(manifest, 'utf8'));
const source = (typeof repository === 'string' ? repository : repository?.url)?.replace(/^git\+/, '').replace(/\.git$/, '');
const path = join(folder, 'index.html');
let page = readFileSync(path, 'utf8');

/** @param {string} place @param {string} text what stands before it from now on */
const insert = (place, text) => {
  if (!page.includes(place)) throw new Error(`${path} has no ${place}`);
  page = page.replace(place, text + place);
};
const safe = (address) => new URL(address).href.replaceAll('"', '%22');

if (homepage) {
  insert('<meta property="og:type"', `<meta property="og:url" content="${safe(homepage)}">\n  `);
  page = page.replace('<meta property="og:image" content="preview.jpg">', `<meta property="og:image" content="${safe(new URL('preview.jpg', homepage))}">`);
}
if (source && /^https:/.test(source)) insert('The code is MIT or Apache-2.0.', `<a href="${safe(source)}">The source is here.</a> `);
writeFileSync(path, page);
