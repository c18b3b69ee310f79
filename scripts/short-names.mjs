// Gives the functions that pass between the WebAssembly modules and their bindings short names: a good part of both is names.
// Usage: node scripts/short-names.mjs <bindings.js> <module.wasm>.. ; the files are written anew.
import { readFileSync, writeFileSync } from 'node:fs';

const [bindings, ...modules] = process.argv.slice(2);
const [IMPORTS, EXPORTS] = [2, 7];

/** A cursor over bytes with the numbers of the binary format. */
class Reader {
  at = 0;

  constructor(bytes) {
    this.bytes = bytes;
  }

  number() {
    let [value, shift, byte] = [0, 0, 0];
    do {
      byte = this.bytes[this.at++];
      value += (byte & 127) * 2 ** shift;
      shift += 7;
    } while (byte & 128);
    return value;
  }

  slice(length) {
    return this.bytes.subarray(this.at, (this.at += length));
  }

  name() {
    return Buffer.from(this.slice(this.number())).toString();
  }
}

function number(value) {
  const bytes = [];
  do {
    bytes.push((value % 128) | (value > 127 ? 128 : 0));
    value = Math.floor(value / 128);
  } while (value);
  return Buffer.from(bytes);
}

const name = (text) => [number(Buffer.byteLength(text)), Buffer.from(text)];

/** What an import is, as bytes: of functions the type, of others what the bindings do not have. */
function imported(reader) {
  const start = reader.at;
  const kind = reader.bytes[reader.at++];
  if (kind !== 0) throw new Error(`an import of kind ${kind}, where only functions are expected`);
  reader.number();
  return reader.bytes.subarray(start, reader.at);
}

/** The sections of a module as `[id, contents]`. */
function sections(module) {
  const reader = new Reader(module.subarray(8));
  const all = [];
  while (reader.at < reader.bytes.length) all.push([reader.bytes[reader.at++], reader.slice(reader.number())]);
  return all;
}

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
