/** The binary format of WebAssembly modules, as far as the package's scripts read and write it. */

/** A cursor over bytes with the numbers of the binary format. */
export class Reader {
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

/** A number as the format has it. */
export function number(value) {
  const bytes = [];
  do {
    bytes.push((value % 128) | (value > 127 ? 128 : 0));
    value = Math.floor(value / 128);
  } while (value);
  return Buffer.from(bytes);
}

/** What an import is, as bytes: of functions the type, of others what the bindings do not have. */
export function imported(reader) {
  const start = reader.at;
  const kind = reader.bytes[reader.at++];
  if (kind !== 0) throw new Error(`an import of kind ${kind}, where only functions are expected`);
  reader.number();
  return reader.bytes.subarray(start, reader.at);
}

/** The sections of a module as `[id, contents]`. */
export function sections(module) {
  const reader = new Reader(module.subarray(8));
  const all = [];
  while (reader.at < reader.bytes.length) all.push([reader.bytes[reader.at++], reader.slice(reader.number())]);
  return all;
}
