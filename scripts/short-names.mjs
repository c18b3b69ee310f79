// Gives the functions that pass between the WebAssembly modules and their bindings short names: a good part of both is names.
// Usage: node scripts/short-names.mjs <bindings.js> <module.wasm>.. ; the files are written anew.
import { readFileSync, writeFileSync } from 'node:fs';
import { imported, number, Reader, sections } from './wasm-module.mjs';

const [bindings, ...modules] = process.argv.slice(2);
const [IMPORTS, EXPORTS] = [2, 7];

const name = (text) => [number(Buffer.byteLength(text)), Buffer.from(text)];

/** The module with each name replaced by what `rename` makes of it. */
function renamed(module, rename) {
  const parts = [module.subarray(0, 8)];
  for (const [id, contents] of sections(module)) {
    let body = contents;
    if (id === IMPORTS || id === EXPORTS) {
      const reader = new Reader(contents);
      const count = reader.number();
      const entries = [number(count)];
      for (let i = 0; i < count; i++) {
        if (id === IMPORTS) entries.push(...name(reader.name()), ...name(rename(reader.name(), id)), imported(reader));
        else {
          entries.push(...name(rename(reader.name(), id)));
          const start = reader.at++;
          reader.number();
          entries.push(contents.subarray(start, reader.at));
        }
      }
      body = Buffer.concat(entries);
    }
    parts.push(Buffer.from([id]), number(body.length), body);
  }
  return Buffer.concat(parts);
}

/** Long names to short ones, in the order in which they are met. */
const short = new Map();
const known = (text, id) => {
  // Exports without a hash are few, and the bindings use them in many ways.
  if (id === EXPORTS && !/h[0-9a-f]{16}(_\d+)?$/.test(text)) return text;
  if (!short.has(text)) short.set(text, `_${short.size.toString(36)}`);
  return short.get(text);
};

const contents = modules.map((path) => renamed(readFileSync(path), known));
let text = readFileSync(bindings, 'utf8');
for (const [long, brief] of short) {
  const found = new RegExp(`(?<![\\w$])${long}(?![\\w$])`, 'g');
  if (!found.test(text)) throw new Error(`${bindings} has no ${long}`);
  text = text.replace(found, brief);
}
writeFileSync(bindings, text);
modules.forEach((path, i) => writeFileSync(path, contents[i]));
